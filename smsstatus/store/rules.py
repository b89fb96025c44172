"""The order key as SQL. Its one definition is model.PHASES and StatusUpdate.order_key."""

from __future__ import annotations

from ..model import PHASES


def order_key(table: str, direction: str = "") -> str:
    """What a table's rows are ordered by, for a row value or, with ASC or DESC, an ORDER BY."""
    least = {phase: rank for rank, phase in sorted(PHASES.items(), reverse=True)}
    steps = " ".join([f"WHEN {table}.rank >= {rank} THEN {phase}" for phase, rank in least.items()])
    columns = [f"{table}.{name}" for name in ("status_timestamp", "sequence", "rank", "digest")]
    return ", ".join([f"{column} {direction}" for column in (f"CASE {steps} END", *columns)])


def first_status(message_id: str) -> str:
    """The status of a message's earliest update, as a query."""
    return f"""(
        SELECT e.status FROM status_events AS e WHERE e.message_id = {message_id}
        ORDER BY {order_key("e")} LIMIT 1)"""
