"""SIGTERM while the server hangs, and the spool is on a disk that is not kept."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

from ..conftest import Figure, Promise
from ..load import Load
from ..reconcile import logged_callbacks, replay, spooled_bodies, wait_until_spooled
from .conftest import running
from .kept import missing, wrong


def test_a_service_that_is_stopped_while_the_server_hangs_leaves_its_spool_in_the_log(
    tmp_path: Path, limits: dict[str, str], figure: Figure, promise: Promise
) -> None:
    """Some of the spool is an earlier service's, which wrote nothing to the log when it came."""
    with running(tmp_path, limits) as target:
        service = target.service
        with Load(service.port, service.plivo, pause=0.05) as earlier:
            earlier.wait_for(20)
            target.server.signal_all(signal.SIGSTOP)
            try:
                wait_until_spooled(service, 20)
                earlier.stop()
                service.kill()
                service.environment["SPOOL_LOG"] = "on"
                service.start()
                with Load(service.port, service.plivo, pause=0.05) as load:
                    load.wait_for(20)
                began = time.monotonic()
                assert service.stop(60) == 0
                seconds = time.monotonic() - began
            finally:
                target.server.signal_all(signal.SIGCONT)
        left = spooled_bodies(service.spool)
        assert left - {callback.body for callback in logged_callbacks(service)} == set()
        assert "spooled callbacks are in lines of the log, for `replay`" in service.log.read_text()
        shutil.rmtree(service.spool)
        replay(service)
        deliveries = earlier.deliveries + load.deliveries
        lost = missing(deliveries, service, target.url)
        figure(
            "PostgreSQL: SIGTERM while the server is stopped by SIGSTOP, the spool's disk not kept",
            f"over after {seconds:.1f} s, {len(left)} left in the log, missing after `replay`: "
            f"{len(lost)}",
        )
        assert load.others == earlier.others == []
        assert wrong(deliveries, target.url) == []
        promise(seconds, 10)
