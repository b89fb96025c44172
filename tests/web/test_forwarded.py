"""How forwarding goes, where a person or a program looks for it, and nothing where it is off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.model import utc_timestamp
from smsstatus.readiness import OUTBOX_SECONDS
from smsstatus.settings import Settings
from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.outbox import Condition, Fate, OutboxState, Settlement
from smsstatus.ui import alarms
from smsstatus.web.current import service_of
from smsstatus.web.openapi import DOCUMENT

from ..clock import HandClock
from ..conftest import Receive
from ..live import API_TOKEN

Come = Callable[[Fate], None]


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Forwarding is on, unless a test is marked `off`."""
    if getattr(request, "param", "on") == "off":
        return settings
    return replace(
        settings, forward_url="http://127.0.0.1:9/", forward_secrets=(b"0123456789abcdef01234567",)
    )


off = pytest.mark.parametrize("settings", ["off"], indirect=True)


@pytest.fixture
def api(client: FlaskClient) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {API_TOKEN}"
    return client


@pytest.fixture
def settle(app: Flask, clock: HandClock) -> Iterator[Come]:
    """The next change is tried a second after it came, and this comes of it."""
    outbox = service_of(app).store.outbox

    def try_next(fate: Fate) -> None:
        clock.turn(60)  # it stands still while changes come
        late = utc_timestamp(str(clock.now() + timedelta(days=1)))
        (claimed,) = outbox.claim(late, 1)
        then = datetime.fromisoformat(claimed.change.received_at) + timedelta(seconds=1)
        settlement = Settlement(
            claimed=claimed, fate=fate, at=utc_timestamp(str(then)), answer="503", due_at=late
        )
        assert outbox.settle([settlement]) == 1

    yield try_next
    outbox.release()


def page_of(client: FlaskClient, path: str) -> str:
    return " ".join(client.get(path).text.split())


def test_a_message_says_when_its_latest_change_was_taken(
    api: FlaskClient, receive: Receive, settle: Come
) -> None:
    uuid = receive("sent", ErrorCode="")
    settle(Fate.TAKEN)
    receive("delivered", uuid)
    message = api.get(f"/messages/{uuid}").get_json()
    first, second = message["events"]
    assert first["forwarded"].pop("seconds") > 0
    assert first["forwarded"] == {
        "state": "taken",
        "attempts": 1,
        "answer": "503",
        "next_at": None,
    }
    assert message["forwarded"] == {"status": "delivered", **second["forwarded"]}
    assert second["forwarded"]["state"] == "waiting"
    described = json.loads(DOCUMENT.read_text())["components"]["schemas"]["Forwarded"]
    assert set(message["forwarded"]) == set(described["properties"])
    assert "forwarded" not in api.get("/messages").get_json()["messages"][0]


@off
def test_a_message_says_nothing_of_forwarding_that_is_off(
    api: FlaskClient, receive: Receive
) -> None:
    message = api.get(f"/messages/{receive('sent')}").get_json()
    assert "forwarded" not in message
    assert "forwarded" not in message["events"][0]


SAID = {
    Fate.TAKEN: "forwarded after 1",
    Fate.WAITING: "not forwarded yet: 1 attempt, the last answer: 503; next <time",
    Fate.DEAD: "not forwarded: given up after 1 attempt, the last answer: 503",
    Fate.SKIPPED: "not forwarded: skipped by hand",
}


@pytest.mark.parametrize("fate", SAID)
def test_the_page_of_a_message_says_what_became_of_each_change(
    api: FlaskClient, receive: Receive, settle: Come, fate: Fate
) -> None:
    uuid = receive("sent")
    path = f"/ui/messages/{uuid}"
    assert "waits to be forwarded" in page_of(api, path)
    settle(fate)
    assert SAID[fate] in page_of(api, path)


@off
def test_the_page_of_a_message_says_nothing_of_forwarding_that_is_off(
    api: FlaskClient, receive: Receive
) -> None:
    assert "forwarded" not in page_of(api, f"/ui/messages/{receive('sent')}")


def test_readyz_tells_how_forwarding_goes_and_does_not_fail(
    api: FlaskClient, app: Flask, receive: Receive, settle: Come, clock: HandClock
) -> None:
    for _ in range(3):
        receive("sent")
    settle(Fate.DEAD)
    settle(Fate.WAITING)
    service_of(app).store.outbox.note(Condition("2026-11-01", "503", None))
    clock.turn(600)
    answer = api.get("/readyz")
    assert answer.status_code == 200
    told = answer.get_json()["forwarding"]
    assert told.pop("lag_seconds") >= 600
    assert told == {
        "waiting": 2,
        "dead": 1,
        "paused_at": None,
        "failing_since": "2026-11-01",
        "last_failure": "503",
        "last_taken_at": None,
    }


def test_metrics_count_what_waits_and_what_is_dead(
    api: FlaskClient, app: Flask, receive: Receive, settle: Come, clock: HandClock
) -> None:
    receive("sent")
    receive("sent")
    settle(Fate.DEAD)
    clock.turn(OUTBOX_SECONDS)
    lines = api.get("/metrics").text.splitlines()
    assert {"smsstatus_forward_waiting 1", "smsstatus_forward_dead 1"} < set(lines)
    assert "smsstatus_forward_paused 0" in lines
    (lag,) = [line for line in lines if line.startswith("smsstatus_forward_lag_seconds ")]
    assert float(lag.split()[1]) >= OUTBOX_SECONDS


def test_attempts_are_shown_while_the_database_cannot_be_read(
    api: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: str) -> OutboxState:
        raise StoreUnavailable("away")

    monkeypatch.setattr(service_of(app).store.outbox, "state", fail)
    service_of(app).metrics.count_attempt("200")
    shown = api.get("/metrics").text
    assert 'smsstatus_forward_attempts_total{result="200"} 1\n' in shown
    assert "smsstatus_forward_waiting" not in shown


@off
def test_readyz_metrics_and_overview_say_nothing_of_forwarding_that_is_off(
    api: FlaskClient, receive: Receive
) -> None:
    receive("sent")
    assert "forwarding" not in api.get("/readyz").get_json()
    assert "smsstatus_forward" not in api.get("/metrics").text
    assert "orward" not in page_of(api, "/")


def test_asking_often_reads_the_outbox_once(
    api: FlaskClient, app: Flask, receive: Receive, clock: HandClock
) -> None:
    assert "smsstatus_forward_waiting 0" in api.get("/metrics").text
    receive("sent")
    assert "smsstatus_forward_waiting 0" in api.get("/metrics").text
    clock.turn(OUTBOX_SECONDS)
    assert "smsstatus_forward_waiting 1" in api.get("/metrics").text


def test_the_overview_warns_of_a_receiver_that_takes_nothing(
    api: FlaskClient, app: Flask, receive: Receive, clock: HandClock
) -> None:
    receive("sent")
    assert "taken by the receiver" not in page_of(api, "/")
    service_of(app).store.outbox.note(Condition(None, "timeout", None))
    clock.turn(alarms.BEHIND + OUTBOX_SECONDS)
    overview = page_of(api, "/")
    assert "Changes are not taken by the receiver; the first one waits since <time" in overview
    assert "1 change waits to be forwarded. Its last failure: timeout." in overview


def test_the_overview_and_metrics_warn_of_a_receiver_that_fails_though_nothing_is_due(
    api: FlaskClient, app: Flask, receive: Receive, settle: Come, clock: HandClock
) -> None:
    """What it refused is tried a day later."""
    receive("sent")
    settle(Fate.WAITING)
    outbox = service_of(app).store.outbox
    outbox.note(Condition(utc_timestamp(str(clock.now())), "503", None))
    clock.turn(alarms.BEHIND)
    assert "taken no change" not in page_of(api, "/")
    clock.turn(OUTBOX_SECONDS)
    overview = page_of(api, "/")
    assert "The receiver has taken no change since <time" in overview
    assert "1 change waits to be forwarded. Its last failure: 503." in overview
    assert "smsstatus_forward_failing_seconds 305.0" in api.get("/metrics").text
    assert "smsstatus_forward_lag_seconds 0.0" in api.get("/metrics").text
    outbox.skip(utc_timestamp(str(clock.now())))
    clock.turn(OUTBOX_SECONDS)
    assert "taken no change" not in page_of(api, "/")
    assert "smsstatus_forward_failing_seconds 0.0" in api.get("/metrics").text


def test_the_overview_warns_of_what_was_given_up_and_of_a_pause(
    api: FlaskClient, app: Flask, receive: Receive, settle: Come, clock: HandClock
) -> None:
    receive("sent")
    receive("sent")
    settle(Fate.DEAD)
    service_of(app).store.outbox.pause(utc_timestamp(str(clock.now())))
    clock.turn(alarms.BEHIND + OUTBOX_SECONDS)
    overview = page_of(api, "/")
    assert "Forwarding was paused <time" in overview
    assert "1 change was given up." in overview
    assert "taken by the receiver" not in overview


def test_a_count_that_was_cut_short_says_so() -> None:
    assert alarms._counted(10_000, "change waits", "changes wait") == "10,000 or more changes wait"
