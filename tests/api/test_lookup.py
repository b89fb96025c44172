"""GET /messages/<uuid>: one message and what happened to it."""

from __future__ import annotations

import sqlite3
import uuid
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from ..conftest import Query, Receive
from ..rows import insert, row
from .conftest import problem

DAY = "2026-11-01"
FIELDS = (
    "message_uuid",
    "sender_number",
    "recipient_number",
    "message_body",
    "initial_status",
    "current_status",
    "status_timestamp",
    "error_code",
    "created_at",
    "updated_at",
    "is_final",
    "events",
    "error",
    "reference",
    "country",
    "network",
    "units",
    "amount",
)


def test_a_message_says_what_is_known_of_it(api: FlaskClient, receive: Receive) -> None:
    message_uuid = receive("queued", Timestamp=f"{DAY} 00:00:01", Sequence="1")
    receive("undelivered", message_uuid, Timestamp=f"{DAY} 00:00:03", ErrorCode="30", Sequence="3")
    receive("sent", message_uuid, Timestamp=f"{DAY} 00:00:02", Sequence="2")
    receive("sent", message_uuid, Timestamp=f"{DAY} 00:00:02", Sequence="2")

    message = api.get(f"/messages/{message_uuid}").get_json()
    assert set(message) == set(FIELDS)
    assert message["message_uuid"] == message_uuid
    assert message["sender_number"] == "+14155550100"
    assert message["recipient_number"] == "+14155550123"
    assert message["message_body"] is None
    assert (message["initial_status"], message["current_status"]) == ("queued", "undelivered")
    assert message["status_timestamp"] == f"{DAY}T00:00:03.000000Z"
    assert message["is_final"] is True
    assert message["created_at"] < message["updated_at"]
    assert message["error_code"] == "30"
    assert message["error"].pop("meaning")
    assert message["error"] == {"code": "30", "reason": "Spam detected", "retry": "permanent"}


def test_events_are_shown_oldest_first_in_whatever_order_they_came(
    api: FlaskClient, receive: Receive
) -> None:
    message_uuid = receive("delivered", Timestamp=f"{DAY} 00:00:03", Sequence="3")
    receive("sent", message_uuid, Timestamp=f"{DAY} 00:00:02", Sequence="2")
    receive("queued", message_uuid, Timestamp=f"{DAY} 00:00:01", Sequence="1", ErrorCode="000")
    receive("sent", message_uuid, Timestamp=f"{DAY} 00:00:02", Sequence="2")
    events = api.get(f"/messages/{message_uuid}").get_json()["events"]
    assert [event["status"] for event in events] == ["queued", "sent", "delivered"]
    assert [event["sequence"] for event in events] == [1, 2, 3]
    assert [event["repeats"] for event in events] == [0, 1, 0]
    assert [event["status_timestamp"] for event in events] == [
        f"{DAY}T00:00:0{second}.000000Z" for second in (1, 2, 3)
    ]
    for event in events:
        assert event.keys() == {
            "status",
            "status_timestamp",
            "error_code",
            "sequence",
            "received_at",
            "source",
            "repeats",
        }
        assert event["source"] == "callback"
        assert event["error_code"] is None
        assert event["received_at"].endswith("Z")


@pytest.mark.parametrize(
    ("status", "final"),
    [
        ("queued", False),
        ("sent", False),
        ("accepted", False),
        ("failed", True),
        ("rejected", True),
        ("undelivered", True),
        ("delivered", True),
        ("read", True),
    ],
)
def test_is_final_says_whether_more_is_to_come(
    api: FlaskClient, receive: Receive, status: str, final: bool
) -> None:
    assert api.get(f"/messages/{receive(status)}").get_json()["is_final"] is final


@pytest.mark.parametrize("code", ["", "000"])
def test_no_error_is_null(api: FlaskClient, receive: Receive, code: str) -> None:
    message = api.get(f"/messages/{receive('delivered', ErrorCode=code)}").get_json()
    assert (message["error_code"], message["error"]) == (None, None)


def test_a_code_that_is_not_in_our_table_is_kept_and_explained(
    api: FlaskClient, receive: Receive
) -> None:
    error = api.get(f"/messages/{receive('failed', ErrorCode='9876')}").get_json()["error"]
    assert (error["code"], error["retry"]) == ("9876", "unknown")
    assert "not in our table" in error["meaning"]


def test_a_uuid_in_capitals_is_looked_up(api: FlaskClient, receive: Receive) -> None:
    message_uuid = receive("sent")
    found = api.get(f"/messages/{message_uuid.upper()}").get_json()
    assert found["message_uuid"] == message_uuid


def test_an_unknown_uuid_is_404_and_says_what_that_means(api: FlaskClient) -> None:
    content = problem(api.get(f"/messages/{uuid.uuid4()}"), 404)
    assert "No callback has reported this message" in content["detail"]


A_UUID = "3d5a3f6e-6a3c-4b7c-9d52-3f1a5e0c7b11"


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "none",
        "%F0%9F%98%80",
        "0" * 36,
        "0" * 32,
        "..%2e",
        "' OR 1=1 --",
        "a/b",
        "a%2Fb",
        f"{A_UUID}%0A",
        f"{A_UUID}x",
        "{" + A_UUID + "}",
        "x" * 300,
    ],
)
def test_an_id_that_nothing_has_is_404(api: FlaskClient, text: str) -> None:
    problem(api.get(f"/messages/{text}"), 404)


@pytest.mark.parametrize("text", ["%00", "a%00", "%20", "%FF", "Caf%E9"])
def test_an_id_that_nothing_can_have_is_400(api: FlaskClient, text: str) -> None:
    assert "message_uuid" in problem(api.get(f"/messages/{text}"), 400)["detail"]


@pytest.mark.parametrize(
    "message_uuid",
    ["SM0123456789abcdef0123456789abcdef", "0123456789abcdef" * 2, str(uuid.UUID(int=7)).upper()],
)
def test_an_id_of_any_form_is_looked_up(
    api: FlaskClient, receive: Receive, message_uuid: str
) -> None:
    receive("sent", message_uuid)
    assert api.get(f"/messages/{message_uuid}").get_json()["message_uuid"] == message_uuid


@pytest.mark.parametrize(
    "message_uuid",
    ["a/b", "a//b/", "50% off?", "#1", "Caf\u00e9", "%2F", "a+b", "a b", "\ufffd", "'\""],
)
def test_an_id_that_an_older_version_stored_is_looked_up(
    api: FlaskClient, writable: sqlite3.Connection, message_uuid: str
) -> None:
    insert(writable, [row(1, f"{DAY}T00:00:00.000000Z", message_uuid=message_uuid)])
    found = api.get(f"/messages/{quote(message_uuid, safe='')}")
    assert found.get_json()["message_uuid"] == message_uuid


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("14155550123", "+14155550123"),
        ("+14155550123", "+14155550123"),
        ("1234567", "+1234567"),
        ("123456789012345", "+123456789012345"),
        *((text, text) for text in ("123456", "+123456", "1234567890123456", "04155550123")),
        *((text, text) for text in ("ACME", "Caf\u00e9", "1-415-555-0123", "+", "++14155550123")),
        *((text, text) for text in ("1415555012x", "\u0661\u0662\u0663\u0664\u0665\u0666\u0667")),
        ("", None),
    ],
)
def test_a_number_is_shown_in_one_notation_and_anything_else_as_it_came(
    api: FlaskClient, receive: Receive, query: Query, stored: str, shown: str | None
) -> None:
    message_uuid = receive("sent", From=stored, To=stored)
    message = api.get(f"/messages/{message_uuid}").get_json()
    assert (message["sender_number"], message["recipient_number"]) == (shown, shown)
    (kept,) = query("SELECT sender_number, recipient_number FROM messages")
    assert set(kept.values()) == {stored or None}
