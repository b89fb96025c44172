"""Where a message went and what it cost: kept beside its row, the same in any order of arrival."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from ...model import StatusUpdate
from ...plivo.callback import Facts
from ...plivo.countries import country_of
from ..rules import UNKNOWN, place_key, price_key


def second_of(time: str) -> str:
    """As SQL: under which second a message first seen at this time is filed."""
    return f"CAST(strftime('%s', {time}) AS INTEGER)"


def _better(columns: str, condition: str) -> str:
    return ", ".join([f"{c} = iif({condition}, excluded.{c}, f.{c})" for c in columns.split()])


_IS_NEARER = f"{place_key('excluded')} < {place_key('f')}"
_IS_NEWER = f"{price_key('excluded')} > {price_key('f')}"

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
_BY_ID = _upsert("id", _SET_ALL)


class Row(NamedTuple):
    """What a message's row is to know, of one update or of several."""

    country: str | None
    network: str | None
    units: int | None
    amount: int | None
    told_rank: int | None


def row_of(told: Facts, country: str | None, rank: int) -> Row:
    """What an update with this rank says."""
    says_price = told.units is not None or told.amount is not None
    return Row(country, *told, rank if says_price else None)


def together(rows: Iterable[Row]) -> Row:
    """What a message's row knows once all of these are filed."""
    rows = list(rows)
    place = min(rows, key=lambda row: (row.network or UNKNOWN, row.country or UNKNOWN))
    price = max(rows, key=_price_of)
    return Row(place.country, place.network, price.units, price.amount, price.told_rank)


def _price_of(row: Row) -> tuple[int, int, int]:
    return (
        -2 if row.told_rank is None else row.told_rank,
        -1 if row.amount is None else row.amount,
        -1 if row.units is None else row.units,
    )


def file_facts(connection: sqlite3.Connection, update: StatusUpdate) -> None:
    """Add what an update says, inside the caller's transaction and once the message has its row."""
    country = country_of(update.network, update.recipient_number)
    row = row_of(Facts(update.network, update.units, update.amount), country, update.rank)
    values = (*row, update.message_uuid)
    if connection.execute(_BY_UUID[0], values).rowcount == 0:
        connection.execute(_BY_UUID[1], values)


def add_facts(connection: sqlite3.Connection, rows: Iterable[tuple[int, Row]]) -> None:
    """The same of what was stored before, by message. One that was pruned meanwhile gets none."""
    connection.executemany(_BY_ID, [(*row, message_id) for message_id, row in rows])
