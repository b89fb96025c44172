"""Where a message went and what it cost: kept beside its row, the same in any order of arrival."""

from __future__ import annotations

import sqlite3
from typing import Any

from ...model import StatusUpdate
from ...plivo.callback import Facts
from ...plivo.countries import country_of
from .tallies import forget_hours

_SELECT = """
    SELECT m.id, m.created_at, m.recipient_number, f.filed_at, f.country, f.network, f.units,
        f.amount, f.told_rank
    FROM messages AS m LEFT JOIN message_facts AS f ON f.message_id = m.id
    """
_WRITE = """
    INSERT INTO message_facts (message_id, filed_at, country, network, units, amount, told_rank)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (message_id) DO UPDATE SET
        filed_at = excluded.filed_at, country = excluded.country, network = excluded.network,
        units = excluded.units, amount = excluded.amount, told_rank = excluded.told_rank
    """
_NOTHING = (None, None, None, None, None)


def file_facts(connection: sqlite3.Connection, update: StatusUpdate) -> None:
    """Add what an update says, inside the caller's transaction and once the message has its row."""
    told = Facts(update.network, update.units, update.amount)
    (row,) = connection.execute(
        f"{_SELECT} WHERE m.message_uuid = ?", (update.message_uuid,)
    ).fetchall()
    _add(connection, row, told, update.rank)


def add_facts(connection: sqlite3.Connection, message_id: int, told: Facts, rank: int) -> None:
    """The same of what was stored before. A message that was pruned meanwhile gets none."""
    for row in connection.execute(f"{_SELECT} WHERE m.id = ?", (message_id,)).fetchall():
        _add(connection, row, told, rank)


def drop_facts(connection: sqlite3.Connection, message_id: int) -> None:
    """Forget them, and what was summed up of the message."""
    connection.execute("DELETE FROM message_facts WHERE message_id = ?", (message_id,))
    rows = connection.execute("SELECT created_at FROM messages WHERE id = ?", (message_id,))
    forget_hours(connection, *[row[0] for row in rows.fetchall()])


def _add(connection: sqlite3.Connection, row: tuple[Any, ...], told: Facts, rank: int) -> None:
    message_id, created_at, number, filed_at, *before = row
    network, units, amount, told_rank = before[1:]
    network = min(filter(None, (network, told.network)), default=None)
    if told.units is not None or told.amount is not None:
        units, amount, told_rank = max(
            (units, amount, told_rank), (told.units, told.amount, rank), key=_price_key
        )
    facts = (country_of(network, number), network, units, amount, told_rank)
    forget_hours(connection, created_at, filed_at)
    if facts != _NOTHING and (created_at, *facts) != (filed_at, *before):
        connection.execute(_WRITE, (message_id, created_at, *facts))


def _price_key(told: tuple[int | None, int | None, int | None]) -> tuple[int, int, int]:
    """That of the greatest rank stands; of two of one rank, the greater amount, then more units."""
    units, amount, rank = told
    return (
        -2 if rank is None else rank,
        -1 if amount is None else amount,
        -1 if units is None else units,
    )
