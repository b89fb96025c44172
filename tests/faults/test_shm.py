"""The -shm, SQLite's index of the -wal, is removed while two processes write to one file.

Who opens the file then makes another, and those that have different ones write over one another.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..live import LiveService, wait_until
from .conftest import Figure, Promise
from .load import Load, slowest
from .reconcile import gather, integrity, not_stored


def test_a_shm_that_is_removed_before_a_second_process_starts_costs_nothing(
    tmp_path: Path, limits: dict[str, str], full: bool, figure: Figure, promise: Promise
) -> None:
    """In each round the -shm goes, and the second one starts again, which makes another."""
    services = [LiveService(tmp_path, BASE_URL="https://sms.example.com", **limits) for _ in "12"]
    for number, service in enumerate(services):
        service.log = tmp_path / f"service-{number}.log"
    first, second = services
    shm = tmp_path / "sms.db-shm"
    rounds = 5 if full else 1
    try:
        for service in services:
            service.start()
        with Load([service.port for service in services], first.plivo, pause=0.01) as load:
            for _ in range(rounds):
                load.wait_for(200)
                noticed = _noticed(first)
                shm.unlink()
                second.stop()
                second.start()
                wait_until(lambda n=noticed: _noticed(first) > n, what="it is noticed")  # type: ignore[misc]
                load.wait_for(200)
        gather(first)
        lost = not_stored(load.acknowledged, first)
        found = integrity(first.database)
        figure(
            f"-shm removed {rounds} times before a second process starts, under load",
            f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
            f"missing: {len(lost)}; integrity {found}",
        )
        # A checkpoint by the last to close must not undo it either.
        assert [service.stop() for service in services] == [0, 0]
    finally:
        for service in services:
            service.kill()
    assert {delivery.problem for delivery in load.others} <= {"refused"}
    assert (lost, found) == ([], "ok")
    assert integrity(first.database) == "ok"
    assert not_stored(load.acknowledged, first) == []
    promise(slowest(load.deliveries))


def _noticed(service: LiveService) -> int:
    return len(re.findall(r"-shm (file )?was removed", service.log.read_text()))
