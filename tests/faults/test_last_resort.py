"""Database and spool both fail: the log is what is left."""

from __future__ import annotations

from pathlib import Path

from ..live import LiveService
from .conftest import Figure, Promise
from .load import Load, slowest
from .locks import keeping_out
from .places import is_on_postgres, on_both
from .reconcile import bodies_in_store, integrity, is_ready, logged_callbacks, missing, replay
from .tracing import held, worker_pid


@on_both
def test_what_neither_store_nor_spool_takes_is_in_one_error_line_each_and_replay_restores_it(
    service: LiveService, tmp_path: Path, full: bool, figure: Figure, promise: Promise
) -> None:
    """The database lets nobody in and a file stands where the spool's folder was."""
    away = tmp_path / "spool.away"
    with Load(service.port, service.plivo, pause=0.02) as load:
        load.wait_for(50)
        with keeping_out(service):
            with held(worker_pid(service)):  # else it could make the folder again in between
                service.spool.rename(away)
                service.spool.write_text("a file where the folder was")
            load.wait_for(200)
            assert not is_ready(service)
            load.stop()
            service.kill()  # while it lets nobody in, so that no work is done late
    service.spool.unlink()
    away.rename(service.spool)

    lines = service.log.read_text().splitlines()
    error_lines = [line for line in lines if " ERROR " in line and "smsstatus-callback " in line]
    logged = [callback.body for callback in logged_callbacks(service)]
    assert len(error_lines) == len(logged) == len(set(logged)) > 100
    assert not bodies_in_store(service).intersection(logged)
    lost = missing(load.acknowledged, service)

    assert replay(service) == f"{len(logged)} applied, 0 already known, 0 unreadable."
    stored = bodies_in_store(service)
    lost += [d for d in load.acknowledged if d.body in set(logged) - stored]
    figure(
        "database and spool both failing under load from 8 clients",
        f"{len(logged):,} answered 200 with one ERROR line each, slowest "
        f"{slowest(load.deliveries):.2f} s; missing after `replay` of the log: {len(lost)}",
    )
    assert lost == []
    assert load.not_kept_and_not_told(full=full) == []
    promise(slowest(load.deliveries))
    replay(service)
    assert bodies_in_store(service) == stored
    assert is_on_postgres(service) or integrity(service.database) == "ok"
