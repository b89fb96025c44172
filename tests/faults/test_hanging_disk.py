"""The disk neither takes a write nor refuses it: an fsync that does not end, by strace."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..live import LiveService, wait_until
from .conftest import Figure
from .load import Load, slowest
from .reconcile import integrity, missing, wait_until_drained
from .tracing import strace, worker_pid

CLIENTS = 48  # more than threads, so that waiting for one counts too
_HANGING = {"the database's": "fdatasync", "every": "fdatasync,fsync"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("which", _HANGING)
def test_callbacks_are_answered_within_5_seconds_and_kept_while_fsync_hangs(
    service: LiveService, tmp_path: Path, full: bool, figure: Figure, which: str
) -> None:
    """In the spool, or, if its fsync hangs as well, in the log."""
    seconds = 20 if full else 8
    names = _HANGING[which]
    hang = f"inject={names}:delay_enter={seconds * 1_000_000}"
    options = ("--seccomp-bpf", "-e", f"trace={names}", "-e", hang)
    with Load(service.port, service.plivo, clients=CLIENTS, pause=0.5) as load:
        load.wait_for(CLIENTS)
        with strace(worker_pid(service), tmp_path / "trace", *options):
            load.go_on(seconds)
            assert service.get("/readyz")[0] == 503
            lost = missing(load.acknowledged, service)
        wait_until(lambda: service.get("/readyz")[0] == 200, 60, "ready again")
        load.wait_for(CLIENTS)
    wait_until_drained(service)
    lost += missing(load.acknowledged, service)
    figure(
        f"{which} fsync hanging for {seconds} s under load from {CLIENTS} clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}",
    )
    assert load.others == []
    assert slowest(load.deliveries) < 5
    assert lost == []
    assert integrity(service.database) == "ok"
    assert "no commit within 3 s" in service.log.read_text()
