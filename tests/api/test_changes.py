"""GET /changes: each change once, in the order in which it became known, and waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus import promise
from smsstatus.query import MAX_WAIT
from smsstatus.settings import Settings
from smsstatus.store.outbox import News
from smsstatus.web import news
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Deliver, Receive
from ..signed import Plivo
from .conftest import problem


def told(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(c["data"]["message_uuid"], c["data"]["status"]) for c in answer["changes"]]


def test_changes_come_in_the_order_in_which_they_became_known(
    api: FlaskClient, receive: Receive
) -> None:
    for status, uuid in (("sent", "a"), ("queued", "b"), ("delivered", "a"), ("sent", "a")):
        receive(status, uuid)
    first = api.get("/changes?limit=2").get_json()
    assert told(first) == [("a", "sent"), ("b", "queued")]
    rest = api.get(f"/changes?after={first['next_cursor']}").get_json()
    assert told(rest) == [("a", "delivered")]
    after = api.get(f"/changes?after={rest['next_cursor']}").get_json()
    assert after == {"changes": [], "next_cursor": rest["next_cursor"]}


def test_a_change_says_what_a_receiver_would_be_told(
    api: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    fields = plivo.fields("failed", "a", ErrorCode="30")
    assert deliver(plivo.post(fields, query="order=42")).status_code == 200
    (change,) = api.get("/changes").get_json()["changes"]
    assert list(change) == ["id", "type", "timestamp", "data"]
    assert change["id"].startswith("evt_")
    data = change["data"]
    assert (data["status"], data["previous_status"], data["is_final"]) == ("failed", None, True)
    assert (data["sender_number"], data["reference"]) == ("+14155550100", {"order": "42"})
    assert data["error"]["code"] == data["plivo"]["ErrorCode"] == "30"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("after=x", "after"),
        ("after=", "after"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        (f"wait={MAX_WAIT + 1}", "wait"),
        ("wait=-1", "wait"),
        ("wait=x", "wait"),
        ("wait=1&wait=2", "wait"),
        ("since=2026-11-01", "since"),
    ],
)
def test_what_cannot_be_is_refused(refusing: FlaskClient, query: str, name: str) -> None:
    refused = problem(refusing.get(f"/changes?{query}"), 400)
    assert list(refused["errors"]) == [name]


def test_it_is_closed_like_the_rest_of_the_api(client: FlaskClient) -> None:
    problem(client.get("/changes"), 401)


def test_a_cursor_of_another_database_is_answered_410(
    api: FlaskClient, app: Flask, receive: Receive, tmp_path: Path
) -> None:
    receive("sent")
    service_of(app).store.backup(tmp_path / "backup.db")
    receive("sent")
    cursor = api.get("/changes").get_json()["next_cursor"]
    (tmp_path / "backup.db").rename(tmp_path / "sms.db")
    service_of(app).store.look()
    gone = problem(api.get(f"/changes?after={cursor}"), 410)
    assert "Begin again without after" in gone["detail"]


def test_it_says_so_while_the_database_cannot_be_read(
    api: FlaskClient, app: Flask, settings: Settings
) -> None:
    service_of(app).store.close()
    settings.database_path.write_bytes(b"no database at all")
    problem(api.get("/changes?wait=25"), 503)


# Waiting.


class Turning(HandClock):
    """Time passes for who sleeps; then `arrival` is called, once."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        arrival, self.arrival = self.arrival, lambda: None
        arrival()


@pytest.fixture
def turning(app: Flask) -> Turning:
    service_of(app).clock = clock = Turning()
    return clock


def test_who_waits_is_answered_as_soon_as_there_is_one(
    api: FlaskClient, receive: Receive, turning: Turning
) -> None:
    receive("sent", "a")
    cursor = api.get("/changes").get_json()["next_cursor"]
    turning.arrival = lambda: receive("delivered", "a")
    answer = api.get(f"/changes?after={cursor}&wait=25").get_json()
    assert told(answer) == [("a", "delivered")]
    assert turning.sleeps == [news.LOOK_SECONDS]


def test_a_callback_that_changes_nothing_wakes_nobody(
    api: FlaskClient, receive: Receive, turning: Turning
) -> None:
    receive("delivered", "a")
    cursor = api.get("/changes").get_json()["next_cursor"]
    turning.arrival = lambda: receive("sent", "a")
    answer = api.get(f"/changes?after={cursor}&wait=2").get_json()
    assert answer["changes"] == []
    assert answer["next_cursor"] != cursor
    assert sum(turning.sleeps) == 2


def test_waiting_ends_after_so_many_seconds(api: FlaskClient, turning: Turning) -> None:
    assert api.get("/changes?wait=25").get_json()["changes"] == []
    assert sum(turning.sleeps) == 25


def test_who_waits_has_the_time_for_an_answer_again_at_each_look(
    app: Flask, api: FlaskClient, turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = service_of(app).store.outbox
    look, left = outbox.news, []

    def note_the_time(after: str | None, limit: int) -> News:
        left.append(promise.seconds_left())
        monkeypatch.setattr(promise, "READ_SECONDS", 10 * promise.READ_SECONDS)
        return look(after, limit)

    monkeypatch.setattr(outbox, "news", note_the_time)
    api.get("/changes?wait=1")
    assert len(left) > 2
    assert left == sorted(left)


def test_nobody_waits_who_has_not_asked_to(api: FlaskClient, turning: Turning) -> None:
    assert api.get("/changes").get_json()["changes"] == []
    assert turning.sleeps == []


def test_waiting_ends_when_the_server_stops(api: FlaskClient, turning: Turning) -> None:
    stopping = threading.Event()
    turning.arrival = stopping.set
    environ = {"smsstatus.is_stopping": stopping.is_set}
    assert api.get("/changes?wait=25", environ_overrides=environ).status_code == 200
    assert turning.sleeps == [news.LOOK_SECONDS]


@pytest.fixture
def crowd() -> Iterator[None]:
    """As many wait as may."""
    with ExitStack() as places:
        for _ in range(news.MAX_WAITING):
            places.enter_context(news._places)
        yield


def test_whoever_is_too_many_is_answered_at_once(
    api: FlaskClient, turning: Turning, crowd: None
) -> None:
    assert api.get("/changes?wait=25").get_json()["changes"] == []
    assert turning.sleeps == []


def test_a_place_is_free_again_after_each_wait(api: FlaskClient, turning: Turning) -> None:
    for _ in range(news.MAX_WAITING + 1):
        turning.sleeps.clear()
        api.get("/changes?wait=1")
        assert sum(turning.sleeps) == 1
