"""The database is locked by somebody else."""

from __future__ import annotations

import pytest

from ..live import LiveService, wait_until
from .conftest import Figure
from .load import Load, slowest
from .locks import KINDS, holding_the_database
from .reconcile import integrity, missing, not_stored, wait_until_drained, wrong_rows


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_callbacks_are_answered_within_5_seconds_and_kept_while_another_process_holds_the_lock(
    service: LiveService, full: bool, figure: Figure, kind: str
) -> None:
    """A transaction that is not ended, or our own lock file held by a process that hangs.

    All that was answered 200 is in the spool meanwhile, and in the store afterwards.
    """
    seconds = 12 if full or kind == KINDS[0] else 4
    with Load(service.port, service.plivo, pause=0.05) as load:
        load.wait_for(50)
        with holding_the_database(service.database, kind):
            load.go_on(seconds)
            assert service.get("/readyz")[0] == 503
            lost = missing(load.acknowledged, service)
        load.wait_for(50)
    wait_until_drained(service)
    lost += not_stored(load.acknowledged, service)
    figure(
        f"database locked by another process for {seconds} s ({kind}) under load from 8 clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}, spool drained afterwards",
    )
    assert load.others == []
    assert slowest(load.deliveries) < 5
    assert lost == []
    assert wrong_rows(load.acknowledged, service) == []
    assert integrity(service.database) == "ok"
    wait_until(lambda: service.get("/readyz")[0] == 200, what="ready again")
