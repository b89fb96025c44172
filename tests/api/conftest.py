"""What the API's tests share: an application that may send, and a client that has the token."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.settings import Settings
from smsstatus.settings.database_url import sqlite_file
from smsstatus.web.current import service_of

from ..live import API_TOKEN
from ..plivo_api import AUTH_ID, PlivoApi, plivo_api
from ..signed import Plivo

SENDER = "+14155550100"


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(settings, auth_id=AUTH_ID, sender=SENDER, plivo_api_url=standin.url)


@pytest.fixture
def api(app: Flask) -> FlaskClient:
    """A client that shows the token."""
    return client_of(app)


def client_of(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {API_TOKEN}"
    return client


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Such a client, one for a module, for what is refused: nothing may be sent or stored."""
    folder = tmp_path_factory.mktemp("refusing")
    with plivo_api() as standin:
        settings = Settings(
            auth_tokens=(Plivo.token,),
            base_url=Plivo.base_url,
            database=sqlite_file(folder / "sms.db"),
            spool_dir=folder / "spool",
            api_token=API_TOKEN,
            auth_id=AUTH_ID,
            sender=SENDER,
            plivo_api_url=standin.url,
        )
        app = create_app(settings)
        yield client_of(app)
        service_of(app).stop()
        assert standin.asked == []
        with closing(sqlite3.connect(settings.database_path)) as connection:
            for table in ("messages", "status_events", "idempotency_keys"):
                assert connection.execute(f"SELECT * FROM {table}").fetchall() == []


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
