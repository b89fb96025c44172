"""How much of the time the background counts. Other things it does are seen in whole services."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest

from smsstatus.store.contract import Store, StoreUnavailable
from smsstatus.upkeep import caretaker
from smsstatus.upkeep.caretaker import COUNT_AGAIN_SECONDS, COUNT_SHARE, Caretaker

from ..clock import HandClock
from ..live import wait_until

SLOW_SECONDS = 30.0


@pytest.mark.parametrize("is_done", [True, False])
def test_a_count_that_takes_long_is_rare_and_one_that_failed_is_tried_again_in_minutes(
    monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    clock = HandClock()
    counted: list[float] = []

    def count_again() -> None:
        counted.append(clock.monotonic())
        clock.turn(SLOW_SECONDS)
        if not is_done:
            raise StoreUnavailable("too slow")

    def take_suspicion() -> bool:
        clock.turn(1)
        return False

    store = SimpleNamespace(
        engine=lambda: SimpleNamespace(may_lose=False),
        runs=SimpleNamespace(beat=lambda now, **more: None),
        count_again=count_again,
        sum_up_some=lambda now: False,
        take_suspicion=take_suspicion,
        examine=lambda seconds: None,
        damage="",
    )
    monkeypatch.setattr(caretaker, "LOOK_SECONDS", 0)
    at_work = Caretaker(cast(Store, store), clock)
    at_work.start()
    try:
        wait_until(lambda: len(counted) > 2, what="it counts again and again")
    finally:
        at_work.stop()
    rest = COUNT_SHARE * SLOW_SECONDS if is_done else COUNT_AGAIN_SECONDS
    assert all(rest <= later - one < rest + 2 for one, later in pairwise(counted))
