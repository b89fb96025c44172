"""What each session with PostgreSQL is told, whatever the role or the database says."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import closing
from runpy import run_path
from types import SimpleNamespace

import psycopg
import pytest

from smsstatus import promise
from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Filters, StoreUnavailable
from smsstatus.store.outbox import Wanted
from smsstatus.store.postgres import connection as connections
from smsstatus.store.postgres import schema
from smsstatus.store.postgres.connection import Connection, Link, TooSlow
from smsstatus.store.postgres.schema import TABLE_WAITS, apply_schema
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


def test_a_setting_that_this_server_refuses_keeps_no_other_from_being_set(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that asks after clients while it works, on systems that cannot say it."""
    refused = b"SELECT set_config('client_connection_check_interval', 'never', false)"
    known = connections._OF_SESSION
    monkeypatch.setattr(connections, "_OF_SESSION", (refused, *known))
    with closing(Link(postgres)) as link:
        found = link.run(lambda c: c.execute("SHOW tcp_keepalives_idle").fetchall())
    assert found == [("15",)]


@pytest.mark.parametrize("seconds", ["STATEMENT_SECONDS", "READ_SECONDS"])
def test_what_a_session_is_told_has_the_time_of_a_statement_and_of_the_answer(
    postgres: str, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    """Behind a pooler the server can have stopped, though the handshake was answered."""
    monkeypatch.setattr(connections, "_OF_SESSION", (b"SELECT pg_sleep(60)",))
    monkeypatch.setattr(promise, "CONNECT_SECONDS", 0.0)
    monkeypatch.setattr(promise, seconds, 1.0)
    too_slow = pytest.raises(TooSlow, match=r"no answer within (1|0\.\d+) s")
    with closing(Link(postgres)) as link, promise.answering(), too_slow:
        link.run(lambda connection: connection.execute("SELECT 1"))


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
    with psycopg.connect(postgres, autocommit=True) as connection, connection.transaction():
        apply_schema(connection)
        ((waits,),) = connection.execute("SHOW lock_timeout").fetchall()
    assert waits in TABLE_WAITS


def test_most_waits_for_a_table_are_short_and_some_outlast_autovacuum(postgres: str) -> None:
    """Which gives way to who has waited for `deadlock_timeout`."""
    ((patience,),) = ask(
        postgres, "SELECT setting::integer FROM pg_settings WHERE name = 'deadlock_timeout'"
    )
    waits = [int(each.removesuffix("ms")) for each in TABLE_WAITS]
    assert statistics.median(waits) <= 250
    assert patience < max(waits) < 1000 * run_path(promise.__file__)["STATEMENT_SECONDS"]


def test_a_release_tries_several_times_where_a_table_is_in_use(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(postgres, VERSION_1.read_text())
    with psycopg.connect(postgres) as other, closing(PostgresStore(postgres)) as store:
        other.execute("LOCK TABLE messages IN ACCESS SHARE MODE")
        in_the_pause = SimpleNamespace(sleep=lambda seconds: other.rollback())
        monkeypatch.setattr(schema, "time", in_the_pause)
        store.prepare()
        assert store.newest() == ""
