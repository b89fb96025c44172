"""GET /messages as CSV: what JSON says, harmless in a spreadsheet, sent as it is read."""

from __future__ import annotations

import csv
import http.client
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from ..conftest import Receive
from ..live import API_TOKEN, live_service
from ..rows import insert, row
from ..signed import SECONDS, send
from .conftest import problem

CSV = {"Accept": "text/csv"}
NOON = "2026-11-01T12:00:00.000000Z"


def read(text: str) -> list[dict[str, str]]:
    """The lines as a spreadsheet reads them, with every line of full length."""
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def ask(api: FlaskClient, query: str = "") -> list[dict[str, str]]:
    answer = api.get(f"/messages{query}", headers=CSV)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "messages.csv" in answer.headers["Content-Disposition"]
    return read(answer.data.decode())


def as_cell(value: object) -> str:
    """A JSON value as its cell shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@pytest.fixture
def some(receive: Receive) -> None:
    message_uuid = receive("queued", From="+14155550100")
    receive("undelivered", message_uuid, ErrorCode="30", Timestamp="2026-11-01 00:00:03")
    receive("delivered", From="ACME", To="")
    receive("failed", ErrorCode="9876")
    receive("sent", From="ACME, Inc.", To="123456")


@pytest.mark.parametrize(
    "query", ["", "?status=sent&status=failed", "?to=14155550123", "?since=2999-01-01"]
)
def test_csv_says_what_json_says(api: FlaskClient, some: None, query: str) -> None:
    listed = api.get(f"/messages{query}").get_json()["messages"]
    lines = ask(api, query)
    assert len(lines) == len(listed)
    for line, message in zip(lines, listed, strict=True):
        error = message.pop("error")
        message["error_reason"] = error["reason"] if error else None
        assert line == {name: as_cell(value) for name, value in message.items()}


HARMLESS = [
    "plain",
    "a,b",
    'say "hi"',
    "two\nlines",
    "two\r\nlines",
    "Ol\u00e1 \u6f22 \U0001f600",
    " a ",
    "'=1",
    "1=1",
    "a=1",
    "a@b",
    "1-2",
    "+14155550123",
    "+1",
    "14155550123",
    "\u2013 dash",
]
RUN = [
    *(
        "=1+1",
        "+1+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\tx",
        '=HYPERLINK("http://x","y")',
    ),
    *("+cmd|' /C calc'!A0", "+14155550123+1", "+\u0661\u0662", "+1 415", "+", "-2+3"),
    *(
        " =1",
        "\u00a0=1",
        "\ufeff=1",
        '"=1',
        ' " +1+1',
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(A1)",
    ),
]


def test_any_text_comes_back_whole_and_only_what_a_spreadsheet_would_run_is_quoted(
    api: FlaskClient, writable: sqlite3.Connection
) -> None:
    columns = ("message_body", "error_code")
    texts = HARMLESS + RUN
    insert(writable, [row(n, NOON, **dict.fromkeys(columns, t)) for n, t in enumerate(texts)])
    lines = ask(api)[::-1]
    for name in columns:
        assert [line[name] for line in lines] == HARMLESS + [f"'{text}" for text in RUN]


def test_a_number_is_written_as_json_writes_it(api: FlaskClient, receive: Receive) -> None:
    receive("sent", From="+447700900123", To="14155550123")
    (line,) = ask(api)
    assert (line["sender_number"], line["recipient_number"]) == ("+447700900123", "+14155550123")


@pytest.mark.parametrize(
    ("query", "bom"), [("", b""), ("?bom=0", b""), ("?bom=1", b"\xef\xbb\xbf")]
)
def test_excel_is_told_that_it_is_utf_8_when_asked(
    api: FlaskClient, receive: Receive, query: str, bom: bytes
) -> None:
    receive("sent", From="Caf\u00e9")
    text = api.get(f"/messages{query}", headers=CSV).data
    assert text.startswith(bom + b"message_uuid,")
    assert text.count(b"\xef\xbb\xbf") == bool(bom)
    assert b"Caf\xc3\xa9" in text


def test_lines_end_as_rfc_4180_says(api: FlaskClient, some: None) -> None:
    text = api.get("/messages", headers=CSV).data.decode()
    assert text.endswith("\r\n")
    assert text.count("\r\n") == text.count("\n") == 5


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "csv"),
        ("text/csv, application/json;q=0.5", "csv"),
        ("text/*", "csv"),
        ("application/json", "json"),
        ("*/*", "json"),
        ("", "json"),
        ("text/html", "json"),
        ("text/csv;q=0.5, application/json", "json"),
        ("text/csv; charset=utf-8", "csv"),
        ("text/csv;q=1, */*;q=0.1", "csv"),
        ("text/csv; header=present; q=0.9, application/json; q=0.8", "csv"),
        ("*/*;q=0", "json"),
        ("text/csv; charset=utf-8; q=0.1, */*", "json"),
        ("TEXT/CSV;charset=UTF-8", "csv"),
        ("application/json; charset=utf-8, text/csv;q=0.9", "json"),
        ("text/csv;q=0", "json"),
    ],
)
def test_csv_is_answered_to_who_prefers_it(
    api: FlaskClient, some: None, accept: str, kind: str
) -> None:
    answer = api.get("/messages", headers={"Accept": accept})
    assert kind in answer.content_type
    assert "Accept" in answer.vary


def test_csv_has_all_messages_unless_a_limit_is_given(
    api: FlaskClient, writable: sqlite3.Connection
) -> None:
    rows = [row(number, NOON) for number in range(2500)]
    insert(writable, rows)
    wanted = [values["message_uuid"] for values in rows][::-1]
    assert [line["message_uuid"] for line in ask(api)] == wanted
    assert [line["message_uuid"] for line in ask(api, "?limit=150")] == wanted[:150]


def test_no_message_is_a_head_line(api: FlaskClient) -> None:
    text = api.get("/messages", headers=CSV).data.decode()
    assert text.startswith("message_uuid,sender_number,recipient_number,message_body,")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "query",
    [
        "?cursor=x",
        "?limit=201",
        "?limit=0",
        "?foo=1",
        "?since=x",
        "?bom=x",
        "?bom=",
        "?bom=1&bom=1",
    ],
)
def test_what_is_refused_is_a_problem_not_csv(api: FlaskClient, query: str) -> None:
    problem(api.get(f"/messages{query}", headers=CSV), 400)


def test_csv_needs_the_token(client: FlaskClient) -> None:
    problem(client.get("/messages", headers=CSV), 401)


def test_it_is_sent_as_it_is_read(api: FlaskClient, writable: sqlite3.Connection) -> None:
    """After the first part is out, the rest has not been read: it can still be changed."""
    insert(writable, [row(number, NOON) for number in range(5000)])
    answer = api.get("/messages", headers=CSV)
    parts = iter(answer.iter_encoded())
    first = next(parts)
    assert len(first) < 40_000
    writable.execute("UPDATE messages SET message_body = 'changed meanwhile'")
    rest = b"".join(parts)
    assert b"changed meanwhile" not in first
    assert b"changed meanwhile" in rest
    assert len(read((first + rest).decode())) == 5000


def test_over_http_it_comes_in_chunks(tmp_path: Path) -> None:
    with live_service(tmp_path) as service:
        send(service.plivo.post(service.plivo.fields("sent")), service.address)
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=SECONDS)
        headers = {**CSV, "Authorization": f"Bearer {API_TOKEN}"}
        connection.request("GET", "/messages", headers=headers)
        answer = connection.getresponse()
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Length"] is None
        lines: list[dict[str, Any]] = [*read(answer.read().decode())]
        connection.close()
    assert len(lines) == 1
