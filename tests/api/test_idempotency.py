"""One intention, one message: POST /messages with an Idempotency-Key."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.locking import FileLock
from smsstatus.model import utc_timestamp
from smsstatus.settings import Settings
from smsstatus.store.sqlite import committer
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..conftest import Query, Receive
from ..faults.workers import Patient, serve_with
from ..live import API_TOKEN, LiveService, free_port, live_service, wait_until
from ..plivo_api import AUTH_ID, PlivoApi, Reply
from ..signed import Request, send
from .conftest import SENDER, problem

TO = "+14155550123"
GOOD = {"to": TO, "text": "Hello"}
KEY = "order-42"


def post(api: FlaskClient, key: str = KEY, **fields: Any) -> TestResponse:
    return api.post("/messages", json={**GOOD, **fields}, headers={"Idempotency-Key": key})


def everything(answer: TestResponse) -> tuple[int, bytes, str | None]:
    return answer.status_code, answer.data, answer.headers.get("Location")


def make_older(database: Path, age: timedelta) -> None:
    """As if the keys had been claimed this long ago."""
    before = utc_timestamp(str(datetime.now(UTC) - age))
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        connection.execute("UPDATE idempotency_keys SET claimed_at = ?", (before,))


@pytest.fixture
def store(app: Flask) -> SqliteStore:
    return service_of(app).store


def test_the_same_request_again_gets_the_same_answer_and_sends_nothing(
    api: FlaskClient, standin: PlivoApi, receive: Receive
) -> None:
    first = post(api)
    assert first.status_code == 202
    receive("delivered", first.get_json()["message_uuid"])
    assert everything(post(api)) == everything(first), "as it was answered, not as it stands now"
    assert len(standin.asked) == 1


def test_a_form_and_json_that_say_the_same_are_the_same_request(
    api: FlaskClient, standin: PlivoApi
) -> None:
    first = post(api)
    again = api.post("/messages", data=GOOD, headers={"Idempotency-Key": KEY})
    assert everything(again) == everything(first)
    assert len(standin.asked) == 1


def test_without_a_key_or_with_another_one_it_is_another_message(
    api: FlaskClient, standin: PlivoApi
) -> None:
    answers = [post(api), post(api, "order-43"), post(api, "Order-42")]
    answers += [api.post("/messages", json=GOOD), api.post("/messages", json=GOOD)]
    assert len({answer.get_json()["message_uuid"] for answer in answers}) == 5
    assert len(standin.asked) == 5


@pytest.mark.parametrize(
    "other", [{"text": "Hello!"}, {"to": "+14155550124"}, {"from": SENDER}, {"from": "ACME"}]
)
def test_another_body_under_the_same_key_is_refused(
    api: FlaskClient, standin: PlivoApi, other: dict[str, str]
) -> None:
    first = post(api)
    assert "Nothing was sent" in problem(post(api, **other), 422)["detail"]
    assert everything(post(api)) == everything(first)
    assert len(standin.asked) == 1


@pytest.mark.parametrize("key", ["", "Gr\u00fc\u00dfe", "a\tb", "x" * 256, "\x7f"])
def test_a_key_that_is_none_is_refused(api: FlaskClient, standin: PlivoApi, key: str) -> None:
    answer = api.post("/messages", json=GOOD, environ_overrides={"HTTP_IDEMPOTENCY_KEY": key})
    assert "1 to 255" in problem(answer, 400)["detail"]
    assert standin.asked == []


@pytest.mark.parametrize("key", ["x", "~", '"quoted"', "a b, c", "x" * 255])
def test_any_other_text_is_a_key(api: FlaskClient, standin: PlivoApi, key: str) -> None:
    assert everything(post(api, key)) == everything(post(api, key))
    assert len(standin.asked) == 1


def test_while_the_first_is_under_way_the_others_are_told_to_come_again(
    app: Flask, standin: PlivoApi
) -> None:
    released = threading.Event()
    sent = Reply(202, {"message_uuid": ["00000000-0000-4000-8000-000000000001"]}, wait=released)
    standin.reply = lambda asked: sent
    with ThreadPoolExecutor(8) as pool:
        waiting = pool.submit(_ask, app)
        wait_until(lambda: standin.asked)
        for answer in pool.map(_ask, [app] * 6):
            assert "under way" in problem(answer, 409)["title"]
            assert answer.headers["Retry-After"] == "2"
        released.set()
        assert waiting.result(60).status_code == 202
    assert everything(_ask(app)) == everything(waiting.result())
    assert len(standin.asked) == 1


def _ask(app: Flask) -> TestResponse:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {API_TOKEN}"
    return post(client)


PERHAPS = {
    "500": (Reply(500, {"error": "oops"}), 502),
    "503 with Retry-After": (Reply(503, {}, {"Retry-After": "30"}), 502),
    "an answer without a UUID": (Reply(202, {}), 502),
    "a hang-up": (Reply(hang_up_after=-1), 502),
}


@pytest.mark.parametrize("case", PERHAPS)
def test_what_may_have_happened_is_never_tried_again(
    api: FlaskClient, standin: PlivoApi, case: str
) -> None:
    reply, status = PERHAPS[case]
    standin.reply = lambda asked: reply
    first = post(api)
    assert "Check Plivo's message log" in problem(first, status)["detail"]
    standin.reply = lambda asked: None
    again = post(api)
    assert everything(again) == everything(first)
    assert again.headers.get("Retry-After") == first.headers.get("Retry-After")
    assert len(standin.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429])
def test_a_refusal_frees_the_key(api: FlaskClient, standin: PlivoApi, status: int) -> None:
    standin.reply = lambda asked: Reply(status, {"error": "no"})
    assert post(api).status_code >= 400
    standin.reply = lambda asked: None
    first = post(api, text="Corrected")
    assert first.status_code == 202
    assert everything(post(api, text="Corrected")) == everything(first)
    assert len(standin.asked) == 2


def test_a_plivo_that_cannot_be_reached_frees_the_key(
    settings: Settings, standin: PlivoApi
) -> None:
    app = create_app(replace(settings, plivo_api_url=f"http://127.0.0.1:{free_port()}"))
    assert "Nothing was sent" in problem(_ask(app), 502)["detail"]
    service_of(app).settings = settings
    assert _ask(app).status_code == 202
    service_of(app).stop()


def test_bad_input_and_a_missing_setting_leave_the_key_free(
    settings: Settings, standin: PlivoApi
) -> None:
    app = create_app(replace(settings, auth_id=None))
    assert _ask(app).status_code == 503
    service_of(app).settings = settings
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {API_TOKEN}"
    assert post(client, to="5").status_code == 422
    assert post(client).status_code == 202
    service_of(app).stop()


def test_a_key_is_kept_for_a_day(
    api: FlaskClient, standin: PlivoApi, settings: Settings, query: Query
) -> None:
    first = post(api)
    make_older(settings.database_path, timedelta(hours=23, minutes=59))
    assert everything(post(api)) == everything(first)
    make_older(settings.database_path, timedelta(hours=24, minutes=1))
    assert post(api, text="Another").status_code == 202
    assert len(standin.asked) == 2
    make_older(settings.database_path, timedelta(hours=25))
    post(api, "a new one")
    assert query("SELECT key FROM idempotency_keys") == [{"key": "a new one"}]


def test_pruning_removes_old_answers_too(
    api: FlaskClient, app: Flask, settings: Settings, query: Query
) -> None:
    post(api)
    make_older(settings.database_path, timedelta(hours=25))
    app.test_cli_runner().invoke(args=["prune", "--older-than", "90d"])
    assert query("SELECT key FROM idempotency_keys") == []


def test_where_the_key_cannot_be_kept_nothing_is_sent(
    api: FlaskClient, standin: PlivoApi, settings: Settings, store: SqliteStore
) -> None:
    away = settings.database_path.rename(settings.database_path.with_suffix(".away"))
    settings.database_path.mkdir()
    assert "Nothing was sent" in problem(post(api), 503)["detail"]
    assert standin.asked == []
    settings.database_path.rmdir()
    away.rename(settings.database_path)
    store.close()
    wait_until(lambda: post(api).status_code == 202)
    assert len(standin.asked) == 1


def test_an_answer_that_could_not_be_kept_is_not_sent_again(
    api: FlaskClient,
    standin: PlivoApi,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(committer, "LOCK_SECONDS", 0.05)
    lock = FileLock(Path(f"{settings.database_path}.lock"))
    with ExitStack() as held:
        standin.reply = lambda asked: held.enter_context(lock.hold(10))
        assert post(api).status_code == 202
    assert "is not kept" in caplog.text
    assert KEY not in caplog.text
    wait_until(lambda: post(api).status_code == 409)
    make_older(settings.database_path, timedelta(seconds=61))
    wait_until(lambda: post(api).status_code == 502)  # 503 while the store finds its way back
    assert "Check Plivo's message log" in problem(post(api), 502)["detail"]
    assert len(standin.asked) == 1


# In processes of their own.


def ask_live(service: LiveService, key: str = KEY) -> tuple[int, bytes]:
    headers = {
        "Authorization": f"Bearer {API_TOKEN}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    request = Request("POST", "/messages", headers, json.dumps(GOOD).encode())
    return send(request, service.address)


@pytest.fixture
def sender(standin: PlivoApi) -> dict[str, str]:
    who = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url, "PLIVO_SENDER": SENDER}
    return {**who, **serve_with(Patient)}


def test_a_key_is_known_after_a_restart_and_to_another_process(
    tmp_path: Path, standin: PlivoApi, sender: dict[str, str]
) -> None:
    with live_service(tmp_path, **sender) as service:
        first = ask_live(service)
        assert first[0] == 202
        with live_service(tmp_path, **sender) as other:
            assert ask_live(other) == first
        service.stop()
        service.start()
        assert ask_live(service) == first
    assert len(standin.asked) == 1


def test_two_processes_asked_at_once_send_once(
    tmp_path: Path, standin: PlivoApi, sender: dict[str, str]
) -> None:
    with (
        live_service(tmp_path, **sender) as one,
        live_service(tmp_path, **sender) as other,
        ThreadPoolExecutor(16) as pool,
    ):
        for round_number in range(10):
            key = f"round {round_number}"
            answers = list(pool.map(lambda s, key=key: ask_live(s, key), [one, other] * 8))
            assert {status for status, _ in answers} <= {202, 409}
            assert len({body for status, body in answers if status == 202}) == 1
            assert len(standin.asked) == round_number + 1


def test_a_process_killed_while_it_sends_leaves_a_key_that_never_sends_again(
    tmp_path: Path, standin: PlivoApi, sender: dict[str, str]
) -> None:
    released = threading.Event()
    standin.reply = lambda asked: Reply(202, {"message_uuid": ["x"]}, wait=released)
    with live_service(tmp_path, **sender) as service, ThreadPoolExecutor() as pool:
        broken_off = pool.submit(ask_live, service)
        wait_until(lambda: standin.asked)
        service.kill()
        released.set()
        with pytest.raises((OSError, HTTPException)):
            broken_off.result(60)
        standin.reply = lambda asked: None
        service.start()
        assert ask_live(service)[0] == 409
        make_older(service.database, timedelta(seconds=61))
        for _ in range(2):
            status, body = ask_live(service)
            assert status == 502
            assert "Check Plivo's message log" in json.loads(body)["detail"]
    assert len(standin.asked) == 1
