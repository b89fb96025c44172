"""Each change reaches the receiver: signed, in order, again and again until it is taken."""

from __future__ import annotations

import json
import logging
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from standardwebhooks import Webhook

from smsstatus import create_app
from smsstatus.forwarding import forwarder, results, schedule
from smsstatus.forwarding.request import USER_AGENT
from smsstatus.forwarding.signing import write_secret
from smsstatus.model import timestamp
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.outbox import Claimed, OutboxState, Settlement
from smsstatus.web.current import service_of

from ..conftest import Deliver, Receive
from ..live import wait_until
from .conftest import KEYS
from .receivers import Answer, Delivered, Receiver

LIFE = ("queued", "sent", "delivered")


def data_of(delivered: Delivered) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(delivered.body)["data"]
    return data


def statuses(there: Receiver, message_uuid: str | None = None) -> list[str]:
    """What has come, of one message or of all."""
    found = [data_of(delivered) for delivered in list(there.delivered)]
    return [d["status"] for d in found if message_uuid in (None, d["message_uuid"])]


def state(service: Service) -> OutboxState:
    return service.store.outbox.state(timestamp(service.clock.now()))


def wait_until_empty(service: Service) -> None:
    wait_until(lambda: state(service).waiting == 0, 60, "nothing waits")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once, and a receiver that fails is left alone for moments."""
    monkeypatch.setattr(schedule, "_WAITS", (0.02,) * 7)
    monkeypatch.setattr(schedule, "_LAST_WAIT", 0.02)
    monkeypatch.setattr(schedule, "SHORTEST_PAUSE", 0.005)
    monkeypatch.setattr(schedule, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(forwarder, "LOOK_SECONDS", 0.05)


def live(receive: Receive, message_uuid: str) -> None:
    for number, status in enumerate(LIFE, 1):
        receive(status, message_uuid, Sequence=str(number))


def test_each_change_arrives_signed_so_that_the_official_library_verifies_it(
    service: Service, there: Receiver, receive: Receive
) -> None:
    service.start()
    uuids = [str(uuid.uuid4()) for _ in range(10)]
    for message_uuid in uuids:
        live(receive, message_uuid)
    wait_until(lambda: len(there.delivered) == 30, 60, "all have arrived")
    for delivered in there.delivered:
        for key in KEYS:
            Webhook(write_secret(key)).verify(delivered.body, delivered.headers)
    assert all(statuses(there, message_uuid) == list(LIFE) for message_uuid in uuids)
    assert len({delivered.headers["webhook-id"] for delivered in there.delivered}) == 30
    wait_until_empty(service)


def test_the_headers_say_who_sends_and_what_the_receiver_asked_for(
    settings: Settings, there: Receiver, receive: Receive, app: Flask
) -> None:
    service = service_of(app)
    service.settings = replace(settings, forward_authorization="Bearer of-the-receiver")
    service.start()
    receive("sent")
    wait_until(lambda: there.delivered)
    headers = there.delivered[0].headers
    assert headers["user-agent"] == USER_AGENT
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer of-the-receiver"


def test_what_came_before_the_start_is_sent_at_the_start(
    service: Service, there: Receiver, receive: Receive
) -> None:
    receive("delivered")
    assert there.delivered == []
    service.start()
    wait_until_empty(service)
    assert statuses(there) == ["delivered"]


def test_what_is_refused_is_tried_again_with_a_new_signature_until_it_is_taken(
    service: Service, there: Receiver, receive: Receive
) -> None:
    there.answer = lambda delivered: Answer(503 if len(there.delivered) < 3 else 204, body=b"")
    service.start()
    receive("sent")
    wait_until_empty(service)
    assert statuses(there) == ["sent"] * 4
    assert len({delivered.body for delivered in there.delivered}) == 1
    assert len({delivered.headers["webhook-id"] for delivered in there.delivered}) == 1
    for delivered in there.delivered:
        Webhook(write_secret(KEYS[0])).verify(delivered.body, delivered.headers)


def test_a_later_change_of_a_message_waits_for_the_earlier_one_and_others_pass(
    service: Service, there: Receiver, receive: Receive
) -> None:
    first, other = str(uuid.uuid4()), str(uuid.uuid4())
    opened = threading.Event()
    there.answer = lambda delivered: Answer(
        500 if data_of(delivered)["message_uuid"] == first and not opened.is_set() else 200
    )
    service.start()
    live(receive, first)
    live(receive, other)
    wait_until(lambda: statuses(there, other) == list(LIFE))
    assert set(statuses(there, first)) <= {"queued"}
    opened.set()
    wait_until_empty(service)
    assert [s for s in statuses(there, first) if s != "queued"] == ["sent", "delivered"]


def test_poison_among_others_holds_up_none_of_them(
    service: Service, there: Receiver, receive: Receive
) -> None:
    poison = str(uuid.uuid4())
    there.answer = lambda delivered: Answer(
        500 if data_of(delivered)["message_uuid"] == poison else 200
    )
    service.start()
    receive("sent", poison)
    others = {receive("delivered") for _ in range(50)}
    wait_until(lambda: {data_of(d)["message_uuid"] for d in list(there.delivered)} >= others, 60)
    assert state(service).waiting >= 1


def test_poison_does_not_keep_a_receiver_that_is_back_from_getting_the_others(
    service: Service, there: Receiver, receive: Receive
) -> None:
    poison = receive("sent")
    others = {receive("delivered") for _ in range(30)}
    is_back = threading.Event()
    there.answer = lambda delivered: Answer(
        200 if is_back.is_set() and data_of(delivered)["message_uuid"] != poison else 500
    )
    service.start()
    wait_until(lambda: len(there.delivered) > 10)
    is_back.set()
    wait_until(lambda: state(service).waiting == 1, 60, "only poison waits")
    taken = [d for d in list(there.delivered) if data_of(d)["message_uuid"] in others]
    assert {data_of(d)["message_uuid"] for d in taken} == others


def refusing(poison: set[str]) -> Callable[[Delivered], Answer]:
    return lambda delivered: Answer(422 if data_of(delivered)["message_uuid"] in poison else 200)


def test_what_comes_after_a_block_of_poison_does_not_wait_for_all_of_it(
    service: Service, there: Receiver, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the receiver is left alone every second one is the newest that was not tried."""
    monkeypatch.setattr(schedule, "_WAITS", (3600.0,) * 7)
    there.answer = refusing({receive("sent") for _ in range(40)})
    fresh = receive("sent")
    service.start()
    wait_until(lambda: statuses(there, fresh), 60, "the last one came")
    assert [data_of(d)["message_uuid"] for d in there.delivered].index(fresh) < 16


def test_a_receiver_that_is_back_gets_at_once_what_it_refused_for_the_first_time_alone(
    service: Service, there: Receiver, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else poison would shut the brake each time that it was opened."""
    monkeypatch.setattr(schedule, "_WAITS", (3600.0,) * 7)
    there.answer = refusing({receive("sent") for _ in range(10)})
    hastened: list[int] = []
    hasten = service.store.outbox.hasten

    def hastening(now: str, since: str) -> int:
        hastened.append(hasten(now, since))
        return hastened[-1]

    monkeypatch.setattr(service.store.outbox, "hasten", hastening)
    service.start()
    wait_until(lambda: len(there.delivered) == 10, 60, "all were tried")
    receive("sent")
    wait_until(lambda: len(there.delivered) == 21, 60, "and tried again")
    receive("sent")
    wait_until(lambda: len(hastened) == 2, 60, "it is back once more")
    assert hastened == [10, 0]


def test_a_receiver_that_fails_gets_one_at_a_time_and_different_messages(
    service: Service, there: Receiver, receive: Receive
) -> None:
    uuids = {receive("sent") for _ in range(20)}
    under_way, most = [0], [0]
    lock, slow = threading.Lock(), threading.Event()

    def refuse(delivered: Delivered) -> Answer:
        with lock:
            under_way[0] += 1
            if len(there.delivered) >= 8 + 5:
                most[0] = max(most[0], under_way[0])
        slow.wait(0.01)  # long enough for others to be seen beside it
        with lock:
            under_way[0] -= 1
        return Answer(500)

    there.answer = refuse
    service.start()
    wait_until(lambda: len(there.delivered) >= 40)
    assert most[0] == 1
    assert {data_of(d)["message_uuid"] for d in there.delivered[:40]} == uuids


def test_a_change_that_is_too_old_is_given_up_and_the_next_of_its_message_goes(
    settings: Settings,
    there: Receiver,
    receive: Receive,
    app: Flask,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = service_of(app)
    service.settings = replace(settings, forward_max_age=0.01)
    there.answer = lambda delivered: Answer(
        400 if data_of(delivered)["status"] == "queued" else 200
    )
    message_uuid = str(uuid.uuid4())
    live(receive, message_uuid)
    with caplog.at_level(logging.ERROR):
        service.start()
        wait_until_empty(service)
    assert state(service).dead == 1
    assert f"message {message_uuid}, queued, is given up" in caplog.text
    assert [s for s in statuses(there) if s != "queued"] == ["sent", "delivered"]


def test_once_the_receiver_is_back_what_failed_meanwhile_is_sent_at_once(
    service: Service, there: Receiver, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may be tried again in an hour only, and still all arrive."""
    monkeypatch.setattr(schedule, "_WAITS", (3600.0,) * 7)
    first = {receive("sent") for _ in range(12)}
    there.answer = lambda delivered: Answer(500)
    service.start()
    wait_until(lambda: len(there.delivered) == 12, 60, "all were tried")
    there.answer = lambda delivered: Answer()
    receive("sent")
    wait_until_empty(service)
    assert {data_of(d)["message_uuid"] for d in there.delivered[12:]} > first


def test_a_receiver_that_asks_for_a_rest_gets_it(
    service: Service, there: Receiver, receive: Receive
) -> None:
    there.answer = lambda delivered: Answer(429, {"Retry-After": "3600"})
    service.start()
    receive("sent")
    wait_until(lambda: state(service).condition.last_failure == "429", 60)
    receive("delivered")
    assert service.forwarder is not None
    assert service.forwarder._brake.rests_until > service.clock.monotonic() + 3000
    assert len(there.delivered) == 1


def test_what_was_under_way_when_a_rest_was_asked_for_and_is_taken_ends_no_rest(
    service: Service, there: Receiver, receive: Receive
) -> None:
    """A limiter of rates: what it refuses is answered at once, what it takes later."""
    first = receive("sent")
    refused = threading.Event()

    def limit(delivered: Delivered) -> Answer:
        if data_of(delivered)["message_uuid"] != first:
            return Answer(429, {"Retry-After": "3600"})
        refused.wait(30)
        return Answer()

    there.answer = limit
    for _ in range(7):
        receive("sent")
    service.start()
    assert service.forwarder is not None
    brake = service.forwarder._brake
    wait_until(lambda: brake.is_shut, 60, "it is left alone")
    refused.set()
    wait_until(lambda: state(service).waiting == 7, 60, "the first is taken")
    assert brake.is_shut
    assert brake.rests_until > service.clock.monotonic() + 3000
    assert len(there.delivered) == 8


@pytest.mark.parametrize("what", ["pause", "skip"])
def test_what_is_claimed_and_not_begun_is_not_sent_after_a_pause_or_a_skip(
    service: Service,
    there: Receiver,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    monkeypatch.setattr(forwarder, "SPARE_SECONDS", 0.0)
    for _ in range(40):
        receive("sent")
    begun: list[Delivered] = []
    go_on = threading.Event()

    def answer(delivered: Delivered) -> Answer:
        begun.append(delivered)
        go_on.wait(30)
        return Answer()

    there.answer = answer
    service.start()
    wait_until(lambda: len(begun) == 8, 60, "as many as may be are under way")
    getattr(service.store.outbox, what)(timestamp(service.clock.now()))
    go_on.set()
    wait_until(lambda: sum(service.metrics.forward_delays.counts) >= 8, 60, "they are taken")
    service.stop()
    assert len(begun) == 8


def test_a_redirect_is_told_with_the_host_alone(
    service: Service, there: Receiver, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    away = "http://user:secret@elsewhere.example/secret?secret"
    there.answer = lambda delivered: Answer(302, {"Location": away})
    with caplog.at_level(logging.INFO):
        service.start()
        receive("sent")
        wait_until(lambda: "elsewhere.example" in caplog.text)
    assert "secret" not in caplog.text
    assert "tenant" not in caplog.text


def test_the_condition_is_noted_and_the_attempts_are_counted(
    service: Service, there: Receiver, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "NOTE_SECONDS", 0.0)
    there.answer = lambda delivered: Answer(500)
    service.start()
    receive("sent")
    wait_until(lambda: state(service).condition.failing_since)
    assert state(service).condition.last_failure == "500"
    there.answer = lambda delivered: Answer()
    wait_until(lambda: state(service).condition.last_taken_at)
    assert state(service).condition.failing_since is None
    lines = service.metrics.forward_lines()
    assert 'smsstatus_forward_attempts_total{result="200"} 1' in lines
    assert "smsstatus_forward_delay_seconds_count 1" in lines


def test_after_a_restart_the_condition_goes_on(
    service: Service,
    settings: Settings,
    there: Receiver,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarder, "NOTE_SECONDS", 0.0)
    service.start()
    receive("sent")
    wait_until(lambda: state(service).condition.last_taken_at)
    there.answer = lambda delivered: Answer(503)
    receive("sent")
    wait_until(lambda: state(service).condition.failing_since)
    assert service.forwarder is not None
    service.forwarder.stop()
    before = state(service).condition
    with another(settings) as restarted:
        there.answer = lambda delivered: Answer(502)
        restarted.start()
        receive("sent")
        wait_until(lambda: state(restarted).condition.last_failure == "502")
        assert state(restarted).condition == replace(before, last_failure="502")


def test_what_is_taken_is_settled_also_while_the_condition_cannot_be_read(
    service: Service, there: Receiver, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failed = service.store.outbox.state, []

    def fail(now: str) -> OutboxState:
        if threading.current_thread().name == "forwarder":
            failed.append(now)
            raise StoreUnavailable("away")
        return read(now)

    monkeypatch.setattr(service.store.outbox, "state", fail)
    service.start()
    receive("sent")
    wait_until_empty(service)
    assert (len(failed), statuses(there)) == (1, ["sent"])


def test_while_results_cannot_be_written_nothing_is_claimed_and_then_none_is_sent_twice(
    service: Service,
    settings: Settings,
    there: Receiver,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "AGAIN_SECONDS", 0.02)
    uuids = [receive("sent") for _ in range(100)]
    is_full = threading.Event()
    is_full.set()
    failed: list[int] = []
    sent: list[int] = []
    claims: list[int] = []
    settle, claim = service.store.outbox.settle, service.store.outbox.claim

    def settling(settlements: Sequence[Settlement]) -> int:
        if is_full.is_set():
            failed.append(len(claims))
            sent.append(len(there.delivered))
            raise StoreUnavailable("disk full")
        return settle(settlements)

    def claiming(*arguments: Any, **options: Any) -> Sequence[Claimed]:
        claims.append(1)
        return claim(*arguments, **options)

    monkeypatch.setattr(service.store.outbox, "settle", settling)
    monkeypatch.setattr(service.store.outbox, "claim", claiming)
    service.start()
    wait_until(lambda: len(failed) >= 4)
    assert sent[-1] - sent[0] <= settings.forward_concurrency  # only what was under way
    is_full.clear()
    wait_until_empty(service)
    assert set(failed) == {failed[0]}
    assert sorted(data_of(d)["message_uuid"] for d in there.delivered) == sorted(uuids)


@pytest.mark.parametrize(("concurrency", "waiting"), [(8, 80), (64, 150)])
def test_where_many_wait_every_second_claim_is_of_the_newest(
    service: Service,
    settings: Settings,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
    concurrency: int,
    waiting: int,
) -> None:
    """Also where more may be under way than are claimed at once."""
    service.settings = replace(settings, forward_concurrency=concurrency)
    for _ in range(waiting):
        receive("sent")
    of_newest: list[bool] = []
    claim = service.store.outbox.claim

    def claiming(now: str, limit: int, *, newest_first: bool = False) -> Sequence[Claimed]:
        of_newest.append(newest_first)
        return claim(now, limit, newest_first=newest_first)

    monkeypatch.setattr(service.store.outbox, "claim", claiming)
    service.start()
    wait_until_empty(service)
    assert of_newest[:2] == [False, True]


def test_whatever_order_callbacks_come_in_what_is_told_last_is_what_stands(
    service: Service, there: Receiver, receive: Receive
) -> None:
    """Each change has an id of its own, and `order` rises with each change of a message."""
    chances = random.Random(1)
    uuids = [str(uuid.uuid4()) for _ in range(15)]
    callbacks = [(u, status, str(n)) for u in uuids for n, status in enumerate(LIFE, 1)]
    callbacks += chances.sample(callbacks, 15)
    chances.shuffle(callbacks)
    service.start()
    for message_uuid, status, number in callbacks:
        receive(status, message_uuid, Sequence=number)
    wait_until_empty(service)
    ids = [delivered.headers["webhook-id"] for delivered in there.delivered]
    assert len(set(ids)) == len(ids)
    for message_uuid in uuids:
        told = [data_of(d) for d in there.delivered]
        orders = [data["order"] for data in told if data["message_uuid"] == message_uuid]
        assert orders == sorted(set(orders))
        message = service.store.find(message_uuid)
        assert message is not None
        assert statuses(there, message_uuid)[-1] == message.current_status


def test_a_stop_lets_what_is_under_way_end_and_writes_what_came_of_it(
    service: Service, there: Receiver, receive: Receive, settings: Settings
) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def answer(delivered: Delivered) -> Answer:
        arrived.set()
        go_on.wait(30)
        return Answer()

    there.answer = answer
    service.start()
    receive("sent")
    assert arrived.wait(60)
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    go_on.set()
    stopping.join(60)
    with another(settings) as other:
        assert state(other).waiting == 0
    assert len(there.delivered) == 1


def test_what_is_under_way_for_longer_than_a_stop_waits_is_not_sent_by_another_meanwhile(
    service: Service,
    there: Receiver,
    receive: Receive,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarder, "STOP_SECONDS", 0.05)
    arrived, go_on = threading.Event(), threading.Event()

    def answer(delivered: Delivered) -> Answer:
        arrived.set()
        go_on.wait(60)
        return Answer()

    there.answer = answer
    service.start()
    receive("sent")
    try:
        assert arrived.wait(60)
        assert service.forwarder is not None
        service.forwarder.stop()
        with another(settings) as other:
            assert other.store.outbox.claim("2099", 10) == []
    finally:
        go_on.set()
        workers = [one for one in threading.enumerate() if one.name == "forwarding"]
        for worker in workers:
            worker.join(60)
        service.store.outbox.release()


@contextmanager
def another(settings: Settings) -> Iterator[Service]:
    """Another process on the same file, as far as the store can see."""
    service = service_of(create_app(settings))
    try:
        yield service
    finally:
        service.stop()


def test_only_one_of_two_on_one_file_sends_and_the_other_takes_over(
    service: Service, there: Receiver, receive: Receive, settings: Settings
) -> None:
    service.start()
    receive("sent")
    wait_until_empty(service)
    with another(settings) as second:
        second.start()
        for _ in range(20):
            receive("delivered")
        wait_until_empty(service)
        assert second.metrics.forward_delays.total == 0
        assert service.forwarder is not None
        service.forwarder.stop()
        receive("sent")
        wait_until_empty(service)
        assert second.metrics.forward_delays.total > 0
    assert len(there.delivered) == 22


def test_only_wanted_statuses_are_sent(
    app: Flask, settings: Settings, there: Receiver, deliver: Deliver, plivo: Any
) -> None:
    with another(replace(settings, forward_statuses=frozenset({"delivered"}))) as service:
        service.start()
        client = create_app(service.settings).test_client()
        for status in LIFE:
            request = plivo.post(plivo.fields(status))
            client.open(request.target, method="POST", headers=request.headers, data=request.body)
        service_of(client.application).stop()
        wait_until(lambda: there.delivered)
        wait_until_empty(service)
    assert statuses(there) == ["delivered"]
