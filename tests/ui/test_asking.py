"""Asking Plivo about a message from its page, without a browser."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus.model import utc_timestamp
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from ..conftest import Receive
from ..live import API_TOKEN
from ..plivo_api import AUTH_ID, PlivoApi, Reply

LOGIN = ("anyone", API_TOKEN)
UUID = "abcdef00-0000-4000-8000-00000000000a"


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(settings, auth_id=AUTH_ID, plivo_api_url=standin.url)


def ask(client: FlaskClient, message_uuid: str) -> TestResponse:
    """Press the button on the message's page."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    return client.post(f"/ui/messages/{message_uuid}", auth=LOGIN, headers=headers)


@pytest.mark.parametrize("written", [UUID, UUID.upper()])
def test_what_was_asked_about_in_capitals_is_shown_as_plivo_writes_it(
    client: FlaskClient, standin: PlivoApi, written: str
) -> None:
    standin.messages[UUID] = {"message_uuid": written, "message_state": "delivered"}
    answer = ask(client, UUID.upper())
    assert answer.headers["Location"].endswith(f"/{written}?asked=changed")


def words(answer: TestResponse) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", answer.text)).split())


@pytest.mark.parametrize("is_known", [True, False])
def test_trouble_that_plivo_speaks_of_in_half_a_character_is_shown(
    client: FlaskClient, receive: Receive, standin: PlivoApi, is_known: bool
) -> None:
    if is_known:
        receive("sent", UUID)
    standin.reply = lambda asked: Reply(500, {"error": "\ud800"})
    answer = ask(client, UUID)
    assert answer.status_code == 502
    assert "Plivo has trouble. Plivo answered 500, saying: \\ud800. " in words(answer)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"message_state": "delivered"}, "Plivo says: delivered, "),
        (
            {"message_state": "undelivered", "error_code": "30"},
            "Plivo says: undelivered (Spam detected), ",
        ),
    ],
)
def test_of_a_message_that_was_removed_plivos_answer_is_shown(
    app: Flask,
    client: FlaskClient,
    receive: Receive,
    standin: PlivoApi,
    told: dict[str, Any],
    said: str,
) -> None:
    receive("sent", UUID)
    service = service_of(app)
    assert service.store.prune_batch(utc_timestamp(str(service.clock.now()))) == 1
    seen = datetime.now(UTC) - timedelta(hours=10)
    standin.messages[UUID] = {
        "message_uuid": UUID,
        "message_time": str(seen),
        "message_updated_time": str(seen),
        **told,
    }
    answer = ask(client, UUID)
    assert answer.status_code == 200
    shown = words(answer)
    assert f"{said}{seen:%d %b %Y, %H:%M:%S} UTC" in shown
    assert "Messages of that time have been removed here." in shown
    assert "Unknown message" not in shown
    later = client.get(f"/ui/messages/{UUID}", auth=LOGIN)
    assert later.status_code == 404
    assert "or it has been removed" in words(later)
