"""SIGTERM, as a host sends it at every deployment, and its kin: Fly sends SIGINT."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from ..live import LiveService, live_service, wait_until
from ..signed import send
from .conftest import Figure, Promise
from .load import Delivery, Load
from .places import Place, on_both, on_both_in_full
from .raw import connect, is_readable, read_reply, wire
from .reconcile import missing
from .tracing import held, worker_pid
from .workers import Patient, serve_with


@on_both_in_full
def test_after_a_reload_callbacks_are_still_taken(tmp_path: Path, place: Place) -> None:
    """SIGHUP starts a new worker on the same listening socket, which must stay open to all."""
    with live_service(tmp_path, **place(tmp_path)) as service:
        assert service.process is not None
        before = worker_pid(service)
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not Path(f"/proc/{before}").exists(), what="the old worker is gone")
        for _ in range(20):
            request = service.plivo.post(service.plivo.fields("delivered"))
            assert send(request, service.address, seconds=60)[0] == 200


@on_both_in_full
def test_at_a_reload_the_old_worker_leaves_what_waits_to_the_new_one(
    tmp_path: Path, place: Place
) -> None:
    """Else it would go on for as long as connections keep coming. Both are held, then let go.

    When it is let go, it may have accepted some before it sees the signal, but not all of them.
    """
    with live_service(tmp_path, **place(tmp_path)) as service, contextlib.ExitStack() as clients:
        assert service.process is not None
        old = worker_pid(service)
        with held(old):
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(_workers(service)) == 2, what="the new worker is there")
            (new,) = _workers(service) - {old}
            clients.enter_context(held(new))
            backlog = [clients.enter_context(connect(service.port)) for _ in range(100)]
            for client in backlog:
                client.sendall(wire(service.plivo.post(service.plivo.fields("sent"))))
            wait_until(partial(_pending, old, signal.SIGTERM), what="the old worker has the signal")
        wait_until(lambda: old not in _workers(service), what="the old worker is gone")
        assert not all(map(is_readable, backlog))
        os.kill(new, signal.SIGCONT)
        assert [read_reply(client).status for client in backlog] == [200] * len(backlog)


def _workers(service: LiveService) -> set[int]:
    assert service.process is not None
    master = service.process.pid
    return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))


@pytest.mark.timeout(600)
@on_both_in_full
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "a connection each"])
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_no_request_that_was_sent_is_reset_when_the_service_is_stopped_under_load(
    tmp_path: Path,
    place: Place,
    full: bool,
    figure: Figure,
    promise: Promise,
    told: signal.Signals,
    keep_alive: bool,
) -> None:
    """More clients than threads, so that some always wait.

    A reset is: a connection on which a whole request was sent ends without an answer. A refused
    connection is none: the client knows that nothing was taken. Nor is a kept connection that the
    client finds closed before it sends.
    """
    rounds = 10 if full else 1
    sent: list[Delivery] = []
    exits: list[float] = []
    lost: list[Delivery] = []
    service = LiveService(tmp_path, **place(tmp_path))
    service.start()
    try:
        for _ in range(rounds):
            with Load(service.port, service.plivo, clients=40, keep_alive=keep_alive) as load:
                load.wait_for(300)
                began = time.monotonic()
                assert service.process is not None
                service.process.send_signal(told)
                assert service.process.wait(60) == 0
                exits.append(time.monotonic() - began)
            sent += load.deliveries
            service.start()
            lost += missing(load.deliveries, service)
    finally:
        service.kill()
    problems = Counter(delivery.problem for delivery in sent if delivery.problem != "refused")
    figure(
        f"{told.name} under load from 40 clients, "
        + ("keep-alive" if keep_alive else "no keep-alive"),
        f"{rounds} rounds, {problems['']:,} requests answered, reset after being sent: "
        f"{problems['reset']}, connection lost while sending: {problems['unsent']}, missing: "
        f"{len(lost)}; slowest exit {max(exits):.1f} s",
    )
    assert problems["reset"] == 0
    assert problems["timeout"] == 0
    assert lost == []
    assert {delivery.status for delivery in sent} <= {200, None}
    promise(max(exits), 20)


@pytest.mark.timeout(600)
@on_both
@pytest.mark.parametrize("told", ["the master", "both, the master later"])
def test_requests_that_wait_to_be_accepted_when_sigterm_comes_are_all_answered(
    tmp_path: Path, place: Place, full: bool, figure: Figure, told: str
) -> None:
    """The worker is held (SIGSTOP) while requests arrive and SIGTERM is sent, then let go.

    systemd and others signal all processes at once, in any order. How long the worker waits for
    the master to be signalled too is a promise in seconds, so `make faults` judges that.
    """
    patient = {} if full else serve_with(Patient)
    rounds, waiting = (10 if full else 1), 60
    answered = 0
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        with (
            live_service(folder, **place(folder), **patient) as service,
            contextlib.ExitStack() as clients,
        ):
            assert service.process is not None
            worker = worker_pid(service)
            with held(worker):
                backlog = [clients.enter_context(connect(service.port)) for _ in range(waiting)]
                for client in backlog:
                    request = service.plivo.post(service.plivo.fields("sent"))
                    client.sendall(wire(request, keep_alive=False))
                if told == "the master":
                    service.process.send_signal(signal.SIGTERM)
                    wait_until(
                        partial(_pending, worker, signal.SIGTERM), what="the worker has the signal"
                    )
                else:
                    os.kill(worker, signal.SIGTERM)
            if told != "the master":
                with held(service.process.pid):  # else it could start another worker meanwhile
                    wait_until(
                        partial(_has_seen, worker, signal.SIGTERM), what="the worker sees it"
                    )
                    threading.Event().wait(0.2)  # whatever the worker does until then is right
                    service.process.send_signal(signal.SIGTERM)
            for client in backlog:
                with contextlib.suppress(ConnectionError):
                    answered += read_reply(client).status == 200
            assert service.process.wait(60) == 0
    figure(
        f"SIGTERM to {told}, while {waiting} requests wait to be accepted",
        f"{rounds} rounds, answered 200: {answered} of {rounds * waiting}",
    )
    assert answered == rounds * waiting


def _pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal waits to be seen by a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def _has_seen(pid: int, number: signal.Signals) -> bool:
    return not _pending(pid, number)
