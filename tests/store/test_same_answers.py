"""Two applications, one on each store, answer the same bytes after the same callbacks.

Cursors are the exception, and the tag that a page has: each is in its own store's words.
"""

from __future__ import annotations

import itertools
import random
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.settings import Settings
from smsstatus.settings.database_url import read_database_url
from smsstatus.store.contract import GROUPS
from smsstatus.web import webhook
from smsstatus.web.current import service_of

from ..api.conftest import client_of
from ..clock import HandClock
from ..signed import Plivo, Request
from .updates import DAY, second

STEPS = ("queued", "sent", "delivered", "undelivered", "read", "lost")
QUERIES = ("", "order=42", "order=41&crm=%C3%BC")
WENT = (
    {"MCC": "310", "MNC": "260", "Units": "2", "TotalAmount": "0.011"},
    {"MCC": "404", "MNC": "", "Units": "1", "TotalAmount": "0.0055"},
    {},
)
NO_TIME = urlsafe_b64encode(b'["9999-99-99T99:99:99.999999Z", 1]').decode().rstrip("=")
PATHS = (
    "/messages?limit=200",
    "/messages?status=delivered&status=sent",
    "/messages?to=14155550123&from=%2B14155550101",
    "/messages?error_code=30",
    "/messages?reference=order%3D42",
    "/messages?country=US",
    "/messages?country=in&status=delivered",
    "/messages?country=none",
    "/messages?network=310-260",
    "/messages?network=404",
    f"/messages?since={second(20)}&until={second(60)}",
    f"/stats?since={second(0)}&until={second(600)}",
    f"/stats?since={second(20)}&until={second(40)}",
    *[
        f"/stats?since={second(0)}&until={second(600)}&group_by={by}"
        for by in (*GROUPS, "country,network", "sender,status")
    ],
    "/messages/no-such-message",
    "/messages/%00",
    "/messages/a%00b",
    "/ui/messages/%00",
    f"/messages?cursor={NO_TIME}",
    f"/ui/messages?cursor={NO_TIME}",
    "/",
    "/ui/messages",
    "/ui/messages?status=delivered",
)


def some_callbacks() -> list[Request]:
    """A hundred callbacks of thirty messages in no order, some of them more than once."""
    chance, plivo = random.Random(16), Plivo()
    requests = []
    for number in range(100):
        step = chance.choice(STEPS)
        more = {"Timestamp": f"{DAY} 11:00:{number % 60:02}", "QueuedTime": f"{DAY} 10:59:59"}
        fields = {
            **plivo.fields(step, f"message-{chance.randrange(30)}"),
            **(more if chance.random() < 0.7 else {}),
            "From": chance.choice(["14155550101", "+14155550101", "ACME"]),
            "ErrorCode": "30" if step == "undelivered" else "",
            "Sequence": str(chance.randrange(4)),
            **WENT[number % len(WENT)],
        }
        scheme = chance.choice(["V3", "V3", "V2"])
        requests.append(plivo.post(fields, query=chance.choice(QUERIES), scheme=scheme))
    return requests + chance.choices(requests, k=20)


@pytest.fixture
def apps(settings: Settings, postgres: str) -> Iterator[list[Flask]]:
    """One on SQLite, one on PostgreSQL, and the same time at both."""
    other = replace(
        settings,
        database=read_database_url(postgres),
        spool_dir=settings.spool_dir.with_name("other-spool"),
    )
    apps = [create_app(settings), create_app(other)]
    for app in apps:
        service_of(app).clock = HandClock(datetime(2026, 11, 1, 12, 10, tzinfo=UTC))
    yield apps
    for app in apps:
        service_of(app).stop()


@pytest.fixture
def clients(apps: list[Flask], monkeypatch: pytest.MonkeyPatch) -> list[FlaskClient]:
    """Their clients, once both have received the same callbacks at the same times."""
    requests = some_callbacks()
    for app in apps:
        ticks = map(second, itertools.count())
        monkeypatch.setattr(webhook, "utc_now", lambda ticks=ticks: next(ticks))
        client = app.test_client()
        for request in requests:
            answer = client.open(
                request.target, method=request.method, headers=request.headers, data=request.body
            )
            assert answer.status_code in (200, 403)
    return [client_of(app) for app in apps]


def without_etag(answer: TestResponse) -> str:
    """A page says of which state of the store it is, in the store's own words."""
    return re.sub('data-etag="[^"]*"', "", answer.text)


def test_every_answer_has_the_same_bytes(clients: list[FlaskClient]) -> None:
    one, other = clients
    listed = one.get("/messages?limit=200").get_json()["messages"]
    assert len(listed) > 20
    found = [f"/messages/{message['message_uuid']}" for message in listed]
    pages = [f"/ui{path}" for path in found]
    for path in [*PATHS, *found, *pages]:
        answers = [client.get(path) for client in (one, other)]
        assert answers[0].status_code == answers[1].status_code, path
        assert without_etag(answers[0]) == without_etag(answers[1]), path


def test_changes_have_the_same_bytes(clients: list[FlaskClient]) -> None:
    paths = ["/changes?limit=30"] * 2
    seen = 0
    while True:
        answers = [client.get(path) for client, path in zip(clients, paths, strict=True)]
        one, other = [without_cursor(answer) for answer in answers]
        assert one == other
        changes = answers[0].get_json()["changes"]
        seen += len(changes)
        if not changes:
            break
        paths = [f"/changes?limit=30&after={a.get_json()['next_cursor']}" for a in answers]
    assert seen > 30


def without_cursor(answer: TestResponse) -> str:
    return re.sub('"next_cursor":"[^"]*"', "", answer.text)


@pytest.mark.parametrize("query", ["", "?limit=7", "?status=sent&bom=1"])
def test_every_csv_has_the_same_bytes(clients: list[FlaskClient], query: str) -> None:
    csv = {"Accept": "text/csv"}
    one, other = [client.get(f"/messages{query}", headers=csv) for client in clients]
    assert one.data == other.data
    assert one.data.count(b"\r\n") > 4


def test_pages_hold_the_same_messages(clients: list[FlaskClient]) -> None:
    """Their cursors may differ: only the store that made one reads it."""
    path = ["/messages?limit=4"] * 2
    for _ in range(20):
        pages = [c.get(p).get_json() for c, p in zip(clients, path, strict=True)]
        assert pages[0]["messages"] == pages[1]["messages"]
        cursors = [page["next_cursor"] for page in pages]
        assert (cursors[0] is None) == (cursors[1] is None)
        if cursors[0] is None:
            return
        path = [f"/messages?limit=4&cursor={cursor}" for cursor in cursors]
    raise AssertionError("the pages do not end")
