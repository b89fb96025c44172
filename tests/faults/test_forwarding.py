"""What is forwarded arrives, in order, whatever breaks: the service, the database, the receiver."""

from __future__ import annotations

import random
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from smsstatus.forwarding.signing import write_secret

from ..forwarding.receivers import Answer, Delivered, Receiver
from ..live import LiveService, live_service, wait_until
from .conftest import Figure, Promise
from .forwarded import KEY, SECRET, Arrived, forwarding_to, wait_until_sent
from .load import Delivery, Load
from .locks import holding_the_database, keeping_out
from .places import Place, on_both, on_both_in_full
from .reconcile import integrity, wait_until_ready


def _forwarding(
    folder: Path, place: Place, there: Receiver, **more: str
) -> AbstractContextManager[LiveService]:
    return live_service(folder, **place(folder), **forwarding_to(there.url, **more))


def test_no_change_is_lost_or_overtaken_by_kill_9_under_load(
    tmp_path: Path, there: Receiver, full: bool, figure: Figure
) -> None:
    rounds = 20 if full else 2
    moments = random.Random(1)
    service = LiveService(tmp_path, **forwarding_to(there.url))
    answered: list[Delivery] = []
    service.start()
    try:
        for _ in range(rounds):
            with Load(service.port, service.plivo, pause=0.03) as load:
                load.wait_for(50)
                load.go_on(moments.uniform(0.0, 0.5))
                service.kill()
            answered += load.acknowledged
            service.start()
        wait_until_sent(service)
        found = Arrived(there)
        missing = found.missing(service)
        assert integrity(service.database) == "ok"
    finally:
        service.kill()
    figure(
        "kill -9 of the whole process group under load, while changes are forwarded",
        f"{rounds} rounds, {len(answered):,} answered 200, stored but never received: {missing}; "
        f"older received first after newer: {found.overtaken}; sent twice: {found.repeated}; "
        f"{len(found.deliveries):,} of {len(there.delivered):,} verified by the official library",
    )
    assert (missing, found.overtaken) == (0, 0)
    assert len(found.deliveries) == len(there.delivered)
    assert found.repeated <= 72 * rounds


@on_both
def test_none_is_lost_or_overtaken_while_the_receiver_fails_in_every_way(
    tmp_path: Path, place: Place, there: Receiver, full: bool, figure: Figure, promise: Promise
) -> None:
    """It refuses everything; then a third fails at random, and some hang up after they took it."""
    chances = random.Random(1)
    mode = "refuse"

    def answer(delivered: Delivered) -> Answer | None:
        chance = chances.random()
        delivered.was_taken = mode == "take" or (mode == "fail" and chance >= 0.3)
        if not delivered.was_taken:
            return Answer(500)
        return None if mode == "fail" and chance > 0.9 else Answer()

    there.answer = answer
    with _forwarding(tmp_path, place, there) as service:
        with Load(service.port, service.plivo, clients=2, pause=0.02) as load:
            load.wait_for(1000 if full else 100)
            refused = len(there.delivered)
            mode = "fail"
            load.wait_for(500 if full else 50)
            mode = "take"
        wait_until_sent(service)
        found = Arrived(there)
        missing = found.missing(service)
        told = [service.log.read_text(), *(service.get(p)[1].decode() for p in _OPEN)]
    figure(
        "receiver refuses all; then 30 % answer 500 and 10 % hang up after taking it",
        f"{len(load.acknowledged):,} answered 200, missing: {missing}, overtakes: "
        f"{found.overtaken}; attempts while it refused: {refused:,}",
    )
    assert load.others == []
    assert (missing, found.overtaken) == (0, 0)
    assert refused < len(load.acknowledged)
    numbers = "4155550123", "4155550100"  # a few of their digits can be those of a sum of seconds
    for secret in (SECRET, SECRET.removeprefix("whsec_"), *numbers, "hooks/sms"):
        assert not [text for text in told if secret in text]


_OPEN = ("/metrics", "/readyz")


def test_of_two_processes_on_one_file_one_sends_and_the_other_takes_over(
    tmp_path: Path, there: Receiver, figure: Figure, promise: Promise
) -> None:
    more = forwarding_to(there.url)
    with ExitStack() as stack:
        first = stack.enter_context(live_service(tmp_path, **more))
        second = stack.enter_context(live_service(tmp_path, BASE_URL=first.plivo.base_url, **more))
        with Load([first.port, second.port], first.plivo, pause=0.05) as load:
            load.wait_for(100)
        wait_until_sent(first)
        repeated = Arrived(there).repeated
        first.kill()
        before = len(there.delivered)
        began = time.monotonic()
        with Load(second.port, second.plivo, clients=1, pause=0.05) as more_load:
            wait_until(lambda: len(there.delivered) > before, 60, "the other one sends")
            seconds = there.delivered[before].at - began
            more_load.wait_for(10)
        wait_until_sent(second)
        found = Arrived(there)
        missing = found.missing(second)
    figure(
        "two processes on one file forward, and the one that sends is killed",
        f"{len(load.acknowledged) + len(more_load.acknowledged):,} answered 200, sent by both: "
        f"{repeated}, missing: {missing}, overtakes: {found.overtaken}, taken over after "
        f"{seconds:.1f} s",
    )
    assert (repeated, missing, found.overtaken) == (0, 0, 0)
    promise(seconds, 2)


@pytest.mark.parametrize("kind", ["flock", "BEGIN IMMEDIATE"])
def test_nothing_is_sent_twice_while_the_database_is_locked_and_then_it_goes_on(
    tmp_path: Path, there: Receiver, full: bool, figure: Figure, kind: str
) -> None:
    """What was under way when it was locked is remembered until it can be written."""
    with live_service(tmp_path, **forwarding_to(there.url)) as service:
        with Load(service.port, service.plivo, clients=4, pause=0.02) as load:
            load.wait_for(50)
            with holding_the_database(service.database, kind):
                load.wait_for(1500 if full else 20)
            load.wait_for(20)
        wait_until_ready(service)
        wait_until_sent(service)
        found = Arrived(there)
        missing = found.missing(service)
    figure(
        f"database locked by another process ({kind}) while changes are forwarded",
        f"{len(load.acknowledged):,} answered 200, missing: {missing}, overtakes: "
        f"{found.overtaken}, sent twice: {found.repeated}",
    )
    assert (missing, found.overtaken, found.repeated) == (0, 0, 0)


@on_both_in_full
def test_what_is_spooled_is_forwarded_too(tmp_path: Path, place: Place, there: Receiver) -> None:
    with _forwarding(tmp_path, place, there) as service:
        with (
            keeping_out(service),
            Load(service.port, service.plivo, clients=1) as load,
        ):
            load.wait_for(3)
        wait_until_sent(service)
        assert Arrived(there).missing(service) == 0
        assert len(there.delivered) >= 1
    assert load.others == []


@on_both
def test_a_service_that_is_stopped_gently_sends_nothing_twice(
    tmp_path: Path, place: Place, there: Receiver, full: bool, figure: Figure, promise: Promise
) -> None:
    service = LiveService(tmp_path, **place(tmp_path), **forwarding_to(there.url))
    seconds = 0.0
    service.start()
    try:
        for _ in range(5 if full else 1):
            with Load(service.port, service.plivo, clients=2, pause=0.02) as load:
                load.wait_for(50)
                began = time.monotonic()
                assert service.stop() == 0
                seconds = max(seconds, time.monotonic() - began)
            service.start()
        wait_until_sent(service)
        found = Arrived(there)
        assert found.missing(service) == 0
    finally:
        service.kill()
    figure(
        "SIGTERM while changes are forwarded",
        f"over after {seconds:.1f} s, sent twice: {found.repeated}",
    )
    assert found.repeated == 0
    assert load.acknowledged
    promise(seconds, 10)


@on_both
def test_no_delivery_is_refused_while_the_secret_is_changed_under_load(
    tmp_path: Path, place: Place, there: Receiver, full: bool, figure: Figure
) -> None:
    """The new one is added here, then taken over there, then the old one is removed here."""
    old, new = write_secret(bytes(32)), write_secret(KEY)
    library = Webhook(old)

    def answer(delivered: Delivered) -> Answer:
        try:
            library.verify(delivered.body, delivered.headers)
        except WebhookVerificationError:
            delivered.was_taken = False
        return Answer(200 if delivered.was_taken else 401)

    there.answer = answer
    with _forwarding(tmp_path, place, there, FORWARD_SECRET=old) as service:
        with Load(service.port, service.plivo, clients=8 if full else 2) as load:
            for secrets, known in (("", old), (f"{new},{old}", old), ("", new), (new, new)):
                if secrets:
                    service.stop()
                    service.environment["FORWARD_SECRET"] = secrets
                    service.start()
                library = Webhook(known)
                load.wait_for(3500 if full else 20)
        wait_until_sent(service)
        found = Arrived(there)
        missing = found.missing(service)
    refused = len(there.delivered) - len(found.deliveries)
    figure(
        "the secret changed in three steps under load, with two restarts",
        f"{len(found.deliveries):,} verified by the official library, refused: {refused}, "
        f"missing: {missing}, overtakes: {found.overtaken}",
    )
    assert (refused, missing, found.overtaken) == (0, 0, 0)
