"""What is forwarded arrives, in order, whatever breaks: the service, the database, the receiver."""

from __future__ import annotations

import random
import re
import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ..forwarding.receivers import Answer, Delivered, Odd, Receiver, odd_receiver
from ..live import LiveService, live_service, wait_until
from .conftest import Figure, Promise
from .forwarded import SECRET, Arrived, forwarding_to, wait_until_sent
from .load import Delivery, Load
from .locks import holding_the_database
from .reconcile import integrity, wait_until_ready


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


def test_none_is_lost_or_overtaken_while_the_receiver_fails_in_every_way(
    tmp_path: Path, there: Receiver, full: bool, figure: Figure, promise: Promise
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
    with live_service(tmp_path, **forwarding_to(there.url)) as service:
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
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "5550123", "5550100", "hooks/sms"):
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


def _pour(begin: bytes, more: bytes) -> Any:
    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(begin)
        while not odd.is_over.is_set():
            connection.sendall(more)

    return act


def _hang(connection: socket.socket, odd: Odd) -> None:
    odd.is_over.wait(30)


_ODD = {
    "hangs": _hang,
    "pours a body without end": _pour(b"HTTP/1.1 500 No\r\n\r\n", b"a" * 65_536),
    "pours a head without end": _pour(b"HTTP/1.1 500 No\r\nA: ", b"b" * 65_536),
    "pours headers without end": _pour(b"HTTP/1.1 500 No\r\n", b"A: " + b"b" * 60_000 + b"\r\n"),
    "says rubbish": lambda connection, odd: connection.sendall(random.Random(1).randbytes(9000)),
}


def test_a_receiver_that_answers_oddly_costs_no_worker_and_no_memory(
    tmp_path: Path, full: bool, figure: Figure
) -> None:
    act = [_hang]
    with odd_receiver(lambda connection, odd: act[0](connection, odd)) as odd:
        more = forwarding_to(odd.url, FORWARD_TIMEOUT="1s", FORWARD_CONCURRENCY="4")
        with live_service(tmp_path, **more) as service:
            act[0] = _ODD["says rubbish"]
            with Load(service.port, service.plivo, clients=1, pause=0.02) as load:
                load.wait_for(100)
            _wait_for_attempts(service, 30 if full else 10)
            before = _memory(service)
            for way in _ODD.values():
                act[0] = way
                _wait_for_attempts(service, 20 if full else 4)
            grown = _memory(service) - before
            act[0] = lambda connection, odd: connection.sendall(
                b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n"
            )
            wait_until_sent(service)
    figure(
        "receiver that hangs, pours heads and bodies without end, and says rubbish",
        f"then takes all {len(load.acknowledged):,}; memory grew by {grown / 2**20:.1f} MiB",
    )
    assert not full or grown < 2 * 2**20


def _wait_for_attempts(service: LiveService, more: int) -> None:
    def attempts() -> int:
        found = re.findall(
            r"^smsstatus_forward_attempts_total\{.*\} (\d+)$",
            service.get("/metrics")[1].decode(),
            re.MULTILINE,
        )
        return sum(map(int, found))

    enough = attempts() + more
    wait_until(lambda: attempts() >= enough, 120, f"{more} attempts")


def _memory(service: LiveService) -> int:
    """Bytes of the worker's memory, all of it in use."""
    assert service.process is not None
    master = service.process.pid
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * resource.getpagesize()


def test_what_is_spooled_is_forwarded_too(tmp_path: Path, there: Receiver) -> None:
    with live_service(tmp_path, **forwarding_to(there.url)) as service:
        with (
            holding_the_database(service.database, "flock"),
            Load(service.port, service.plivo, clients=1) as load,
        ):
            load.wait_for(3)
        wait_until_sent(service)
        assert Arrived(there).missing(service) == 0
        assert len(there.delivered) >= 1
    assert load.others == []


def test_a_service_that_is_stopped_gently_sends_nothing_twice(
    tmp_path: Path, there: Receiver, full: bool, figure: Figure, promise: Promise
) -> None:
    service = LiveService(tmp_path, **forwarding_to(there.url))
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
