"""No space left on the device, and then there is again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..live import LiveService, wait_until
from .conftest import Figure, Promise
from .disks import filled
from .load import Load, slowest
from .reconcile import (
    gather,
    integrity,
    is_ready,
    logged_callbacks,
    missing,
    not_stored,
    replay,
    wait_until_drained,
    wait_until_ready,
    wait_until_spooled,
    wrong_rows,
)
from .tracing import strace, worker_pid


def test_while_the_databases_disk_is_full_callbacks_go_to_a_spool_elsewhere_and_drain_by_themselves(
    small_disk: Path, tmp_path: Path, limits: dict[str, str], figure: Figure, promise: Promise
) -> None:
    with (
        _service(small_disk, tmp_path, tmp_path / "spool", limits) as service,
        Load(service.port, service.plivo, pause=0.02) as load,
    ):
        load.wait_for(100)
        with filled(small_disk):
            wait_until_spooled(service, 50)
            assert not is_ready(service)
            lost = missing(load.acknowledged, service)
        wait_until_ready(service)
        load.wait_for(50)
        load.stop()
        gather(service)
        lost += not_stored(load.acknowledged, service)
        figure(
            "disk of the database full, then space again, under load from 8 clients",
            f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
            f"missing: {len(lost)}, drained without a restart",
        )
        assert load.others == []
        promise(slowest(load.deliveries))
        assert lost == []
        assert wrong_rows(load.acknowledged, service) == []
        assert integrity(service.database) == "ok"


def test_while_the_one_disk_of_database_and_spool_is_full_callbacks_are_in_the_log_for_replay(
    small_disk: Path,
    tmp_path: Path,
    limits: dict[str, str],
    full: bool,
    figure: Figure,
    promise: Promise,
) -> None:
    """New callbacks go to the store again by themselves; the logged ones are fed to `replay`."""
    with (
        _service(small_disk, tmp_path, small_disk / "sms.db-spool", limits) as service,
        Load(service.port, service.plivo, pause=0.02) as load,
    ):
        load.wait_for(100)
        with filled(small_disk):
            wait_until(lambda: len(logged_callbacks(service)) > 100, 120, "they are logged")
            assert not is_ready(service)
            lost = missing(load.acknowledged, service)
        wait_until_ready(service)
        load.wait_for(50)
        load.stop()
        wait_until_drained(service)
        logged = len(logged_callbacks(service))
        lost += missing(load.acknowledged, service)
        replay(service)
        lost += not_stored(load.acknowledged, service)
        figure(
            "disk of database and spool full, then space again, under load from 8 clients",
            f"{len(load.acknowledged):,} answered 200, of these {logged:,} in the log, slowest "
            f"{slowest(load.deliveries):.2f} s, missing after `replay`: {len(lost)}",
        )
        assert load.not_kept_and_not_told(full=full) == []
        promise(slowest(load.deliveries))
        assert lost == []
        assert wrong_rows(load.acknowledged, service) == []
        assert integrity(service.database) == "ok"


def test_callbacks_are_spooled_while_every_write_of_the_database_finds_no_space(
    service: LiveService, tmp_path: Path, figure: Figure, promise: Promise
) -> None:
    """The same without root: strace makes each of SQLite's writes fail with ENOSPC."""
    inject = ("-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC")
    with Load(service.port, service.plivo, pause=0.02) as load:
        load.wait_for(100)
        with strace(worker_pid(service), tmp_path / "trace", *inject):
            wait_until_spooled(service, 50)
            lost = missing(load.acknowledged, service)
        load.wait_for(50)
    gather(service)
    lost += not_stored(load.acknowledged, service)
    figure(
        "ENOSPC at every write of the database, then none, under load from 8 clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}, drained without a restart",
    )
    assert load.others == []
    promise(slowest(load.deliveries))
    assert lost == []
    assert integrity(service.database) == "ok"


@contextlib.contextmanager
def _service(
    disk: Path, log_folder: Path, spool: Path, limits: dict[str, str]
) -> Iterator[LiveService]:
    """A service with its database on the small disk and its log elsewhere."""
    service = LiveService(disk, SPOOL_DIR=str(spool), **limits)
    service.spool = spool
    service.log = log_folder / "service.log"
    try:
        yield service.start()
    finally:
        service.kill()
