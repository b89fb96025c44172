"""How what the tables' columns hold is read, as SQL expressions: times, and an event's digest."""

from __future__ import annotations

NOT_TOLD = "-infinity"
"""A time that an update does not say."""

EVENTS = "(SELECT *, signed_text || reading AS digest FROM status_events)"
"""The table of events with their digests, which the order key needs."""


def as_text(time: str) -> str:
    """A time in the contract's form, as an expression; NULL where it was not told."""
    utc = f"NULLIF({time}, '{NOT_TOLD}') AT TIME ZONE 'UTC'"
    return f"""to_char({utc}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def bucket(time: str, seconds: int = 120) -> str:
    """So many seconds of a time, as an expression; with two minutes the years 1 to 9999 fit.

    An index on them holds one entry for all rows of a kind in that time, with 6 bytes for each.
    """
    return f"(date_part('epoch', {time} AT TIME ZONE 'UTC') / {seconds})::integer"
