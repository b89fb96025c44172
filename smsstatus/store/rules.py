"""What both stores share: the order key as SQL, what a change is by it, what is kept of the places
and prices of a message, and what a reference is found by.

The key's one definition is model.PHASES and StatusUpdate.order_key.
"""

from __future__ import annotations

from ..model import PHASES
from ..plivo.form import parse_form

MAX_PAIR = 2000
"""Bytes: what an entry of an index can hold in each store, beside the time and the message's id. In
PostgreSQL that is 2,704, and a longer one would keep its whole batch from being written.
"""

UNKNOWN = "~"
"""Sorts behind every network and country."""

_COLUMNS = ("status_timestamp", "sequence", "rank", "digest")


def order_key(table: str, direction: str = "", *, prefix: str = "") -> str:
    """What a table's rows are ordered by, for a row value or, with ASC or DESC, an ORDER BY.

    `prefix` is what the names of the columns begin with.
    """
    row = f"{table}.{prefix}"
    least = {phase: rank for rank, phase in sorted(PHASES.items(), reverse=True)}
    steps = " ".join([f"WHEN {row}rank >= {rank} THEN {phase}" for phase, rank in least.items()])
    columns = [f"{row}{name}" for name in _COLUMNS]
    return ", ".join([f"{column} {direction}" for column in (f"CASE {steps} END", *columns)])


def place_key(row: str) -> str:
    """Where a message went, as SQL: the least is kept, so that any network stands before a number's
    country.
    """
    return f"(coalesce({row}.network, '{UNKNOWN}'), coalesce({row}.country, '{UNKNOWN}'))"


def price_key(row: str) -> str:
    """What a message cost, as SQL: the greatest is kept."""
    return f"(coalesce({row}.told_rank, -2), coalesce({row}.amount, -1), coalesce({row}.units, -1))"


def first_seen(row: str) -> str:
    """When a message was first seen, as an update says; `row` is what its columns begin with.

    When it reached us, by our clock. What Plivo tells when it is asked can be of long ago, as after
    an outage: then it is when Plivo queued the message, so that it counts in its own hour.
    """
    return f"""(CASE WHEN {row}source = 'reconcile' AND {row}queued_at < {row}received_at
        THEN {row}queued_at ELSE {row}received_at END)"""


def first_status(message_id: str) -> str:
    """The status of a message's earliest update, as a query."""
    return f"""(
        SELECT e.status FROM status_events AS e WHERE e.message_id = {message_id}
        ORDER BY {order_key("e")} LIMIT 1)"""


def reference_pairs(query: str) -> list[str]:
    """What a reference is found by: each of its decoded parameters once, such as `order=42`, where
    it is not too long.
    """
    pairs = {f"{name}={value}" for name, value in parse_form(query.encode())}
    return sorted([pair for pair in pairs if len(pair.encode()) <= MAX_PAIR])


def before(event: str, events: str = "status_events") -> str:
    """The id of the event that stood when this one came, as a query: `event` is an alias of the
    table `events`.

    The events of a message have ids in the order in which they came.
    """
    return f"""(
        SELECT p.id FROM {events} AS p
        WHERE p.message_id = {event}.message_id AND p.id < {event}.id
        ORDER BY {order_key("p", "DESC")} LIMIT 1)"""


def is_change(event: str, standing: str) -> str:
    """Does this event change what `standing`, the one `before` it, or NULL, says of the message?"""
    return f"""({event}.source <> 'send' AND ({standing}.id IS NULL OR (
        ({order_key(event)}) > ({order_key(standing)})
        AND ({event}.status <> {standing}.status
            OR coalesce({event}.error_code, '') <> coalesce({standing}.error_code, '')))))"""
