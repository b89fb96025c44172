"""The drainer thread: of the processes that share a spool's folder one drains it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from flask import Flask

from smsstatus.intake import drainer as draining
from smsstatus.intake.drainer import Drainer
from smsstatus.intake.spool import Spool
from smsstatus.plivo.callback import Callback
from smsstatus.web.current import service_of

from ..conftest import Query
from ..live import wait_until
from ..signed import Plivo


class Watched(Spool):
    """Counts the passes of the drainer that it is given to."""

    passes = 0

    def tidy_bad(self) -> None:
        self.passes += 1
        super().tidy_bad()


def test_one_drains_and_when_it_ends_another_does(
    app: Flask, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads here; what they lock knows no difference to two processes."""
    monkeypatch.setattr(draining, "DRAIN_SECONDS", 0.01)
    service = service_of(app)
    spools = [Watched(service.spool.folder) for _ in range(2)]
    drainers = [Drainer(service.store, spool) for spool in spools]

    def spooled(message_uuid: str) -> None:
        body = urlencode(Plivo().fields("sent", message_uuid))
        service.spool.keep(Callback("POST", "", body, "2026-11-01T12:00:00.000000Z"), "a reason")

    def is_stored(message_uuid: str) -> bool:
        return bool(query("SELECT 1 FROM messages WHERE message_uuid = ?", message_uuid))

    with service.spool.hold() as is_ours:
        assert is_ours
        spooled("while-another-does")
        for drainer in drainers:
            drainer.start()
        wait_until(lambda: all(spool.passes > 3 for spool in spools))
        assert not is_stored("while-another-does")
    wait_until(lambda: is_stored("while-another-does"))
    for number, drainer in enumerate(drainers):
        spooled(f"message-{number}")
        wait_until(lambda number=number: is_stored(f"message-{number}"))  # type: ignore[misc]
        with service.spool.hold() as is_ours:
            assert not is_ours
        drainer.stop()

    def is_free() -> bool:
        with service.spool.hold() as is_ours:
            return is_ours

    wait_until(is_free, what="the last one has ended")
