"""`messages`: the newest in a table, or one with its timeline; `--json` says what the API says."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from smsstatus.settings import Settings

from ..conftest import Receive
from ..live import API_TOKEN
from .conftest import Run, refused

DAY = "2026-11-01"
AUTHORIZED = {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
def bounced(receive: Receive) -> str:
    message_uuid = receive("undelivered", ErrorCode="30", Timestamp=f"{DAY} 00:00:03")
    receive("queued", message_uuid, Timestamp=f"{DAY} 00:00:01")
    receive("queued", message_uuid, Timestamp=f"{DAY} 00:00:01")
    return message_uuid


def test_a_table_shows_the_newest_first(run: Run, receive: Receive, bounced: str) -> None:
    newest = receive("sent", From="ACME")
    head, *lines = run("messages").stdout.splitlines()
    assert head.split() == [
        "created_at",
        "message_uuid",
        "sender_number",
        "recipient_number",
        "current_status",
        "error",
    ]
    assert [line.split()[1] for line in lines] == [newest, bounced]
    assert lines[0].split()[2:] == ["ACME", "+14155550123", "sent"]
    assert lines[1].endswith("undelivered     30 Spam detected")


def test_nothing_that_is_stored_can_steer_the_terminal(run: Run, receive: Receive) -> None:
    hostile = "\x1b]0;x\x07\x1b[2J\r\n\x9b31m\u202eabc"
    message_uuid = receive(f"{hostile}a", From=f"{hostile}b", To=f"{hostile}c", ErrorCode=hostile)
    for arguments in ([], [message_uuid]):
        output = run("messages", *arguments).stdout
        assert output.replace("\n", "").isprintable()
        assert "\\x1b]0;x\\x07\\x1b[2J\\r\\n\\x9b31m\\u202eabc" in output
    assert len(run("messages").stdout.splitlines()) == 2


def test_a_limit_can_be_given(run: Run, receive: Receive) -> None:
    for _ in range(25):
        receive("sent")
    assert len(run("messages").stdout.splitlines()) == 21
    assert len(run("messages", "--limit", 3).stdout.splitlines()) == 4
    assert run("messages", "--limit", 0).exit_code == 2


def test_without_messages_there_is_only_the_head(run: Run) -> None:
    assert len(run("messages").stdout.splitlines()) == 1
    assert json.loads(run("messages", "--json").stdout) == []


def test_a_timeline_shows_what_happened_oldest_first(run: Run, bounced: str) -> None:
    first, second, head, *events = run("messages", bounced).stdout.splitlines()
    assert first == f"{bounced}  undelivered  30 Spam detected"
    assert second == "from +14155550100 to +14155550123"
    assert head.split()[:2] == ["status", "status_timestamp"]
    assert [event.split()[:2] for event in events] == [
        ["queued", f"{DAY}T00:00:01.000000Z"],
        ["undelivered", f"{DAY}T00:00:03.000000Z"],
    ]
    assert [event.split()[-2:] for event in events] == [["callback", "1"], ["callback", "0"]]


def test_the_text_of_a_message_stays_on_its_line(run: Run) -> None:
    message_uuid = run("send", "+14155550123", "two\nlines \x1b[31m").stdout.strip()
    shown = run("messages", message_uuid).stdout
    if message_uuid:  # an escape is no GSM-7 character, but UCS-2 may hold it
        assert r"'two\nlines \x1b[31m'" in shown
        assert "\x1b" not in shown


def test_json_is_what_the_api_answers(run: Run, client: FlaskClient, bounced: str) -> None:
    listed = json.loads(run("messages", "--json").stdout)
    assert listed == client.get("/messages", headers=AUTHORIZED).get_json()["messages"]
    shown = json.loads(run("messages", "--json", bounced).stdout)
    assert shown == client.get(f"/messages/{bounced}", headers=AUTHORIZED).get_json()


@pytest.mark.parametrize("arguments", [("none",), ("none", "--json")])
def test_an_unknown_message_is_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    assert "no such message" in refused(run("messages", *arguments))


@pytest.mark.parametrize("arguments", [(), ("none",), ("--json",)])
def test_a_database_that_cannot_be_read_is_one_line(
    run: Run, settings: Settings, arguments: tuple[str, ...]
) -> None:
    settings.database_path.unlink()
    settings.database_path.mkdir()
    assert "database cannot be read" in refused(run("messages", *arguments))
