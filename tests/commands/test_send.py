"""`send TO TEXT`: the same as the route, from the shell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from smsstatus import create_app
from smsstatus.settings import Settings

from ..conftest import Query
from ..plivo_api import PlivoApi, Reply
from .conftest import SENDER, Run, refused

TO = "+14155550123"


def test_it_sends_keeps_the_row_and_prints_the_uuid(
    run: Run, standin: PlivoApi, settings: Settings, query: Query
) -> None:
    sent = run("send", TO, "Hello")
    assert (sent.exit_code, sent.stderr) == (0, "")
    (row,) = query("SELECT * FROM messages")
    assert sent.stdout == f"{row['message_uuid']}\n"
    assert (row["message_body"], row["current_status"]) == ("Hello", "queued")
    (asked,) = standin.asked
    assert asked.content["src"] == SENDER
    assert asked.content["url"] == settings.webhook_url


def test_a_sender_can_be_given(run: Run, standin: PlivoApi) -> None:
    assert run("send", "--from", "ACME", TO, "Hello").exit_code == 0
    assert standin.asked[0].content["src"] == "ACME"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("14155550123", "Hello"), ["to: "]),
        ((TO, ""), ["text: "]),
        ((TO, "x" * 1601), ["text: ", "1600"]),
        ((TO, "Hello", "--from", "+"), ["from: "]),
        ((SENDER, "Hello"), ["from: "]),
        (("5", "", "--from", "+"), ["to: ", "text: ", "from: "]),
    ],
)
def test_bad_input_is_one_line_that_names_each_field(
    run: Run, standin: PlivoApi, arguments: tuple[str, ...], named: list[str]
) -> None:
    line = refused(run("send", *arguments))
    assert all(words in line for words in named)
    assert standin.asked == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, {"error": "no"}), "check PLIVO_AUTH_ID"),
        (Reply(402, {"error": "no"}), "Not enough credit"),
        (Reply(429, {"error": "no"}), "rate limit"),
        (Reply(503, b"<html>"), "before you send it again"),
        (Reply(200, None), "before you send it again"),
        (Reply(hang_up_after=-1), "before you send it again"),
    ],
)
def test_plivos_refusal_is_one_line_in_words(
    run: Run, standin: PlivoApi, reply: Reply, words: str
) -> None:
    standin.reply = lambda asked: reply
    assert words in refused(run("send", TO, "Hello"))
    assert len(standin.asked) == 1


def test_without_an_auth_id_the_setting_is_named(settings: Settings) -> None:
    app: Flask = create_app(replace(settings, auth_id=None))
    sent = app.test_cli_runner().invoke(args=["send", TO, "Hello"], catch_exceptions=False)
    assert "PLIVO_AUTH_ID is not set" in refused(sent)
