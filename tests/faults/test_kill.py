"""kill -9."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ..live import LiveService
from .conftest import Figure
from .load import Delivery, Load
from .reconcile import integrity, missing


@pytest.mark.timeout(600)
def test_nothing_answered_200_is_lost_when_all_processes_are_killed_under_load(
    tmp_path: Path, full: bool, limits: dict[str, str], figure: Figure
) -> None:
    """Master and worker get SIGKILL at a random moment, again and again on one database."""
    rounds = 20 if full else 3
    moments = random.Random(1)
    sent: list[Delivery] = []
    lost: list[Delivery] = []
    service = LiveService(tmp_path, **limits)
    service.start()
    try:
        for _ in range(rounds):
            with Load(service.port, service.plivo) as load:
                load.wait_for(50)
                load.go_on(moments.uniform(0.0, 0.5))
                service.kill()
            sent += load.deliveries
            service.start()
            lost += missing(sent, service)
            assert integrity(service.database) == "ok"
    finally:
        service.kill()
    acknowledged = sum(delivery.status == 200 for delivery in sent)
    figure(
        "kill -9 of the whole process group under load from 8 clients",
        f"{rounds} rounds, {acknowledged:,} answered 200, missing: {len(lost)}; integrity ok",
    )
    assert lost == []
    assert {delivery.status for delivery in sent} <= {200, None}
