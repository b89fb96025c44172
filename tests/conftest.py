"""Fixtures shared by all tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.service import service_of
from smsstatus.settings import Settings

from .live import API_TOKEN
from .plivo import Plivo, Request

Deliver = Callable[[Request], TestResponse]
Query = Callable[..., list[dict[str, Any]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-rounds", choices=("few", "full"), default="few")


@pytest.fixture
def plivo() -> Plivo:
    return Plivo()


@pytest.fixture
def settings(tmp_path: Path, plivo: Plivo) -> Settings:
    return Settings(
        auth_tokens=(plivo.token,),
        base_url=plivo.base_url,
        database_path=tmp_path / "sms.db",
        spool_dir=tmp_path / "spool",
        api_token=API_TOKEN,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    service_of(app).stop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def deliver(client: FlaskClient) -> Deliver:
    """Send a request to the application without a socket."""

    def send(request: Request) -> TestResponse:
        return client.open(
            request.target, method=request.method, headers=request.headers, data=request.body
        )

    return send


@pytest.fixture
def query(settings: Settings) -> Query:
    """Ask the database file, as somebody with the sqlite3 shell would."""

    def ask(sql: str, *values: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(settings.database_path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values).fetchall()]

    return ask
