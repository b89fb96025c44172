"""Every column of SQLite's tables, whatever order updates came in and however often."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.model import StatusUpdate
from smsstatus.settings import Settings
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.store.sqlite.updates import apply_updates

from ...conftest import Query
from ...rounds import examples
from ..oracle import first_seen
from ..updates import DAY, Fields, at, update_of
from ..updates import updates as any_updates

_WORD = re.compile(r"\w+")


def test_a_change_of_status_rewrites_no_index_of_what_stays(settings: Settings) -> None:
    numbers = {"MessageUUID": "a-uuid", "From": "1", "To": "2"}

    def work(connection: sqlite3.Connection) -> set[str]:
        apply_updates(connection, [update_of({**numbers, "Status": "sent"})])
        written: set[str] = set()

        def look(action: int, table: str | None, column: str | None, *_: object) -> int:
            if action == sqlite3.SQLITE_UPDATE and table == "messages":
                written.add(str(column))
            return sqlite3.SQLITE_OK

        connection.set_authorizer(look)
        apply_updates(connection, [update_of({**numbers, "Status": "delivered"})])
        connection.set_authorizer(None)
        assert "current_status" in written
        return {name for name, text in indexes(connection) if written & set(_WORD.findall(text))}

    store = SqliteStore(settings.database_path)
    assert store.writer.submit(work) == {"messages_by_status_and_sender", "messages_by_error"}
    store.close()


def indexes(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Name and definition of each index of messages."""
    return connection.execute(
        "SELECT name, sql FROM sqlite_master"
        " WHERE type = 'index' AND tbl_name = 'messages' AND sql IS NOT NULL"
    ).fetchall()


# For any set of updates of a message, any arrival order with any duplicates leaves the same.

_SELECT_REFERENCES = (
    """SELECT query, r.filed_at FROM message_references AS r JOIN messages AS m
       ON m.id = r.message_id WHERE message_uuid = ?""",
    """SELECT pair, filed_at FROM reference_pairs AS p JOIN messages AS m
       ON m.id = p.message_id WHERE message_uuid = ?""",
)

Arrival = tuple[Fields, str]
"""Fields, and when our clock says they came: what waited in the spool is applied later."""


@st.composite
def _arrivals(draw: st.DrawFn) -> tuple[list[Arrival], list[Arrival]]:
    """The same updates, some of them repeated, twice, each time in an order of its own."""
    updates = draw(st.lists(any_updates, min_size=1, max_size=6))
    updates += draw(st.sampled_from([[], [at("queued", Body="the text")]]))
    updates += draw(st.lists(st.sampled_from(updates), max_size=4))
    seconds = draw(st.permutations(range(len(updates))))
    arrivals = [
        (fields, f"{DAY}T12:00:{second:02}.000000Z")
        for fields, second in zip(updates, seconds, strict=True)
    ]
    return draw(st.permutations(arrivals)), draw(st.permutations(arrivals))


_COLUMNS = (
    "sender_number",
    "recipient_number",
    "message_body",
    "initial_status",
    "current_status",
    "status_timestamp",
    "error_code",
    "created_at",
    "updated_at",
    "queued_at",
    "checked_at",
    "is_final",
    "sequence",
    "rank",
    "digest",
)
_SELECT_EVENTS = """
    SELECT e.digest, e.status, e.status_timestamp, e.error_code, e.sequence, e.rank, e.is_final,
        e.source, e.parameters, e.received_at, e.repeats
    FROM status_events AS e JOIN messages AS m ON e.message_id = m.id WHERE message_uuid = ?
    """


class Left(NamedTuple):
    """What stands of one message, without ids."""

    row: dict[str, Any]
    events: set[tuple[Any, ...]]
    reference: list[tuple[Any, ...]]
    pairs: set[tuple[Any, ...]]


class TwoFiles:
    """Two stores on real files, and a number that gives each example a message of its own."""

    def __init__(self, folder: Path) -> None:
        self.stores = [SqliteStore(folder / "one.db"), SqliteStore(folder / "other.db")]
        self.examples = 0


def leave(store: SqliteStore, updates: list[StatusUpdate], at_once: int) -> Left:
    """Write updates of one message in this order, so many at a time, and read what stands."""

    def work(connection: sqlite3.Connection) -> Left:
        for first in range(0, len(updates), at_once):
            apply_updates(connection, updates[first : first + at_once])
        of_message = (updates[0].message_uuid,)
        (row,) = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM messages WHERE message_uuid = ?", of_message
        ).fetchall()
        events = connection.execute(_SELECT_EVENTS, of_message).fetchall()
        reference, pairs = (
            connection.execute(sql, of_message).fetchall() for sql in _SELECT_REFERENCES
        )
        return Left(dict(zip(_COLUMNS, row, strict=True)), set(events), reference, set(pairs))

    return store.writer.submit(work)


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoFiles]:
    files = TwoFiles(tmp_path_factory.mktemp("order"))
    yield files
    for store in files.stores:
        store.close()


def test_the_property_below_compares_every_column(settings: Settings, query: Query) -> None:
    SqliteStore(settings.database_path).prepare()
    names = {row["name"] for row in query("SELECT name FROM pragma_table_info('messages')")}
    assert {*_COLUMNS, "id", "message_uuid"} == names


@given(_arrivals())
@hypothesis_settings(max_examples=examples(150), deadline=None, derandomize=True)
def test_any_order_of_arrival_with_any_duplicates_leaves_the_same(
    two_files: TwoFiles, arrivals: tuple[list[Arrival], list[Arrival]]
) -> None:
    two_files.examples += 1
    orders = [
        [
            update_of({"MessageUUID": f"message-{two_files.examples}", **fields}, received)
            for fields, received in order
        ]
        for order in arrivals
    ]
    one, other = map(leave, two_files.stores, orders, (1, len(orders[1])))
    assert one == other
    assert one.row["created_at"] == min(map(first_seen, orders[0]))

    by_key = sorted(orders[0], key=lambda update: update.order_key)
    assert one.row["initial_status"] == by_key[0].status
    assert one.row["current_status"] == by_key[-1].status
    assert one.row["digest"] == by_key[-1].digest
    assert len(one.events) == len({update.digest for update in by_key})
    told = sorted(update.reference for update in by_key if update.reference)
    assert one.reference == [(query, one.row["created_at"]) for query in told[:1]]
    pairs = told[0].split("&") if told else []
    assert one.pairs == {(pair, one.row["created_at"]) for pair in pairs}
