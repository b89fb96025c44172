"""POST /messages: what is sent, what is refused, and what is said of Plivo's answers."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import uuid
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.intake.last_resort import read_log
from smsstatus.intake.records import read_record, send_record, sent_update
from smsstatus.intake.replay import drain
from smsstatus.plivo.callback import Callback
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from ..conftest import Query, Receive
from ..live import API_TOKEN, LiveService, free_port, live_service
from ..plivo_api import AUTH_ID, Asked, HangingPlivo, PlivoApi, Reply, plivo_api
from ..signed import Plivo, Request, send
from .conftest import SENDER, problem

TO = "+14155550123"
RECEIVED = "2026-11-01T12:00:00.000000Z"
GOOD = {"to": TO, "text": "Hello"}
MAY_HAVE_HAPPENED = "Check Plivo's message log before you send it again."

EURO = "\u20ac"
KANJI = "\u6f22"
EMOJI = "\U0001f600"  # two UTF-16 units


def post(api: FlaskClient, **fields: Any) -> TestResponse:
    return api.post("/messages", json={**GOOD, **fields})


# What reaches Plivo, and what is answered and kept.


def test_a_message_is_sent_kept_and_shown(
    api: FlaskClient, standin: PlivoApi, settings: Settings, query: Query
) -> None:
    answer = api.post("/messages", json=GOOD)
    assert answer.status_code == 202
    message = answer.get_json()
    assert answer.headers["Location"] == f"/messages/{message['message_uuid']}"
    assert api.get(answer.headers["Location"]).get_json() == message

    (asked,) = standin.asked
    assert (asked.method, asked.path) == ("POST", f"/v1/Account/{AUTH_ID}/Message/")
    wanted = {
        "src": SENDER,
        "dst": TO,
        "text": "Hello",
        "url": f"{settings.base_url}/plivo/status",
        "method": "POST",
    }
    assert asked.content.items() >= wanted.items()

    (row,) = query("SELECT * FROM messages")
    assert row["message_uuid"] == message["message_uuid"]
    for shown in (row, message):
        assert shown["sender_number"] == SENDER
        assert shown["recipient_number"] == TO
        assert shown["message_body"] == "Hello"
        assert (shown["initial_status"], shown["current_status"]) == ("queued", "queued")
        assert shown["status_timestamp"] == ""
        assert shown["error_code"] is None
    (event,) = message["events"]
    assert (event["status"], event["source"], event["status_timestamp"]) == ("queued", "send", "")


@pytest.mark.parametrize("content_type", ["form", "multipart", "json"])
def test_json_and_forms_say_the_same(
    api: FlaskClient, standin: PlivoApi, content_type: str
) -> None:
    fields = {**GOOD, "from": "+14155550111", "text": f"Ol\u00e1 {EMOJI} a=1&b=%2B+c\n"}
    if content_type == "json":
        answer = api.post("/messages", json=fields)
    else:
        multipart = {"content_type": "multipart/form-data"} if content_type != "form" else {}
        answer = api.post("/messages", data=fields, **multipart)
    assert answer.status_code == 202, answer.text
    (asked,) = standin.asked
    assert asked.content["text"] == fields["text"]
    assert (asked.content["dst"], asked.content["src"]) == (TO, "+14155550111")
    assert answer.get_json()["message_body"] == fields["text"]


@pytest.mark.parametrize(
    "sender", ["+14155550111", "14155550111", "72727", "ACME", "Acme 24", "A", "Abcdefghijk"]
)
def test_a_sender_is_a_number_a_short_code_or_a_word(
    api: FlaskClient, standin: PlivoApi, sender: str
) -> None:
    assert post(api, **{"from": sender}).status_code == 202
    assert standin.asked[0].content["src"] == sender


@pytest.fixture(scope="module")
def live_standin() -> Iterator[PlivoApi]:
    with plivo_api() as api:
        yield api


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, live_standin: PlivoApi) -> Iterator[LiveService]:
    """A service that can send, shared by the tests that need a real one."""
    folder = tmp_path_factory.mktemp("live")
    settings = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_SENDER": SENDER}
    with live_service(folder, PLIVO_API_URL=live_standin.url, **settings) as service:
        yield service


def test_curl_with_two_fields_is_enough(live: LiveService, live_standin: PlivoApi) -> None:
    said = subprocess.run(
        [
            "curl",
            "-sS",
            "-i",
            "-H",
            f"Authorization: Bearer {API_TOKEN}",
            "-d",
            f"to={TO}",
            "-d",
            "text=Hello",
            f"{live.address}/messages",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert said.startswith("HTTP/1.1 202 ")
    head, _, body = said.partition("\n\n") if "\r\n" not in said else said.partition("\r\n\r\n")
    assert f"Location: /messages/{json.loads(body)['message_uuid']}" in head
    assert live_standin.asked[-1].content["dst"] == TO


def test_a_callback_that_comes_before_the_answer_to_the_send_stands(
    api: FlaskClient, standin: PlivoApi, receive: Receive, query: Query
) -> None:
    message_uuid = str(uuid.uuid4())
    standin.messages[message_uuid] = {}

    def delivered_at_once(asked: Asked) -> Reply:
        receive("delivered", message_uuid, Timestamp="2026-11-01 00:00:03", From="14155550100")
        return Reply(202, {"message_uuid": [message_uuid]})

    standin.reply = delivered_at_once
    message = api.post("/messages", json=GOOD).get_json()
    assert message["current_status"] == "delivered"
    assert message["initial_status"] == "queued"
    assert message["status_timestamp"] == "2026-11-01T00:00:03.000000Z"
    assert message["message_body"] == "Hello"
    assert {event["source"] for event in message["events"]} == {"send", "callback"}
    (row,) = query("SELECT sender_number, recipient_number FROM messages")
    assert row["sender_number"].endswith("14155550100")
    assert row["recipient_number"].endswith("14155550123")


def test_a_bare_callback_that_comes_before_its_send_gets_the_body_too(
    api: FlaskClient, standin: PlivoApi, plivo: Plivo, client: FlaskClient
) -> None:
    """It has only the fields that our own row is made of, so it says the same to the letter."""
    message_uuid = str(uuid.uuid4())
    fields = {"MessageUUID": message_uuid, "Status": "queued", "From": SENDER, "To": TO}

    def called_back_at_once(asked: Asked) -> Reply:
        got = plivo.post(fields)
        called = client.post(got.target, headers=got.headers, data=got.body)
        assert called.status_code == 200
        return Reply(202, {"message_uuid": [message_uuid]})

    standin.reply = called_back_at_once
    assert api.post("/messages", json=GOOD).get_json()["message_body"] == "Hello"


def test_a_callback_that_comes_later_beats_the_row_of_the_send(
    api: FlaskClient, receive: Receive
) -> None:
    message_uuid = api.post("/messages", json=GOOD).get_json()["message_uuid"]
    receive("sent", message_uuid)  # without any time
    message = api.get(f"/messages/{message_uuid}").get_json()
    assert (message["current_status"], message["message_body"]) == ("sent", "Hello")


@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_a_send_while_the_database_takes_nothing_is_kept_in_the_spool(
    app: Any, api: FlaskClient, settings: Settings, query: Query, damage: str
) -> None:
    service: Service = service_of(app)
    away = settings.database_path.rename(settings.database_path.with_suffix(".away"))
    settings.database_path.mkdir()
    answer = api.post("/messages", json=GOOD)
    assert answer.status_code == 202
    message = answer.get_json()
    assert message["message_body"] == "Hello"
    assert (message["current_status"], message["is_final"]) == ("queued", False)
    assert answer.headers["Location"] == f"/messages/{message['message_uuid']}"
    assert service.spool.depth().waiting == 1

    settings.database_path.rmdir()
    if damage == "garbage":
        away.rename(settings.database_path)
    service.store.close()
    assert drain(service.store, service.spool).applied == 1
    (row,) = query("SELECT * FROM messages")
    assert row["message_uuid"] == message["message_uuid"]
    assert (row["message_body"], row["current_status"]) == ("Hello", "queued")
    assert (row["sender_number"], row["recipient_number"]) == (SENDER, TO)


@pytest.fixture
def without_store_and_spool(settings: Settings, api: FlaskClient) -> None:
    settings.database_path.unlink()
    settings.database_path.mkdir()
    (settings.spool_dir / "bad").rmdir()
    settings.spool_dir.rmdir()
    settings.spool_dir.write_text("a file in its place")


@pytest.mark.usefixtures("without_store_and_spool")
def test_a_send_that_neither_store_nor_spool_takes_is_in_the_log_for_replay(
    api: FlaskClient,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = api.post("/messages", json=GOOD)
    assert answer.status_code == 202
    log = capfd.readouterr().err
    (kept,) = read_log(log.splitlines(), settings.auth_tokens)
    assert isinstance(kept, Callback)
    update = read_record(kept)
    assert (update.message_uuid, update.message_body, update.status, update.source) == (
        answer.get_json()["message_uuid"],
        "Hello",
        "queued",
        "send",
    )
    assert "its row goes to the log" in caplog.text
    assert "Hello" not in caplog.text + log


@pytest.mark.usefixtures("without_store_and_spool")
def test_a_send_whose_row_can_go_nowhere_is_still_a_send(
    app: Any,
    api: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("stderr is closed")

    monkeypatch.setattr(service_of(app).last_resort, "keep", fail)
    answer = api.post("/messages", json=GOOD)
    assert answer.status_code == 202
    assert "its text is not kept" in caplog.text
    assert "Hello" not in caplog.text


def test_the_record_of_a_send_says_what_was_written_at_once() -> None:
    """Its digest is that of earlier versions, or a replay would add a second event."""
    fields = {"MessageUUID": "a-uuid", "Status": "queued", "From": "ACME 1", "To": TO}
    written = sent_update(fields, "H\u00e9llo & so", RECEIVED)
    assert read_record(send_record(fields, "H\u00e9llo & so", RECEIVED)) == written
    assert written.digest.hex() == "000000000000eb27cc8ba3fd40822b1b40ea345ee543c534c1a2"
    assert written.parameters == ("From=ACME+1&MessageUUID=a-uuid&Status=queued&To=%2B14155550123")


# What is refused before Plivo is asked.

BAD_TO: list[Any] = [
    *(None, 14155550123, True, ["+14155550123"], {"a": 1}, "", " ", "+", "14155550123"),
    *("+04155550123", "+123456", "+1234567890123456", "+1415555012a", "+1 415 555 0123"),
    *(
        f"{TO}\n",
        f" {TO}",
        f"{TO}<+14155550124",
        "+\u0661415555012",
        "+1415\x00",
        "tel:+14155550123",
    ),
    *(f"{TO}\ud800", "x" * 5000),
]
BAD_TEXT: list[Any] = [
    None,
    5,
    False,
    ["Hello"],
    {},
    "",
    "a\x00b",
    "\ud800",
    "a\udfffb",
    "a" * 1601,
    EURO * 1601,
    KANJI * 738,
    "a" * 737 + KANJI,
    EMOJI * 369,
]
BAD_FROM: list[Any] = [
    None,
    5,
    ["+14155550100"],
    "",
    " ",
    "+",
    "+12",
    "Abcdefghijkl",
    "Ac-me",
    "\u00dcber",
    "A\x00",
    "+1415555010012345",
    "ACME\n",
    "\ud800",
]


def ids(values: list[Any]) -> list[str]:
    return [f"{number}-{ascii(value)[:20]}" for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(("to", value, "E.164") for value in BAD_TO),
        *(("text", value, "1 to 1600 characters") for value in BAD_TEXT),
        *(("from", value, "sender ID") for value in BAD_FROM),
    ],
    ids=ids([*BAD_TO, *BAD_TEXT, *BAD_FROM]),
)
def test_a_bad_field_is_named_with_what_is_expected(
    refusing: FlaskClient, name: str, value: Any, expected: str
) -> None:
    answer = post(refusing, **{name: value})
    content = problem(answer, 422)
    assert list(content["errors"]) == [name]
    assert expected in content["errors"][name]
    assert name in content["detail"]


@pytest.mark.parametrize(
    "text",
    [
        "a",
        " ",
        "a" * 1600,
        "@\u00a3$\u00e9\n\r\u00c7" * 228,
        EURO * 1600,
        "[]{}~^|\\" * 200,
        KANJI,
        KANJI * 737,
        EMOJI * 368,
        EMOJI * 368 + "a",
        "a" * 736 + KANJI,
    ],
    ids=lambda text: f"{text[:3]!a}x{len(text)}",
)
def test_a_text_at_the_limit_is_sent_whole(api: FlaskClient, standin: PlivoApi, text: str) -> None:
    assert post(api, text=text).status_code == 202
    assert standin.asked[0].content["text"] == text


@pytest.mark.parametrize("as_form", [False, True])
def test_all_bad_fields_are_named_at_once(refusing: FlaskClient, as_form: bool) -> None:
    fields = {"to": "5", "text": "", "from": "+", "media": "x"}
    answer = refusing.post("/messages", **({"data": fields} if as_form else {"json": fields}))
    errors = problem(answer, 422)["errors"]
    assert set(errors) == {"to", "text", "from", "media"}
    assert "unknown" in errors["media"]


@pytest.mark.parametrize("fields", [{}, {"to": TO}, {"text": "Hello"}])
def test_missing_fields_are_named(refusing: FlaskClient, fields: dict[str, str]) -> None:
    errors = problem(refusing.post("/messages", json=fields), 422)["errors"]
    assert set(errors) == {"to", "text"} - set(fields)


@pytest.mark.parametrize("to", ["+14155550100", "+14155550111"])
@pytest.mark.parametrize("sign", ["+", ""])
def test_nobody_writes_to_himself(refusing: FlaskClient, to: str, sign: str) -> None:
    fields = {"to": to} | ({"from": sign + to[1:]} if to != SENDER else {})
    assert "another number" in problem(post(refusing, **fields), 422)["errors"]["from"]


def test_a_field_given_twice_is_refused(refusing: FlaskClient) -> None:
    answer = refusing.post("/messages", data={"to": [TO, "+14155550124"], "text": "Hello"})
    assert problem(answer, 422)["errors"] == {"to": "give it once"}


def test_without_any_sender_the_setting_is_named(settings: Settings, standin: PlivoApi) -> None:
    client = create_app(replace(settings, sender=None)).test_client()
    answer = client.post("/messages", json=GOOD, headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert "PLIVO_SENDER" in problem(answer, 422)["errors"]["from"]
    assert standin.asked == []


def test_without_an_auth_id_the_setting_is_named(settings: Settings, standin: PlivoApi) -> None:
    client = create_app(replace(settings, auth_id=None)).test_client()
    answer = client.post("/messages", json=GOOD, headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert "PLIVO_AUTH_ID is not set" in problem(answer, 503)["detail"]
    assert standin.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"to"',
        b"5",
        b'{"to": "\xff"}',
        b"\xff\xfe",
        b"NaN",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"1" * 10_000,
    ],
    ids=lambda body: ascii(body[:8]) + str(len(body)),
)
def test_a_body_that_is_no_json_object_is_400(refusing: FlaskClient, body: bytes) -> None:
    answer = refusing.post("/messages", data=body, content_type="application/json")
    assert "JSON object" in problem(answer, 400)["detail"]


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", None],
)
@pytest.mark.parametrize("before", ["", "\r\n ", "["])
def test_json_that_is_not_called_json_is_told_which_header_it_wants(
    refusing: FlaskClient, content_type: str | None, before: str
) -> None:
    body = before + json.dumps(GOOD)
    answer = refusing.post("/messages", data=body, content_type=content_type)
    assert "looks like JSON" in problem(answer, 415)["detail"]
    assert "Content-Type: application/json" in answer.get_json(force=True)["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", None])
def test_another_kind_of_body_is_415(refusing: FlaskClient, content_type: str | None) -> None:
    answer = refusing.post(
        "/messages", data=b"to=+14155550123&text=Hello", content_type=content_type
    )
    assert "application/json" in problem(answer, 415)["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_is_too_large_is_413(refusing: FlaskClient, content_type: str) -> None:
    problem(refusing.post("/messages", data=b"x" * 70_000, content_type=content_type), 413)


def test_a_form_that_is_not_utf8_is_not_sent_with_its_text_mangled(refusing: FlaskClient) -> None:
    form = "application/x-www-form-urlencoded"
    answer = refusing.post("/messages", data=b"to=%2B14155550123&text=Gr%FC%DFe", content_type=form)
    assert answer.status_code in (400, 422)


# What is said of Plivo's answers, through the real SDK and its traps.

NO_SUCH = {"error": "not found"}
HTML = b"<html><body>Bad gateway</body></html>"
ODD = r"""Número "\d" isn't 北京"""

REFUSALS: dict[str, tuple[Reply, int, str]] = {
    "400": (Reply(400, {"api_id": "x", "error": "invalid src"}), 422, "saying: invalid src"),
    "400 with an object": (Reply(400, {"error": {"error": "dst bad"}}), 422, "saying: dst bad"),
    "400 with other letters": (Reply(400, {"error": ODD}), 422, f"saying: {ODD}"),
    "400 with a list": (Reply(400, {"error": ["a", "b"]}), 422, "Plivo answered 400"),
    "400 with null": (Reply(400, {"error": None}), 422, "Plivo answered 400"),
    "401": (Reply(401, {"error": "denied"}), 502, "PLIVO_AUTH_ID"),
    "401 with text": (Reply(401, b"Could not verify"), 502, "PLIVO_AUTH_TOKEN"),
    "402": (Reply(402, {"error": "no credit"}), 402, "add credit"),
    "403": (Reply(403, {"error": "country blocked"}), 403, "Geo Permissions"),
    "404": (Reply(404, NO_SUCH), 404, "saying: not found"),
    "405": (Reply(405, {"error": "no"}), 422, "Plivo answered 405"),
    "409": (Reply(409, {"error": "no"}), 422, "Plivo answered 409"),
    "422": (Reply(422, {"error": "no"}), 422, "Plivo answered 422"),
    "429": (Reply(429, {"error": "slow down"}), 429, "try again later"),
    "429 with HTML": (Reply(429, HTML), 429, "try again later"),
    "301": (Reply(301, b"", {"Location": "http://127.0.0.1:1/"}), 502, "PLIVO_API_URL"),
    "302": (Reply(302, {}, {"Location": "/v1/"}), 502, "redirect"),
    "307": (Reply(307, HTML, {"Location": "/v1/"}), 502, "Plivo answered 307"),
    "202 with a bad number": (
        Reply(202, {"message": "x", "message_uuid": [], "invalid_number": [TO]}),
        422,
        "recipient is not valid",
    ),
}
PERHAPS: dict[str, tuple[Reply, int]] = {
    "408": (Reply(408, {"error": "late"}), 502),
    "500": (Reply(500, {"error": "oops"}), 502),
    "500 with HTML": (Reply(500, HTML), 502),
    "502": (Reply(502, HTML), 502),
    "503": (Reply(503, {"error": "down"}), 502),
    "503 with null": (Reply(503, None), 502),
    "504": (Reply(504, b""), 502),
    "200 with HTML": (Reply(200, HTML), 502),
    "200 with nothing": (Reply(200, b""), 502),
    "200 with null": (Reply(200, None), 502),
    "200 with []": (Reply(200, []), 502),
    "200 with {}": (Reply(200, {}), 502),
    "200 with a number": (Reply(200, 5), 502),
    "200 with an error": (Reply(200, {"error": "odd"}), 502),
    "202 without UUID": (Reply(202, {"message_uuid": []}), 502),
    "202 with a UUID that is null": (Reply(202, {"message_uuid": [None]}), 502),
    "202 with a UUID that is empty": (Reply(202, {"message_uuid": [""]}), 502),
    "202 with a UUID that is none": (Reply(202, {"message_uuid": ["../x"]}), 502),
    "202 with a UUID that is too long": (Reply(202, {"message_uuid": ["x" * 300]}), 502),
    "202 with a UUID that is a surrogate": (Reply(202, b'{"message_uuid": ["\\ud800"]}'), 502),
    "202 with a UUID outside its list": (Reply(202, {"message_uuid": "x"}), 502),
    "200 with not UTF-8": (Reply(200, b'{"message_uuid": ["\xff"]}'), 502),
    "200 nested too deep": (Reply(200, b"[" * 20_000), 502),
    "200 with broken gzip": (Reply(200, b"no gzip", {"Content-Encoding": "gzip"}), 502),
    "hung up without an answer": (Reply(hang_up_after=-1), 502),
    "hung up in the middle": (Reply(202, {"message_uuid": ["x"]}, hang_up_after=5), 502),
    "no HTTP": (Reply(202, b"x", {"Content-Length": "-1"}), 502),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_plivos_refusal_is_passed_on_in_words(
    api: FlaskClient, standin: PlivoApi, query: Query, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    reply, status, words = REFUSALS[case]
    standin.reply = lambda asked: reply
    content = problem(api.post("/messages", json=GOOD), status)
    assert words in f"{content['title']} {content['detail']}"
    assert MAY_HAVE_HAPPENED not in content["detail"]
    assert len(standin.asked) == 1
    assert query("SELECT * FROM messages") == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("case", PERHAPS)
def test_a_send_that_may_have_happened_says_so_and_is_not_repeated(
    api: FlaskClient, standin: PlivoApi, query: Query, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    reply, status = PERHAPS[case]
    standin.reply = lambda asked: reply
    content = problem(api.post("/messages", json=GOOD), status)
    assert "may have been carried out" in content["detail"]
    assert content["detail"].endswith(MAY_HAVE_HAPPENED)
    assert len(standin.asked) == 1
    assert query("SELECT * FROM messages") == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [("7", "7"), ("0", "60"), ("soon", "60"), ("-1", "60"), ("99999999", "60"), (None, "60")],
)
def test_the_rate_limit_passes_on_how_long_to_wait(
    api: FlaskClient, standin: PlivoApi, told: str | None, passed_on: str
) -> None:
    headers = {} if told is None else {"Retry-After": told}
    standin.reply = lambda asked: Reply(429, {"error": "slow down"}, headers)
    answer = api.post("/messages", json=GOOD)
    problem(answer, 429)
    assert answer.headers["Retry-After"] == passed_on


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [
        ("Sun, 06 Nov 1994 08:51:44 GMT", "127"),
        ("Sunday, 06-Nov-94 08:51:44 GMT", "127"),
        ("Sun Nov  6 08:51:44 1994", "127"),
        ("Sun, 06 Nov 1994 08:49:30 GMT", "60"),
        ("Sun, 06 Nov 2022 08:49:37 GMT", "60"),
        ("Sun, 99 Nov 1994 08:49:37 GMT", "60"),
    ],
)
def test_how_long_to_wait_may_be_a_date_of_plivos_clock(
    api: FlaskClient, standin: PlivoApi, told: str, passed_on: str
) -> None:
    headers = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": told}
    standin.reply = lambda asked: Reply(429, {"error": "slow down"}, headers)
    assert api.post("/messages", json=GOOD).headers["Retry-After"] == passed_on


def test_without_plivos_clock_such_a_date_is_compared_with_ours(
    api: FlaskClient, standin: PlivoApi
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=23), usegmt=True)
    headers = {"Date": "unknown", "Retry-After": later}
    standin.reply = lambda asked: Reply(429, {"error": "slow down"}, headers)
    wait = int(api.post("/messages", json=GOOD).headers["Retry-After"])
    assert 20 * 3600 < wait <= 23 * 3600


def test_a_plivo_that_is_down_passes_on_how_long_to_wait(
    api: FlaskClient, standin: PlivoApi
) -> None:
    standin.reply = lambda asked: Reply(503, {"error": "down"}, {"Retry-After": "30"})
    assert api.post("/messages", json=GOOD).headers["Retry-After"] == "30"
    standin.reply = lambda asked: Reply(503, {"error": "down"})
    assert "Retry-After" not in api.post("/messages", json=GOOD).headers


def test_a_send_that_timed_out_may_have_happened_and_is_not_repeated(
    settings: Settings, hanging: HangingPlivo, query: Query
) -> None:
    impatient = replace(settings, plivo_api_url=hanging.url, plivo_timeouts=(60.0, 0.05))
    client = create_app(impatient).test_client()
    answer = client.post("/messages", json=GOOD, headers={"Authorization": f"Bearer {API_TOKEN}"})
    content = problem(answer, 504)
    assert content["title"] == "Plivo did not answer in time"
    assert "may have been carried out" in content["detail"]
    assert content["detail"].endswith(MAY_HAVE_HAPPENED)
    (request,) = hanging.requests()
    assert request.startswith(b"POST ")
    assert query("SELECT * FROM messages") == []


def test_a_send_that_could_not_connect_did_not_happen(settings: Settings) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    client = create_app(replace(settings, plivo_api_url=nowhere)).test_client()
    answer = client.post("/messages", json=GOOD, headers={"Authorization": f"Bearer {API_TOKEN}"})
    content = problem(answer, 502)
    assert content["title"] == "Plivo cannot be reached"
    assert "Nothing was sent" in content["detail"]


def test_a_host_that_does_not_exist_is_said_so(settings: Settings) -> None:
    nowhere = "http://" + ".".join(["x" * 60] * 5)  # longer than a name can be, so no DNS is asked
    client = create_app(replace(settings, plivo_api_url=nowhere)).test_client()
    answer = client.post("/messages", json=GOOD, headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert "Nothing was sent" in problem(answer, 502)["detail"]


def test_the_first_token_calls_plivo(settings: Settings, standin: PlivoApi) -> None:
    client = create_app(replace(settings, auth_tokens=("first", "second"))).test_client()
    client.post("/messages", json=GOOD, headers={"Authorization": f"Bearer {API_TOKEN}"})
    scheme, _, encoded = standin.asked[0].authorization.partition(" ")
    assert scheme == "Basic"
    assert b64decode(encoded).decode() == f"{AUTH_ID}:first"


def test_callbacks_are_taken_while_plivo_hangs(live: LiveService, live_standin: PlivoApi) -> None:
    asked, released = threading.Event(), threading.Event()

    def hang(_: Asked) -> Reply:
        asked.set()
        return Reply(202, {"message_uuid": [str(uuid.uuid4())]}, wait=released)

    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
    sent = Request("POST", "/messages", headers, json.dumps(GOOD).encode())
    live_standin.reply = hang
    with ThreadPoolExecutor() as pool:
        try:
            waiting = pool.submit(send, sent, live.address)
            assert asked.wait(60)
            assert send(live.plivo.post(live.plivo.fields("sent")), live.address)[0] == 200
        finally:
            live_standin.reply = lambda _: None
            released.set()
        waiting.result(60)
