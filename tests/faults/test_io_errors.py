"""The disk answers with an error now and then: injected into the running worker by strace."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ..live import LiveService, wait_until
from .conftest import Figure, Promise
from .load import Load, slowest
from .reconcile import integrity, missing, wait_until_drained, wait_until_ready
from .tracing import calls, strace, worker_pid

_FAULTS = {
    "EIO at the 5th write and every 7th after": "pwrite64:error=EIO:when=5+7",
    "EIO at the 40th write and every 53rd after": "pwrite64:error=EIO:when=40+53",
    "ENOSPC at the 20th write and every 9th after": "pwrite64:error=ENOSPC:when=20+9",
    "EIO at every 3rd fdatasync": "fdatasync:error=EIO:when=3+3",
    "EIO at every fdatasync and fsync": "fdatasync,fsync:error=EIO",
}


@pytest.mark.timeout(600)
def test_no_callback_is_answered_200_and_nowhere_when_writes_and_syncs_fail(
    service: LiveService, tmp_path: Path, full: bool, figure: Figure, promise: Promise
) -> None:
    """With the last of the faults the spool fails as well: its callbacks are in the log.

    Where a machine is so busy that one is not kept in time anywhere, Plivo is told to try again.
    """
    worker = worker_pid(service)
    answers = 300 if full else 60
    faults = list(_FAULTS.items()) if full else [*_FAULTS.items()][::2]
    lost = []
    injected = 0
    with Load(service.port, service.plivo, pause=0.01) as load:
        load.wait_for(50)
        for number, (name, fault) in enumerate(faults):
            output = tmp_path / f"trace-{number}"
            names = fault.partition(":")[0]
            with strace(worker, output, "-e", f"trace={names}", "-e", f"inject={fault}"):
                wait_until(partial(_injected, output), 120, name)
                load.wait_for(answers)
                lost += missing(load.acknowledged, service)
            injected += sum(call.failed for call in calls(output))
            wait_until_ready(service)
            load.wait_for(20)
    wait_until_drained(service)
    lost += missing(load.acknowledged, service)
    figure(
        "I/O errors injected at the Nth write and at fdatasync, under load from 8 clients",
        f"{injected} errors, {len(load.acknowledged):,} answered 200, slowest "
        f"{slowest(load.deliveries):.2f} s, missing: {len(lost)}; integrity ok",
    )
    assert lost == []
    assert load.not_kept_and_not_told(full=full) == []
    promise(slowest(load.deliveries))
    assert integrity(service.database) == "ok"


def _injected(output: Path) -> bool:
    """Whether strace has let a call fail."""
    return "(INJECTED)" in output.read_text()
