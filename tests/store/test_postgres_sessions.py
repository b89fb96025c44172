"""What each session with PostgreSQL is told, whatever the role, the database or a pooler says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from smsstatus import promise
from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Filters, StoreUnavailable
from smsstatus.store.outbox import Wanted
from smsstatus.store.postgres.connection import Connection
from smsstatus.store.postgres.schema import TABLE_WAIT, apply_schema
from smsstatus.store.postgres.store import PostgresStore

from ..live import wait_until
from ..postgres import ask
from .test_postgres_upgrade import VERSION_1
from .updates import at, update_of


@pytest.fixture
def database(postgres: str) -> str:
    """Its name."""
    ((name,),) = ask(postgres, "SELECT current_database()")
    return str(name)


@pytest.fixture
def store(postgres: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
        yield store


def update(status: str = "sent", message_uuid: str = "a-uuid") -> StatusUpdate:
    return update_of(at(status, "00:00:01", MessageUUID=message_uuid))


def test_what_was_given_up_does_not_go_on_in_the_server(
    store: PostgresStore, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would keep a connection, until there are none left."""
    store.newest()
    monkeypatch.setattr(promise, "STATEMENT_SECONDS", 0.5)
    waiting = """SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    with psycopg.connect(postgres) as other:
        other.execute("LOCK TABLE messages")
        with pytest.raises(StoreUnavailable, match="no answer within"):
            store.list(Filters(), 10)
        wait_until(lambda: not ask(postgres, waiting), what="the server has ended it")


def test_the_server_asks_after_a_silent_client_before_a_minute_is_over(
    store: PostgresStore,
) -> None:
    """Else the sessions that a broken network leaves are counted for hours, and keep locks."""

    def asks_after(connection: Connection) -> float:
        idle, interval, count = [
            float(connection.execute(f"SHOW tcp_keepalives_{name}".encode()).fetchall()[0][0])
            for name in ("idle", "interval", "count")
        ]
        return idle + interval * count

    assert [store._read(asks_after), store.writer.submit(asks_after)] == [30.0, 30.0]


def test_nothing_but_the_batch_is_prepared(store: PostgresStore) -> None:
    """Behind a pooler another process's statement of the same name would be done in its place."""
    for _ in range(8):
        store.record(update())
        store.note_check("a-uuid", "2026-11-01T00:00:00.000000Z")
        store.claim_nonce("a-nonce", b"digest", "")
    prepared = store.writer.submit(
        lambda connection: connection.execute(
            "SELECT statement FROM pg_prepared_statements"
        ).fetchall()
    )
    assert ["json_to_recordset" in statement for (statement,) in prepared] == [True]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_two_may_write_the_same_message_whatever_isolation_is_the_default(
    postgres: str, database: str, isolation: str
) -> None:
    """In any other one half of what they write at once would be refused."""
    ask(postgres, f"ALTER DATABASE {database} SET default_transaction_isolation = '{isolation}'")
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
        found = store.writer.submit(lambda c: c.execute("SHOW transaction_isolation").fetchall())
    assert found == [("read committed",)]


def test_changes_are_handed_on_where_backslashes_escape_in_strings(
    postgres: str, database: str
) -> None:
    ask(postgres, f"ALTER DATABASE {database} SET standard_conforming_strings = off")
    with closing(PostgresStore(postgres, wanted=Wanted())) as store:
        store.prepare()
        store.record(update())
    assert ask(postgres, "SELECT count(*) FROM forwards") == [(1,)]


def test_what_is_held_is_held_for_longer_than_a_transaction_may_take(
    postgres: str, database: str
) -> None:
    if not ask(postgres, "SELECT 1 FROM pg_settings WHERE name = 'transaction_timeout'"):
        pytest.skip("this server knows no such limit")
    ask(postgres, f"ALTER DATABASE {database} SET transaction_timeout = '200ms'")
    with closing(PostgresStore(postgres)) as store, store.hold("prune") as still_held:
        ask(postgres, "SET transaction_timeout = 0; SELECT pg_sleep(0.5)")
        assert still_held is not None
        assert still_held()


def test_a_start_waits_for_a_table_that_others_use_for_a_moment_only(postgres: str) -> None:
    """Behind it an older program's callbacks wait, and a dump can take an hour."""
    ask(postgres, VERSION_1.read_text())
    with psycopg.connect(postgres, autocommit=True) as connection:
        with connection.transaction():
            apply_schema(connection)
            waits = connection.execute("SHOW lock_timeout").fetchall()
        assert waits == [(TABLE_WAIT,)]
