"""Where a message went and what it cost: kept beside its row, the same in any order of arrival."""

from __future__ import annotations

import sqlite3

from ...model import StatusUpdate
from ...plivo.callback import Facts
from ...plivo.countries import country_of


def second_of(time: str) -> str:
    """As SQL: under which second a message first seen at this time is filed."""
    return f"CAST(strftime('%s', {time}) AS INTEGER)"


def _place(row: str) -> str:
    """As SQL: the least of these is kept, so that any network stands before a number's country."""
    return f"(coalesce({row}.network, '~'), coalesce({row}.country, '~'))"


def _price(row: str) -> str:
    """As SQL: the greatest of these is kept."""
    return f"(coalesce({row}.told_rank, -2), coalesce({row}.amount, -1), coalesce({row}.units, -1))"


def _better(columns: str, condition: str) -> str:
    return ", ".join([f"{c} = iif({condition}, excluded.{c}, f.{c})" for c in columns.split()])


_IS_NEARER = f"{_place('excluded')} < {_place('f')}"
_IS_NEWER = f"{_price('excluded')} > {_price('f')}"

# SQLite writes the index of each column that is SET, even if the value stays the same. So first
# without those; it is refused if one would change.
_SET_PRICE = f"""units = excluded.units, amount = excluded.amount, told_rank = excluded.told_rank
    WHERE {_IS_NEWER} AND NOT ({_IS_NEARER}) AND f.filed_at = excluded.filed_at"""
_SET_ALL = f"""filed_at = excluded.filed_at, {_better("country network", _IS_NEARER)},
    {_better("units amount told_rank", _IS_NEWER)}
    WHERE {_IS_NEWER} OR {_IS_NEARER} OR f.filed_at <> excluded.filed_at"""


def _upsert(which: str, values: str) -> str:
    return f"""
    INSERT INTO message_facts AS f (
        message_id, filed_at, country, network, units, amount, told_rank)
    SELECT id, {second_of("created_at")}, ?, ?, ?, ?, ? FROM messages WHERE {which} = ?
    ON CONFLICT (message_id) DO UPDATE SET {values}
    """


_BY_UUID = tuple([_upsert("message_uuid", values) for values in (_SET_PRICE, _SET_ALL)])
_BY_ID = tuple([_upsert("id", values) for values in (_SET_PRICE, _SET_ALL)])


def file_facts(connection: sqlite3.Connection, update: StatusUpdate) -> None:
    """Add what an update says, inside the caller's transaction and once the message has its row."""
    country = country_of(update.network, update.recipient_number)
    told = Facts(update.network, update.units, update.amount)
    _file(connection, _BY_UUID, (country, *told, _rank(told, update.rank), update.message_uuid))


def add_facts(
    connection: sqlite3.Connection, message_id: int, told: Facts, country: str | None, rank: int
) -> None:
    """The same of what was stored before. A message that was pruned meanwhile gets none."""
    _file(connection, _BY_ID, (country, *told, _rank(told, rank), message_id))


def _rank(told: Facts, rank: int) -> int | None:
    return None if told.units is None and told.amount is None else rank


def _file(
    connection: sqlite3.Connection, statements: tuple[str, ...], values: tuple[object, ...]
) -> None:
    if connection.execute(statements[0], values).rowcount == 0:
        connection.execute(statements[1], values)
