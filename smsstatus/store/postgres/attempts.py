"""One address after the other, within a bound. psycopg would wait two seconds for each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from ... import promise

FURTHER_SECONDS = 1.0
"""Whoever has tried for longer tries no other address: one that gives no answer is the last."""

_worked: dict[str, str] = {}
"""What worked last, for each URL."""
_failed: dict[str, tuple[float, str]] = {}
"""When each of the others was tried since then, and what came of it."""


def first_that_works(
    url: str,
    attempts: Mapping[str, str],
    connect: Callable[[str], psycopg.Connection[Any]],
    began: float,
) -> psycopg.Connection[Any]:
    """`connect` to one of these; their values name them. Raises psycopg.Error.

    First to the one that worked last, then to those not tried since, then to those tried longest
    ago: whatever one call did not get to, a later one does. Any thread may call it.
    """
    known = {each: failure for each in attempts if (failure := _failed.get(each)) is not None}

    def rank(attempt: str) -> float:
        return known[attempt][0] if attempt in known else -float(_worked.get(url) == attempt)

    for attempt in sorted(attempts, key=rank):
        try:
            connection = connect(attempt)
        except psycopg.OperationalError as error:
            if len(attempts) == 1:
                raise
            now = time.monotonic()
            known[attempt] = _failed[attempt] = (now, str(error))
            if now - began > FURTHER_SECONDS or promise.seconds_left() < promise.CONNECT_SECONDS:
                break
        else:
            _worked[url] = attempt
            for each in attempts:
                _failed.pop(each, None)
            return connection
    said = [f"{name}: {known[each][1]}" for each, name in attempts.items() if each in known]
    raise psycopg.OperationalError("; ".join(said))
