"""GET /messages: filters, pages, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.query import decode_cursor

from ..conftest import Receive
from ..rounds import examples
from ..rows import insert, row
from .conftest import problem

NUMBERS = ("14155550101", "+14155550102")
STATUSES = ("queued", "sent", "delivered", "undelivered")
CODES = (None, "30", "450")
TIMES = tuple(f"2026-11-01T00:00:0{second}.000000Z" for second in range(4))


@pytest.fixture
def every_kind(writable: sqlite3.Connection) -> list[dict[str, Any]]:
    """One message of each combination, newest first."""
    kinds = product(TIMES, STATUSES, NUMBERS, NUMBERS, CODES)
    rows = [
        row(
            number,
            created_at,
            status,
            sender_number=sender,
            recipient_number=recipient,
            error_code=code,
        )
        for number, (created_at, status, sender, recipient, code) in enumerate(kinds)
    ]
    insert(writable, rows)
    return rows[::-1]


def walk(api: FlaskClient, **query: Any) -> Iterator[dict[str, Any]]:
    """All pages, following next_cursor."""
    while True:
        answer = api.get("/messages", query_string=query)
        assert answer.status_code == 200, answer.text
        page = answer.get_json()
        assert set(page) == {"messages", "next_cursor"}
        assert len(page["messages"]) <= int(query.get("limit", 50))
        yield from page["messages"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def uuids(messages: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> list[str]:
    return [message["message_uuid"] for message in messages]


FILTERS: dict[str, list[Any]] = {
    "status": [[], ["sent"], ["sent", "delivered", "unheard of"]],
    "to": [None, "+14155550101", "14155550102"],
    "from": [None, "14155550102"],
    "error_code": [None, "30"],
    "since": [None, "2026-11-01T00:00:01Z"],
    "until": [None, "2026-11-01T05:30:03+05:30"],
}


def wanted(message: dict[str, Any], asked: dict[str, Any]) -> bool:
    """What the filters mean, said once more and simply."""
    return (
        (not asked["status"] or message["current_status"] in asked["status"])
        and (asked["to"] or message["recipient_number"])[-11:] == message["recipient_number"][-11:]
        and (asked["from"] or message["sender_number"])[-11:] == message["sender_number"][-11:]
        and (asked["error_code"] or message["error_code"]) == message["error_code"]
        and (asked["since"] is None or message["created_at"] >= TIMES[1])
        and (asked["until"] is None or message["created_at"] < TIMES[3])
    )


def test_each_combination_of_filters_lists_what_matches_newest_first(
    api: FlaskClient, every_kind: list[dict[str, Any]]
) -> None:
    for values in product(*FILTERS.values()):
        asked = dict(zip(FILTERS, values, strict=True))
        expected = uuids([message for message in every_kind if wanted(message, asked)])
        given_ones = {name: value for name, value in asked.items() if value}
        assert uuids(walk(api, limit=50, **given_ones)) == expected, asked


WALKED: list[list[str]] = [[], ["sent"], ["sent", "queued", "sent"], [*STATUSES, "odd"]]


@pytest.mark.parametrize(
    ("limit", "status"), [(1, ["sent", "queued", "sent"]), *product((7, 200), WALKED)]
)
def test_a_walk_sees_every_message_once_though_many_have_the_same_time(
    api: FlaskClient, every_kind: list[dict[str, Any]], limit: int, status: list[str]
) -> None:
    expected = [kind for kind in every_kind if not status or kind["current_status"] in status]
    assert uuids(walk(api, limit=limit, status=status)) == uuids(expected)


@pytest.mark.parametrize("status", [[], ["sent", "queued"]])
def test_a_walk_sees_every_message_once_while_others_come(
    api: FlaskClient, every_kind: list[dict[str, Any]], receive: Receive, status: list[str]
) -> None:
    expected = [kind for kind in every_kind if not status or kind["current_status"] in status]
    seen = []
    for number, message in enumerate(walk(api, limit=5, status=status)):
        seen.append(message)
        if number % 5 == 4:
            receive("sent")
    assert uuids(seen) == uuids(expected)


def test_a_page_that_ends_with_the_last_message_has_no_next(
    api: FlaskClient, receive: Receive
) -> None:
    for _ in range(3):
        receive("sent")
    assert api.get("/messages?limit=3").get_json()["next_cursor"] is None
    assert api.get("/messages?limit=2").get_json()["next_cursor"] is not None


def test_fifty_are_listed_unless_told_otherwise(
    api: FlaskClient, every_kind: list[dict[str, Any]]
) -> None:
    assert len(api.get("/messages").get_json()["messages"]) == 50


def test_an_empty_list_is_a_list(api: FlaskClient) -> None:
    assert api.get("/messages").get_json() == {"messages": [], "next_cursor": None}


def test_a_listed_message_says_what_its_page_says_but_for_the_events(
    api: FlaskClient, receive: Receive
) -> None:
    message_uuid = receive("failed", ErrorCode="450")
    (listed,) = api.get("/messages").get_json()["messages"]
    shown = api.get(f"/messages/{message_uuid}").get_json()
    del shown["events"]
    assert listed == shown
    assert listed["error"]["reason"] == "Destination country barred"


@pytest.mark.parametrize("to", ["+14155550102", "14155550102", "%2B14155550102"])
def test_a_number_is_found_with_plus_without_and_with_curls_blank(
    api: FlaskClient, every_kind: list[dict[str, Any]], to: str
) -> None:
    found = api.get(f"/messages?to={to}&limit=200").get_json()["messages"]
    assert len(found) == len(every_kind) / 2
    assert {message["recipient_number"] for message in found} == {"+14155550102"}


def test_a_sender_that_is_a_word_is_found(api: FlaskClient, receive: Receive) -> None:
    message_uuid = receive("sent", From="ACME")
    receive("sent", From="Acme")
    assert uuids(api.get("/messages?from=ACME").get_json()["messages"]) == [message_uuid]


def test_a_number_is_not_found_by_its_end(api: FlaskClient, receive: Receive) -> None:
    receive("sent", To="14155550123")
    assert api.get("/messages?to=5550123").get_json()["messages"] == []


def test_a_status_is_found_in_any_case(api: FlaskClient, receive: Receive) -> None:
    message_uuid = receive("Delivered")
    for status in ("delivered", "DELIVERED"):
        found = api.get(f"/messages?status={status}").get_json()["messages"]
        assert uuids(found) == [message_uuid]


def test_hundreds_of_statuses_are_no_trouble(api: FlaskClient, receive: Receive) -> None:
    message_uuid = receive("sent")
    asked = ["sent", *(f"s{number:x}" for number in range(400))]
    answer = api.get("/messages", query_string={"status": asked})
    if answer.status_code == 400:
        assert "status" in problem(answer, 400)["errors"]
    else:
        assert uuids(answer.get_json()["messages"]) == [message_uuid]


def cursor(*content: Any) -> str:
    return urlsafe_b64encode(json.dumps(list(content)).encode()).decode().rstrip("=")


CURSORS = [
    *("", "x", "!", "AAAA", "=", "\u00fc", "%00", "null", "a" * 3000),
    *(cursor(), cursor(TIMES[0]), cursor(TIMES[0], 1, 2), cursor("soon", 1), cursor(TIMES[0], "1")),
    *(cursor(TIMES[0], True), cursor(TIMES[0], 1.0), cursor(TIMES[0], 0), cursor(TIMES[0], -1)),
    *(cursor(TIMES[0], 2**63), cursor(TIMES[0], None), cursor(None, 1), cursor(5, 1)),
    *(cursor([], 1), cursor({}, 1), cursor(True, 1), cursor("2026-11-01", 1), cursor("\ud800", 1)),
    *(cursor(TIMES[0], 1) + "=", cursor(TIMES[0], 1) + "\n", cursor(TIMES[0], 1)[:-1]),
    *(cursor({"a": 1, "b": 2}), urlsafe_b64encode(b'{"a":1,"b":2}').decode()),
    urlsafe_b64encode(b"[" * 3000).decode(),
    urlsafe_b64encode(b"[5," + b"9" * 5000 + b"]").decode(),
    urlsafe_b64encode(b'["2026-11-01T00:00:00.000000Z", NaN]').decode(),
]


@pytest.mark.parametrize("text", CURSORS, ids=range(len(CURSORS)))
def test_a_cursor_that_is_not_ours_is_refused(refusing: FlaskClient, text: str) -> None:
    content = problem(refusing.get("/messages", query_string={"cursor": text}), 400)
    assert "next_cursor" in content["errors"]["cursor"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=4),
    max_leaves=6,
)


@given(_json)
@hypothesis_settings(
    max_examples=examples(150),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_json_in_a_cursor_is_trouble(content: Any) -> None:
    for text in (cursor(content), cursor(content, 1), cursor(TIMES[0], content)):
        try:
            decode_cursor(text)
        except (ValueError, TypeError):
            continue


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("limit", text) for text in ("0", "-1", "201", "1000", "x", "", "1.0", "5 ", "\u0661")),
        *(("since", text) for text in ("yesterday", "", "2026-13-01", "2026-02-30", "1793491200")),
        *(("until", text) for text in ("2026-11-01T25:00", "2026-11-01T00:00:00+05", "20261101")),
        ("until", "2026-11-01T00:00:00 05:30"),  # a + that was not written as %2B
        *(("since", text) for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")),
        *(("since", text) for text in ("0000-01-01", "2026-11-01T00:00:00Z\n")),
        *(("status", text) for text in ("", "5", "sent;", "x" * 50, "sent\n", "\u00fc", "' OR 1")),
        *((name, text) for name in ("to", "from", "error_code") for text in ("", " \n", "a\0b")),
        ("page", "2"),
        ("Status", "sent"),
        ("sort", "x"),
        ("x" * 100, ""),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_expected(
    refusing: FlaskClient, name: str, text: str
) -> None:
    query = f"{_quoted(name)}={_quoted(text)}"
    content = problem(refusing.get(f"/messages?{query}"), 400)
    (named,) = content["errors"]
    assert named == name[:40]
    assert content["errors"][named]


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("query", ["from=Caf%E9", "from=%ED%A0%80", "since=%FF", "%FF=x"])
@pytest.mark.parametrize("path", ["/messages", "/stats"])
def test_a_query_that_is_not_utf_8_is_refused(refusing: FlaskClient, path: str, query: str) -> None:
    assert "UTF-8" in problem(refusing.get(f"{path}?{query}"), 400)["detail"]


STORED = [
    *("AT&T-Info", "My-Shop", "NHS.UK", "Caf\u00e9", "ACME Ltd.", "a%26b", "50% off", "x=y&z", "+"),
    *("whatsapp:+14155550100", "\u6f22\u5b57", "\U0001f600", "'; --", "12", "0049170", "++1"),
    *(
        "0123456789ABCDEF0123456789abcdef",
        "x" * 300,
        "two\nlines",
        "[::1]",
        "\u200fRTL",
        "#1",
        "-1",
    ),
]


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(
    ("name", "field"), [("from", "From"), ("to", "To"), ("error_code", "ErrorCode")]
)
def test_whatever_is_stored_can_be_asked_for(
    api: FlaskClient, receive: Receive, name: str, field: str, stored: str
) -> None:
    receive("failed", **{field: "other"})
    message_uuid = receive("failed", **{field: f" {stored}"})
    for query in ({name: stored}, {name: f" {stored} "}):
        answer = api.get("/messages", query_string=query)
        assert uuids(answer.get_json()["messages"]) == [message_uuid]


@pytest.mark.parametrize("path", ["/messages", "/stats"])
def test_a_window_that_ends_before_it_begins_is_refused_with_what_to_do(
    api: FlaskClient, path: str
) -> None:
    for since, until in (
        ("2026-11-02", "2026-11-01T23:59:59.999999Z"),
        ("2026-11-01T00:00:00-01:00", "2026-11-01T00:30:00Z"),
    ):
        asked = {"since": since, "until": until}
        content = problem(api.get(path, query_string=asked), 400)
        assert "exchange" in content["errors"]["since"]
        assert api.get(path, query_string={**asked, "since": until}).status_code == 200


@pytest.mark.parametrize("name", ["to", "from", "error_code", "since", "until", "limit", "cursor"])
def test_only_status_may_be_given_more_than_once(refusing: FlaskClient, name: str) -> None:
    content = problem(refusing.get(f"/messages?{name}=2026-11-01&{name}=2026-11-01"), 400)
    assert name in content["errors"]


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2026-11-01", 4),
        ("2026-11-01T00:00", 4),
        ("2026-11-01 00:00:01", 3),
        ("2026-11-01T00:00:01.5Z", 2),
        ("2026-11-01T05:30:02%2B05:30", 2),
        ("2026-10-31T19:00:03-05:00", 1),
        ("2026-11-01T00:00:03.000001Z", 0),
    ],
)
def test_times_are_iso_8601_and_since_is_inclusive(
    api: FlaskClient, every_kind: list[dict[str, Any]], since: str, count: int
) -> None:
    found = api.get(f"/messages?since={since}&limit=200").get_json()["messages"]
    assert len(found) == count * len(every_kind) / 4
