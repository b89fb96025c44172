"""`messages`: those that filters let through, in a table, as JSON or CSV; or one's timeline."""

from __future__ import annotations

import json
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.settings import Settings

from ..conftest import Deliver, Receive
from ..live import API_TOKEN
from ..signed import Plivo
from .conftest import Run, refused

DAY = "2026-11-01"
NARROW = {"COLUMNS": "80"}
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
        "current_status",
        "recipient_number",
        "sender_number",
        "error",
    ]
    assert [line.split()[1] for line in lines] == [newest, bounced]
    assert lines[0].split()[2:] == ["sent", "+14155550123", "ACME"]
    assert re.search("undelivered .*  30 Spam detected$", lines[1])


def test_nothing_that_is_stored_can_steer_the_terminal(run: Run, receive: Receive) -> None:
    hostile = "\x1b]0;x\x07\x1b[2J\r\n\x9b31m\u202eabc"
    message_uuid = receive(f"{hostile}a", From=f"{hostile}b", To=f"{hostile}c", ErrorCode=hostile)
    for arguments in ([], [message_uuid]):
        output = run("messages", *arguments).stdout
        assert output.replace("\n", "").isprintable()
        assert "\\x1b]0;x\\x07\\x1b[2J\\r\\n\\x9b31m\\u202eabc" in output
    assert len(run("messages").stdout.splitlines()) == 2


def test_a_message_is_shown_whose_uuid_is_typed_in_capitals(run: Run, receive: Receive) -> None:
    message_uuid = receive("sent")
    assert message_uuid in run("messages", message_uuid.upper()).stdout


def test_a_limit_can_be_given(run: Run, receive: Receive) -> None:
    for _ in range(25):
        receive("sent")
    assert len(run("messages").stdout.splitlines()) == 21
    assert len(run("messages", "--limit", 3).stdout.splitlines()) == 4
    assert run("messages", "--limit", 0).exit_code == 2


def test_without_messages_there_is_only_the_head(run: Run) -> None:
    assert len(run("messages").stdout.splitlines()) == 1
    assert json.loads(run("messages", "--json").stdout) == []


def test_a_row_that_80_columns_are_too_few_for_goes_on_below(run: Run, bounced: str) -> None:
    lines = run("messages", env=NARROW).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines] == [
        ["created_at", "message_uuid", "current_status"],
        ["recipient_number", "sender_number", "error"],
        [lines[2].split()[0], bounced, "undelivered"],
        ["+14155550123", "+14155550100", "30", "Spam", "detected"],
    ]
    assert all(line.startswith("    +") for line in lines[3::2])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "Failed"], "b"),
        (["--status", "failed", "--status", "sent"], "ba"),
        (["--to", "0123"], "ba"),
        (["--to", "+1 415 555 0199"], "c"),
        (["--from", "ACME"], "a"),
        (["--error-code", "30"], "b"),
        (["--reference", "order=42"], "c"),
        (["--country", "us"], "ba"),
        (["--country", "none"], "c"),
        (["--since", "2h"], "cba"),
        (["--until", "2h"], ""),
        (["--since", "2020-01-01", "--until", "2099-01-01"], "cba"),
        (["--to", "0123", "--status", "failed", "--since", "1m"], "b"),
    ],
)
def test_each_filter_lets_through_what_the_api_would(
    run: Run, deliver: Deliver, plivo: Plivo, options: list[str], found: str
) -> None:
    for fields, query in (
        (plivo.fields("sent", "a", From="ACME"), ""),
        (plivo.fields("failed", "b", ErrorCode="30"), ""),
        (plivo.fields("delivered", "c", To="014155550199", MCC=""), "order=42"),
    ):
        assert deliver(plivo.post(fields, query=query)).status_code == 200
    listed = json.loads(run("messages", *options, "--json").stdout)
    assert "".join(message["message_uuid"] for message in listed) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--status", "<b>"], "--status must be a word such as delivered"),
        (["--to", "123"], "--to must be a number, or at least its last four digits"),
        (["--error-code", " "], "--error-code must not be blank"),
        (["--reference", "order"], "--reference must be name=value"),
        (["--country", "nowhere"], "for example US, or none"),
        (["--since", "yesterday"], "--since must be 2h, 3d or ISO 8601"),
        (["--since", "1h", "--until", "2h"], "exchange the two"),
        (["--limit", "0"], "--limit"),
        (["--csv", "--json"], "--csv"),
        (["some-uuid", "--csv"], "--csv"),
        (["some-uuid", "--to", "0123"], "leave the filters out"),
    ],
)
def test_an_option_that_means_nothing_is_refused_in_words(
    run: Run, options: list[str], said: str
) -> None:
    result = run("messages", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_where_nothing_is_found_it_is_said_and_what_is_no_status(
    run: Run, receive: Receive, options: list[str]
) -> None:
    receive("sent")
    assert run("messages", "--status", "failed", *options).stderr == "no messages\n"
    result = run("messages", "--status", "faild", *options)
    assert result.exit_code == 0
    assert "no messages: faild is not among Plivo's statuses queued, sent," in result.stderr
    assert run("messages", *options).stderr == ""


def test_csv_is_what_the_api_answers_of_all_that_is_found(
    run: Run, client: FlaskClient, receive: Receive
) -> None:
    for _ in range(25):
        receive("failed")
    receive("sent")
    accepting = {**AUTHORIZED, "Accept": "text/csv"}
    answered = client.get("/messages?status=failed", headers=accepting)
    assert run("messages", "--status", "failed", "--csv").stdout_bytes == answered.data
    assert len(run("messages", "--csv", "--limit", 3).stdout.splitlines()) == 4


@pytest.mark.parametrize(("variables", "is_red"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_what_failed_is_red_on_a_terminal_unless_no_color_is_set(
    app: Flask, bounced: str, variables: dict[str, str], is_red: bool
) -> None:
    runner = app.test_cli_runner()
    for arguments in (["messages"], ["messages", bounced]):
        shown = runner.invoke(args=arguments, color=True, env=variables).stdout
        assert ("\x1b[31mundelivered\x1b[0m" in shown) is is_red
        assert ("\x1b" in shown) is is_red
    plain = runner.invoke(args=["messages"], color=False).stdout
    assert "\x1b" not in plain


def test_a_timeline_shows_what_happened_oldest_first(run: Run, bounced: str) -> None:
    first, second, head, *events = run("messages", bounced, env=NARROW).stdout.splitlines()
    assert first == f"{bounced}  undelivered  30 Spam detected"
    assert second == "from +14155550100 to +14155550123"
    assert head.split()[:2] == ["status", "status_timestamp"]
    assert max(map(len, [head, *events])) <= 80
    assert [event.split()[:2] for event in events] == [
        ["queued", f"{DAY}T00:00:01"],
        ["undelivered", f"{DAY}T00:00:03"],
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
