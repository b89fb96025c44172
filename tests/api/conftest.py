"""What the API's tests share: an application that may send, and a client that has the token."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus.settings import Settings

from ..live import API_TOKEN
from ..plivo_api import AUTH_ID, PlivoApi

SENDER = "+14155550100"


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(settings, auth_id=AUTH_ID, sender=SENDER, plivo_api_url=standin.url)


@pytest.fixture
def api(app: Flask) -> FlaskClient:
    """A client that shows the token."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {API_TOKEN}"
    return client


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    """The problem that this answer is; it has all that RFC 9457 and our readers expect."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    content: dict[str, Any] = json.loads(response.text)
    assert content["type"] == "about:blank"
    assert content["status"] == status
    assert content["title"]
    assert content["detail"].endswith((".", ")"))
    assert "Traceback" not in response.text
    return content
