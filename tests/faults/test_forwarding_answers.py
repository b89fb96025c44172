"""A receiver that answers as none should costs no worker and no memory."""

from __future__ import annotations

import contextlib
import queue
import random
import re
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ..forwarding.receivers import Odd, odd_receiver
from ..forwarding.test_deliver import ALMOST_HTTP
from ..live import LiveService, live_service, wait_until
from .conftest import Figure
from .forwarded import forwarding_to, memory, wait_until_sent
from .load import Load
from .places import Place, on_both_in_full
from .test_outbox import come, open_store
from .workers import Restless

WORKERS = 8


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


@on_both_in_full
def test_a_receiver_that_answers_oddly_costs_no_worker_and_no_memory(
    tmp_path: Path, place: Place, full: bool, figure: Figure
) -> None:
    act = [_hang]
    with odd_receiver(lambda connection, odd: act[0](connection, odd)) as odd:
        more = forwarding_to(odd.url, FORWARD_TIMEOUT="1s", FORWARD_CONCURRENCY="4")
        with live_service(tmp_path, **place(tmp_path), **more) as service:
            act[0] = _ODD["says rubbish"]
            with Load(service.port, service.plivo, clients=2, pause=0.02) as load:
                load.wait_for(100 if full else 20)
            _wait_for_attempts(service, 30 if full else 5)
            before = memory(service)
            for way in _ODD.values():
                act[0] = way
                _wait_for_attempts(service, 20 if full else 1)
            grown = memory(service) - before
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


@on_both_in_full
def test_rubbish_costs_no_worker_and_no_memory(
    tmp_path: Path, place: Place, full: bool, figure: Figure
) -> None:
    """Each answer is another one of Hypothesis's; at the end all workers are at work at once."""
    examples = 5000 if full else 100
    answers = queue.Queue[bytes](WORKERS)
    all_there = threading.Barrier(WORKERS)
    is_over = threading.Event()

    def act(connection: socket.socket, odd: Odd) -> None:
        while not (is_over.is_set() or odd.is_over.is_set()):
            with contextlib.suppress(queue.Empty):
                connection.sendall(answers.get(timeout=0.1))
                return
        with contextlib.suppress(threading.BrokenBarrierError):
            all_there.wait(60)
            met.set()

    met = threading.Event()
    variables = place(tmp_path)
    _have_waiting(variables.get("DATABASE_URL", f"sqlite:///{tmp_path / 'sms.db'}"), 2 * examples)
    with odd_receiver(act) as odd:
        more = forwarding_to(odd.url, Restless, FORWARD_CONCURRENCY=str(WORKERS))
        with live_service(tmp_path, **variables, **more) as service:
            _answer_with(answers, examples // 2)  # until a store's caches are full too
            before = memory(service)
            _answer_with(answers, examples)
            grown = memory(service) - before
            is_over.set()
            try:
                assert met.wait(120), "workers are missing"
            finally:
                all_there.abort()
            log = service.log.read_text()
    figure(
        f"{examples:,} answers of rubbish, made by Hypothesis",
        f"workers lost: 0 of {WORKERS}; memory grew by {grown / 2**20:.1f} MiB",
    )
    assert "mistake in the program" not in log
    assert not full or grown <= 2 * 2**20


def _have_waiting(url: str, messages: int) -> None:
    """Have so many messages wait to be forwarded in a database."""
    with closing(open_store(url)) as store:
        come(store, *[f"uuid-{number}" for number in range(messages)])


def _answer_with(answers: queue.Queue[bytes], examples: int) -> None:
    """Answer so many attempts with rubbish."""

    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.one_of(st.binary(max_size=500), ALMOST_HTTP))
    def answer_with(data: bytes) -> None:
        answers.put(data, timeout=120)

    answer_with()
    wait_until(answers.empty, what="all are given")
