"""Database and spool both fail, and so does the log: then the answer must not be 200."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..live import LiveService
from ..signed import send
from .conftest import Figure
from .load import Load, slowest
from .locks import keeping_out
from .places import Place, is_on_postgres, on_both, on_both_in_full
from .reconcile import kept, replay
from .tracing import held, worker_pid

ANSWERS = 100


@contextlib.contextmanager
def broken(folder: Path, log: Path, place: Place) -> Iterator[LiveService]:
    """A service whose log goes there, and whose database and spool are lost after its start."""
    service = LiveService(folder, **place(folder))
    service.log = log
    with contextlib.ExitStack() as stack:
        stack.callback(service.kill)
        service.start()
        with held(worker_pid(service)):  # else it could put back the one while the other goes
            for path in folder.glob("sms.db*"):
                path.rename(folder / f"away-{path.name}")
            if is_on_postgres(service):
                stack.enter_context(keeping_out(service))
            else:
                service.database.mkdir()
            service.spool.write_text("a file where the folder was")
        yield service


def fill(path: Path) -> None:
    """Write to a pipe until it takes nothing more."""
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.close(writer)


@contextlib.contextmanager
def unread_log(service: LiveService) -> Iterator[None]:
    """The service runs, and its log is a pipe that is full, and nobody reads; gone at the end."""
    os.mkfifo(service.log)
    reader = os.open(service.log, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reader)
        stack.callback(service.kill)
        service.start()
        fill(service.log)
        yield


@on_both_in_full
@pytest.mark.parametrize("state", ["on a full disk", "a closed pipe", "a full pipe", "nowhere"])
def test_where_nothing_can_be_kept_plivo_is_asked_to_try_again(
    tmp_path: Path, place: Place, figure: Figure, state: str
) -> None:
    """The spool is a file, the database a folder or closed: nothing comes back by itself."""
    folder = tmp_path / "data"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        log = Path("/dev/full" if state == "on a full disk" else "/dev/null")
        reader = -1
        if "pipe" in state:
            log = tmp_path / "log"
            os.mkfifo(log)
            reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        service = stack.enter_context(broken(folder, log, place))
        if state == "a closed pipe":
            os.close(reader)
        elif state == "a full pipe":
            fill(log)
        with Load(service.port, service.plivo) as load:
            load.wait_for(ANSWERS)
        metrics = service.get("/metrics")[1].decode()
    refused = [delivery for delivery in load.deliveries if delivery.status == 503]
    figure(
        f"database, spool and log all failing (log: {state}), under load from 8 clients",
        f"{len(refused)} answered 503, {len(load.acknowledged)} answered 200, slowest "
        f"{slowest(load.deliveries):.2f} s",
    )
    assert len(refused) == len(load.deliveries) >= ANSWERS
    assert 'answer="503",reason="kept nowhere"}' in metrics


@on_both
def test_while_the_log_takes_them_callbacks_are_answered_200_and_can_be_replayed(
    tmp_path: Path, place: Place, figure: Figure
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with broken(folder, tmp_path / "service.log", place) as service:
        with Load(service.port, service.plivo) as load:
            load.wait_for(ANSWERS)
        repeated = service.plivo.post(service.plivo.fields("sent"))
        assert {send(repeated, service.address)[0] for _ in range(50)} == {200}
    if not is_on_postgres(service):
        service.database.rmdir()
    service.spool.unlink()
    for path in folder.glob("away-*"):
        path.rename(folder / path.name.removeprefix("away-"))
    lines = service.log.read_text().splitlines()
    assert sum("smsstatus-callback " in line for line in lines) == len(load.acknowledged) + 1
    assert sum("store and spool both failed (" in line for line in lines) <= 20
    replay(service)
    stored = kept(service).stored
    lost = [delivery for delivery in load.acknowledged if delivery.body not in stored]
    figure(
        "database and spool failing from the first callback on, under load from 8 clients",
        f"{len(load.acknowledged)} answered 200, missing after `replay` of the log: {len(lost)}",
    )
    assert load.others == []
    assert lost == []
