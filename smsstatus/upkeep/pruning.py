"""Removes old messages in small batches while callbacks come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ..model import timestamp
from .parts import Parts, Rest

PAUSE_SECONDS = 0.05
"""Between batches, so that callbacks can be written."""


class RemovesAll(Exception):
    """It would remove every message: then a clock is wrong, more often than not."""


def check(parts: Parts, before: datetime, count: int) -> None:
    """Raises RemovesAll or StoreUnavailable."""
    newest = parts.store.newest()
    if count and newest < timestamp(before):
        raise RemovesAll(
            f"that is all {count}, the newest of {newest}: is this machine's clock right?"
        )


def prune(
    parts: Parts,
    before: datetime,
    rest: Rest,
    advance: Callable[[int], None],
    until: float | None = None,
) -> int:
    """Remove the messages first seen before that; how many. `until`: by the monotonic clock, when
    to leave the rest for the next run.
    """
    removed = 0
    while batch := parts.store.prune_batch(timestamp(before)):
        removed += batch
        advance(batch)
        if until is not None and parts.clock.monotonic() >= until:
            break
        rest(PAUSE_SECONDS)
    return removed
