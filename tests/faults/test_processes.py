"""Several processes on one database, as while a host overlaps the old and the new container."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..live import ROOT, LiveService
from .conftest import Figure
from .load import Load, slowest
from .reconcile import integrity, kept, not_stored, query, spooled_bodies, wrong_rows

STARTING = 4


@pytest.mark.timeout(300)
def test_processes_that_start_at_once_on_a_fresh_file_all_write_without_an_error(
    tmp_path: Path, full: bool, figure: Figure
) -> None:
    """Each makes the application, delivers a callback and stops; none may have to be spooled."""
    rounds = 50 if full else 10
    errors: list[str] = []
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
            rows = query(folder / "sms.db", "SELECT count(*) FROM messages")
            if rows != [(STARTING,)] or spooled_bodies(folder / "spool"):
                errors.append(f"round {number}: {rows} rows")
            assert integrity(folder / "sms.db") == "ok"
    figure(
        f"{STARTING} processes starting at once on a fresh file",
        f"{rounds} rounds, errors: {len(errors)}",
    )
    assert errors == []


@pytest.mark.timeout(180)
def test_two_services_that_write_one_file_and_checkpoint_all_the_time_lose_nothing(
    tmp_path: Path, full: bool, figure: Figure
) -> None:
    """A message's three callbacks go to the two services in turn."""
    seconds = 20 if full else 5
    services = [LiveService(tmp_path, BASE_URL="https://sms.example.com") for _ in range(2)]
    for number, service in enumerate(services):
        service.application = "tests.faults.tiny_checkpoint_wsgi:app"
        service.log = tmp_path / f"service-{number}.log"
    first = services[0]
    try:
        for service in services:
            service.start()
        with Load([service.port for service in services], first.plivo) as load:
            load.go_on(seconds)
        places = kept(first)
        different = not_stored(load.acknowledged, first)
        wrong = wrong_rows(load.acknowledged, first)
        logs = "".join([service.log.read_text() for service in services])
        figure(
            f"2 services writing one file for {seconds} s, checkpoint every 4 pages",
            f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
            f"differences: {len(different) + len(wrong)}; integrity {integrity(first.database)}",
        )
    finally:
        for service in services:
            service.kill()
    assert load.others == []
    assert (different, wrong) == ([], [])
    assert places.spooled == set(), "one service starved the other"
    assert slowest(load.deliveries) < 5
    assert integrity(first.database) == "ok"
    assert "ERROR" not in logs


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
            process.communicate(timeout=10)
