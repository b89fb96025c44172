"""The database is locked by somebody else."""

from __future__ import annotations

import time

import pytest

from ..live import LiveService
from .conftest import Figure, Promise
from .load import Load, slowest
from .locks import KINDS, holding_the_database
from .reconcile import (
    gather,
    integrity,
    is_ready,
    missing,
    not_stored,
    wait_until_ready,
    wait_until_spooled,
    wrong_rows,
)


@pytest.fixture(scope="module")
def service(shared_service: LiveService) -> LiveService:
    return shared_service


def test_a_start_beside_a_process_that_hangs_with_the_lock_serves_and_spools(
    service: LiveService, figure: Figure, promise: Promise
) -> None:
    assert service.stop() == 0
    with holding_the_database(service.database, "flock"):
        began = time.monotonic()
        service.start()
        seconds = time.monotonic() - began
        with Load(service.port, service.plivo, clients=2) as load:
            load.wait_for(20)
        assert load.others == []
        assert missing(load.acknowledged, service) == []
    gather(service)
    figure("start beside a process that hangs with the lock", f"answers after {seconds:.1f} s")
    promise(seconds, 6)
    assert not_stored(load.acknowledged, service) == []


@pytest.mark.parametrize("kind", KINDS)
def test_callbacks_are_answered_within_5_seconds_and_kept_while_another_process_holds_the_lock(
    service: LiveService, full: bool, figure: Figure, promise: Promise, kind: str
) -> None:
    """A transaction that is not ended, or our own lock file held by a process that hangs.

    All that was answered 200 is in the spool meanwhile, and in the store afterwards.
    """
    with Load(service.port, service.plivo, pause=0.05) as load:
        load.wait_for(50)
        with holding_the_database(service.database, kind):
            began = time.monotonic()
            wait_until_spooled(service, 100)
            load.go_on(began + 12 - time.monotonic() if full else 0)
            assert not is_ready(service)
            lost = missing(load.acknowledged, service)
            seconds = time.monotonic() - began
        load.wait_for(50)
    gather(service)
    lost += not_stored(load.acknowledged, service)
    figure(
        f"database locked by another process for {seconds:.0f} s ({kind}) "
        "under load from 8 clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}, spool drained afterwards",
    )
    assert load.others == []
    promise(slowest(load.deliveries))
    assert lost == []
    assert wrong_rows(load.acknowledged, service) == []
    assert integrity(service.database) == "ok"
    wait_until_ready(service)
