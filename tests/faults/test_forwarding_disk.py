"""The database takes nothing, or is another one, while changes are forwarded from it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from ..forwarding.receivers import Answer, Delivered, Receiver
from ..live import LiveService, live_service, wait_until
from .conftest import Figure, Promise
from .disks import filled
from .forwarded import Arrived, count_waiting, forwarding_to, slowly, wait_until_sent
from .load import Load
from .reconcile import integrity, is_ready, look, wait_until_ready, wait_until_spooled
from .tracing import strace, worker_pid

pytestmark = pytest.mark.slow

Fault = Callable[[LiveService, Path], AbstractContextManager[None]]


def _full(service: LiveService, folder: Path) -> AbstractContextManager[None]:
    return filled(service.database.parent)


def _failing_with(error: str) -> Fault:
    inject = ("-e", "trace=pwrite64", "-e", f"inject=pwrite64:error={error}")
    return lambda service, folder: strace(worker_pid(service), folder / "trace", *inject)


FAULTS: dict[str, Fault] = {
    "disk full": _full,
    "ENOSPC at every write": _failing_with("ENOSPC"),
    "file system read-only": _failing_with("EROFS"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_sent_while_the_database_takes_nothing_and_then_it_goes_on(
    small_disk: Path,
    tmp_path: Path,
    there: Receiver,
    figure: Figure,
    promise: Promise,
    name: str,
) -> None:
    """Many wait when it begins, and the receiver would take them."""
    with _service(small_disk, tmp_path, there) as service:
        slowly(there, 0.05)
        with Load(service.port, service.plivo, clients=16) as load:
            wait_until(lambda: count_waiting(service) > 150, 120, "many wait")
            with FAULTS[name](service, tmp_path):
                wait_until_spooled(service, 1)
                noticed = time.monotonic()
                load.go_on(4)
                wait_until(lambda: not is_ready(service), what="/readyz says so")
                last = max(one.at for one in list(there.delivered))
                waiting = count_waiting(service)
        there.answer = lambda delivered: Answer()
        wait_until_ready(service)
        wait_until_sent(service)
        found = Arrived(there)
        missing, wrong = found.missing(service), found.wrongly_taken(service)
        assert integrity(service.database) == "ok"
    figure(
        f"{name} while changes are forwarded",
        f"{len(load.acknowledged):,} answered 200; while {waiting:,} waited the last one was sent "
        f"{max(last - noticed, 0):.2f} s after the first callback was spooled; then missing: "
        f"{missing}, overtakes: {found.overtaken}, wrong rows settled: {wrong}, sent twice: "
        f"{found.repeated}",
    )
    assert waiting > 0
    assert (missing, wrong, found.overtaken, found.repeated) == (0, 0, 0, 0)
    promise(last - noticed, 1)


@contextlib.contextmanager
def _service(disk: Path, folder: Path, there: Receiver) -> Iterator[LiveService]:
    """One with its database on the small disk, and spool and log elsewhere."""
    service = LiveService(disk, SPOOL_DIR=str(folder / "spool"), **forwarding_to(there.url))
    service.spool, service.log = folder / "spool", folder / "service.log"
    try:
        yield service.start()
    finally:
        service.kill()


def test_what_a_replaced_database_has_at_the_same_place_is_not_taken_for_what_was_under_way(
    tmp_path: Path, there: Receiver, figure: Figure
) -> None:
    """Answers are held back until a backup is in place, and until new changes have the ids of those
    that it has not.
    """
    held, arrived, go_on = threading.Event(), threading.Event(), threading.Event()

    def answer(delivered: Delivered) -> Answer:
        if held.is_set():
            arrived.set()
            go_on.wait(60)
        return Answer()

    there.answer = answer
    with live_service(tmp_path, **forwarding_to(there.url)) as service:
        with Load(service.port, service.plivo, clients=4) as load:
            load.wait_for(200)
        wait_until_sent(service)
        backup = tmp_path / "backup.db"
        with (
            closing(sqlite3.connect(service.database)) as source,
            closing(sqlite3.connect(backup)) as copy,
        ):
            source.backup(copy)
        ((newest,),) = look(service, "SELECT max(id) FROM status_events")
        held.set()
        with Load(service.port, service.plivo, clients=4) as lost:
            lost.wait_for(40)
        assert arrived.wait(60)
        os.replace(backup, service.database)
        with Load(service.port, service.plivo, clients=4) as since:
            since.wait_for(60)
            wait_until(lambda: _newest(service) > newest + 40, 60, "new ones have their ids")
        go_on.set()
        wait_until_sent(service)
        found = Arrived(there)
        missing, wrong = found.missing(service), found.wrongly_taken(service)
        assert integrity(service.database) == "ok"
    figure(
        "database replaced by an older backup while changes are on their way",
        f"{len(load.acknowledged) + len(since.acknowledged):,} answered 200 before and since, "
        f"missing: {missing}, overtakes: {found.overtaken}, wrong rows settled: {wrong}",
    )
    assert lost.acknowledged
    assert (missing, wrong, found.overtaken) == (0, 0, 0)


def _newest(service: LiveService) -> int:
    with contextlib.suppress(sqlite3.Error):  # it is being replaced
        ((newest,),) = look(service, "SELECT max(id) FROM status_events")
        return int(newest or 0)
    return 0
