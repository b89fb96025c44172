"""Removes old messages in small batches while callbacks come."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from ..model import timestamp
from .parts import Parts, Rest

PAUSE_SECONDS = 0.05
"""Between batches, so that callbacks can be written."""


class RemovesAll(Exception):
    """It would remove every message: then a clock is wrong, more often than not."""


def check(parts: Parts, before: datetime) -> None:
    """Raises RemovesAll or StoreUnavailable."""
    newest = parts.store.newest()
    if newest and newest < timestamp(before):
        raise RemovesAll(
            f"that is all there are, the newest of {newest}: is this machine's clock right?"
        )


def prune(
    parts: Parts,
    before: datetime,
    rest: Rest,
    advance: Callable[[int], None],
    until: float = math.inf,
) -> tuple[int, bool]:
    """Remove the messages first seen before that: how many, and whether those are all. `until`: by
    the monotonic clock, when to leave the rest for the next run.
    """
    removed = 0
    while batch := parts.store.prune_batch(timestamp(before)):
        removed += batch
        advance(batch)
        if parts.clock.monotonic() >= until:
            return removed, False
        rest(PAUSE_SECONDS)
    return removed, True
