"""Several processes on one database, as while a host overlaps the old and the new container."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..live import ROOT, LiveService
from .conftest import Figure, Promise
from .load import Load, slowest
from .reconcile import gather, integrity, not_stored, query, spooled_bodies, wrong_rows
from .workers import OftenCheckpointing, serve_with

STARTING = 4


def test_processes_that_start_at_once_on_a_fresh_file_all_write_without_an_error(
    tmp_path: Path, full: bool, figure: Figure
) -> None:
    """Each makes the application, delivers a callback and stops.

    One that had to wait for its turn too long has its callback in the spool, on a busy machine.
    """
    rounds = 50 if full else 4
    errors: list[str] = []
    spooled = 0
    with _newcomers(STARTING) as newcomers:
        for number in range(rounds):
            folder = tmp_path / str(number)
            folder.mkdir()
            for newcomer in newcomers:
                assert newcomer.stdin is not None
                newcomer.stdin.write(f"{folder}\n")
                newcomer.stdin.flush()
            for newcomer in newcomers:
                assert newcomer.stdout is not None
                errors += [said for said in [newcomer.stdout.readline().strip()] if said != "ok"]
            ((rows,),) = query(folder / "sms.db", "SELECT count(*) FROM messages")
            waiting = len(spooled_bodies(folder / "spool"))
            if rows + waiting != STARTING:
                errors.append(f"round {number}: {rows} rows, {waiting} in the spool")
            spooled += waiting
            assert integrity(folder / "sms.db") == "ok"
    figure(
        f"{STARTING} processes starting at once on a fresh file",
        f"{rounds} rounds, errors: {len(errors)}, spooled: {spooled}",
    )
    assert errors == []
    assert not full or spooled == 0


def test_two_services_that_write_one_file_and_checkpoint_all_the_time_lose_nothing(
    tmp_path: Path, full: bool, figure: Figure, promise: Promise
) -> None:
    """A message's three callbacks go to the two services in turn.

    None starves the other: on a machine with nothing else to do, no callback has to be spooled.
    """
    often = serve_with(OftenCheckpointing)
    services = [
        LiveService(tmp_path, BASE_URL="https://sms.example.com", **often) for _ in range(2)
    ]
    for number, service in enumerate(services):
        service.log = tmp_path / f"service-{number}.log"
    first = services[0]
    try:
        for service in services:
            service.start()
        with Load([service.port for service in services], first.plivo) as load:
            began = time.monotonic()
            load.wait_for(500)
            load.go_on(began + 20 - time.monotonic() if full else 0)
            seconds = time.monotonic() - began
        spooled = spooled_bodies(first.spool)
        gather(first)
        different = not_stored(load.acknowledged, first)
        wrong = wrong_rows(load.acknowledged, first)
        logs = "".join([service.log.read_text() for service in services])
        found = integrity(first.database)
        figure(
            f"2 services writing one file for {seconds:.0f} s, checkpoint every 4 pages",
            f"{len(load.acknowledged):,} answered 200, of these {len(spooled)} spooled first, "
            f"slowest {slowest(load.deliveries):.2f} s, "
            f"differences: {len(different) + len(wrong)}; integrity {found}",
        )
    finally:
        for service in services:
            service.kill()
    assert load.others == []
    assert (different, wrong) == ([], [])
    assert found == "ok"
    assert "mistake in the program" not in logs
    assert "Traceback" not in logs
    assert not full or (not spooled and "ERROR" not in logs)
    promise(slowest(load.deliveries))


@contextlib.contextmanager
def _newcomers(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.faults.newcomer"]
    processes = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=60)
