"""What only the store in PostgreSQL has: its connections, its schema beside others, its errors.

What it shares with SQLite's is tested for both elsewhere.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from smsstatus.bounded import Bounded
from smsstatus.model import RANKS, TEXT_DIGEST_SIZE, StatusUpdate
from smsstatus.store.contract import (
    NO_COUNTRY,
    Filters,
    Outcome,
    Position,
    SchemaTooNew,
    StoreUnavailable,
    Unreadable,
    WorkRefused,
)
from smsstatus.store.outbox import Wanted
from smsstatus.store.postgres import batch, counting, holding, listing, names, readers, upgrade
from smsstatus.store.postgres import connection as connections
from smsstatus.store.postgres.batch import RECORD, record
from smsstatus.store.postgres.committer import Committer
from smsstatus.store.postgres.connection import Connection, Link, TooSlow
from smsstatus.store.postgres.errors import describe
from smsstatus.store.postgres.schema import OLDEST_READER, SCHEMA_VERSION
from smsstatus.store.postgres.store import PostgresStore

from ..live import free_port, wait_until
from ..postgres import as_role, ask, backends, end_who_holds
from .conftest import write
from .test_reading import FILTERS, pages, some_updates
from .updates import LATEST, at, update_of

DAY = "2026-11-01"
NOW = f"{DAY}T00:00:00.000000Z"


@pytest.fixture
def store(postgres: str) -> Iterator[PostgresStore]:
    store = PostgresStore(postgres)
    store.prepare()
    yield store
    store.close()


def update(status: str = "sent", message_uuid: str = "a-uuid", **more: str) -> StatusUpdate:
    return update_of(at(status, "00:00:01", MessageUUID=message_uuid, **more))


# The batch


def test_a_batch_is_one_transaction_and_each_gets_its_own_outcome(
    store: PostgresStore, postgres: str
) -> None:
    life = [update(status, message_uuid=uuid) for uuid in "ab" for status in ("sent", "delivered")]
    with closing(Committer(Link(postgres))) as committer:
        written = committer.commit([*life, life[0]])
    assert written == [
        Outcome.OLDER,
        Outcome.APPLIED,
        Outcome.OLDER,
        Outcome.APPLIED,
        Outcome.DUPLICATE,
    ]
    message = store.find("a")
    assert message is not None
    assert message.events is not None
    assert [(event.status, event.repeats) for event in message.events] == [
        ("sent", 1),
        ("delivered", 0),
    ]


def test_two_readings_of_a_text_in_one_batch_are_written_one_by_one(
    store: PostgresStore, postgres: str
) -> None:
    one = update(message_uuid="one")
    other = one._replace(message_uuid="other", digest=one.digest[:TEXT_DIGEST_SIZE] + b"another")
    committer = Committer(Link(postgres))
    with closing(committer), pytest.raises(WorkRefused):
        committer.commit([one, other])
    assert store.find("one") is None
    assert [store.record(one), store.record(other)] == [Outcome.APPLIED, Outcome.TEXT_TAKEN]


def test_of_two_processes_that_read_a_text_differently_at_once_one_owns_it(
    store: PostgresStore, postgres: str
) -> None:
    one = update(message_uuid="one")
    other = one._replace(message_uuid="other", digest=one.digest[:TEXT_DIGEST_SIZE] + b"another")
    with psycopg.connect(postgres) as first:
        assert record(first, [one]) == [Outcome.APPLIED]  # and does not commit yet
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(store.record, other)
            wait_until(lambda: waits_for_a_lock(postgres), what="the second waits for the first")
            first.commit()
            assert second.result(10) is Outcome.TEXT_TAKEN
    assert store.find("other") is None


def waits_for_a_lock(url: str) -> bool:
    return bool(
        ask(
            url,
            "SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    )


def test_two_that_write_the_same_messages_at_once_never_deadlock(
    store: PostgresStore, postgres: str
) -> None:
    def write(seed: int) -> None:
        rng = random.Random(seed)
        with psycopg.connect(postgres, autocommit=True) as connection:
            for _ in range(30):
                uuids = [f"message-{rng.randrange(40)}" for _ in range(20)]
                record(connection, [update(rng.choice(list(RANKS)), uuid) for uuid in uuids])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, seed) for seed in range(2)]:
            done.result(60)
    ((deadlocks,),) = ask(
        postgres, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert deadlocks == 0


def test_the_plan_that_is_kept_from_an_empty_database_suits_a_full_one(
    store: PostgresStore, postgres: str
) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE record (text) AS {RECORD.replace('%s', '$1')}".encode())
        plan = connection.execute("EXPLAIN EXECUTE record ('[]')").fetchall()
    walked = {line.split()[4] for (line,) in plan if "->  Seq Scan on" in line}
    assert walked == {"prunings"}  # which has one row at most


def test_a_value_that_cannot_be_stored_is_its_own_callbacks_fault(store: PostgresStore) -> None:
    with pytest.raises(WorkRefused) as refused:
        store.record(update()._replace(received_at="at noon, +14155550100"))
    assert "+1415" not in str(refused.value)
    assert store.record(update()) is Outcome.APPLIED


def test_a_commit_is_on_disk_where_the_database_says_it_need_not_be(
    store: PostgresStore, postgres: str
) -> None:
    ask(postgres, "ALTER DATABASE " + postgres.rpartition("/")[2] + " SET synchronous_commit = off")
    seen = store.writer.submit(_ask_for_synchronous_commit)
    assert seen == "on"
    with psycopg.connect(postgres) as connection:
        record(connection, [update()])
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def _ask_for_synchronous_commit(connection: connections.Connection) -> object:
    return connection.execute("SHOW synchronous_commit").fetchall()[0][0]


# Indexes


def test_indexes_that_are_missing_or_were_not_finished_are_built_beside_the_callbacks(
    store: PostgresStore, postgres: str
) -> None:
    assert not store.sum_up_some(NOW)
    ask(postgres, "DROP INDEX messages_by_time, messages_by_error")
    store.record(update())
    with psycopg.connect(postgres) as writing:  # a callback under way, which a build waits for
        record(writing, [update(message_uuid="another")])
        with ThreadPoolExecutor(1) as pool:
            building = pool.submit(store.sum_up_some, NOW)
            wait_until(lambda: waits_for_a_lock(postgres), what="the build waits")
            assert store.record(update("delivered")) is Outcome.APPLIED
            writing.commit()
            assert building.result(60)
    ask(
        postgres,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $$messages_by_time$$::regclass",
    )
    assert store.sum_up_some(NOW)
    assert not store.sum_up_some(NOW)
    assert ask(
        postgres,
        "SELECT count(*) FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid"
        " WHERE c.relname IN ('messages_by_time', 'messages_by_error') AND indisvalid",
    ) == [(2,)]


def test_one_process_builds_indexes_and_an_index_of_an_earlier_version_goes(
    store: PostgresStore, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(postgres, "CREATE INDEX former ON messages (updated_at)")
    monkeypatch.setattr(upgrade, "RETIRED", ("former", "never_there"))
    with holding.hold(postgres, "indexes"):
        assert not store.sum_up_some(NOW)
    # The server takes note of the other's end when it gets to it.
    wait_until(lambda: store.sum_up_some(NOW), what="the indexes are built")
    assert ask(postgres, "SELECT to_regclass('former')") == [(None,)]


def test_the_indexes_of_version_1_give_way_once_smaller_ones_are_there(
    store: PostgresStore, postgres: str
) -> None:
    ask(postgres, "DROP INDEX messages_by_outcome_2, messages_by_sender_2, messages_by_recipient_2")
    ask(postgres, "CREATE INDEX messages_by_outcome ON messages (outcome, created_at)")
    ask(postgres, "UPDATE schema_version SET version = 1")
    store.record(update())
    assert store.list(Filters(statuses=("sent",)), 10).messages
    assert store.sum_up_some(NOW)
    assert not store.sum_up_some(NOW)
    assert ask(
        postgres,
        "SELECT to_regclass('messages_by_outcome'), to_regclass('messages_by_outcome_2')",
    ) == [(None, "messages_by_outcome_2")]
    assert store.list(Filters(statuses=("sent",)), 10).messages


def test_what_is_held_for_long_keeps_no_rows_from_being_removed(postgres: str) -> None:
    with holding.hold(postgres, "prune") as still_held:
        assert still_held is not None
        assert still_held()
        assert ask(
            postgres,
            "SELECT backend_xmin FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state = 'idle in transaction'",
        ) == [(None,)]


def test_a_table_that_is_there_gets_no_index_while_callbacks_wait(
    store: PostgresStore, postgres: str
) -> None:
    ask(postgres, "DROP INDEX messages_by_time")
    ask(postgres, "DROP TABLE heartbeat")
    store.prepare()
    assert ask(postgres, "SELECT to_regclass('messages_by_time'), to_regclass('heartbeat')") == [
        (None, "heartbeat")
    ]


# Connections


def test_a_statement_that_hangs_is_cut_and_the_next_one_goes_on_a_new_connection(
    postgres: str,
) -> None:
    with closing(Link(postgres)) as link:
        with pytest.raises(TooSlow, match=r"no answer within 0\.3 s"):
            link.run(lambda connection: connection.execute("SELECT pg_sleep(60)"), 0.3)
        assert link.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


def test_a_server_that_ended_the_connection_meanwhile_is_asked_again_at_once(
    store: PostgresStore, postgres: str
) -> None:
    assert store.record(update("queued")) is Outcome.APPLIED
    assert store.find("a-uuid") is not None
    ask(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert store.record(update("sent")) is Outcome.APPLIED
    found = store.find("a-uuid")
    assert found is not None
    assert found.current_status == "sent"


def test_a_connection_that_the_server_ended_since_nobody_spoke_is_made_again_at_once(
    store: PostgresStore, postgres: str
) -> None:
    name = postgres.rpartition("/")[2]
    ask(postgres, f"ALTER DATABASE {name} SET idle_session_timeout = '1s'")
    for status in ("queued", "sent"):
        assert store.record(update(status)) is Outcome.APPLIED
        assert store.find("a-uuid") is not None
        wait_until(lambda: backends(postgres) == 0, what="the server has ended the connections")


@pytest.mark.parametrize(("sqlstate", "attempts"), [("57P05", 2), ("08P01", 2), ("42501", 1)])
def test_what_a_new_connection_helps_against_is_done_once_more_on_one(
    postgres: str, sqlstate: str, attempts: int
) -> None:
    seen = []

    def work(connection: connections.Connection) -> None:
        seen.append(connection)
        failing = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"
        connection.execute(failing.encode())

    with closing(Link(postgres)) as link:
        link.run(lambda connection: connection.execute("SELECT 1"))
        with pytest.raises(psycopg.Error) as failed:
            link.run(work)
    assert (failed.value.sqlstate, len({*seen})) == (sqlstate, attempts)


def test_a_connection_has_ended_only_when_the_server_no_longer_counts_it(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a role that may have one connection could be refused the next one."""
    monkeypatch.setattr(connections, "END_SECONDS", 60)
    happened = []
    link = Link(postgres)
    link.run(lambda connection: connection.execute("CREATE TEMPORARY TABLE lasting ()"))
    ((schema,),) = link.run(
        lambda c: c.execute("SELECT pg_my_temp_schema()::regnamespace::text").fetchall()
    )
    with psycopg.connect(postgres, connect_timeout=30) as other, ThreadPoolExecutor(1) as pool:
        # The server cannot drop it, so it cannot end the session.
        other.execute(f"LOCK TABLE {schema}.lasting IN ACCESS SHARE MODE".encode())
        ending = pool.submit(lambda: (link.end(), happened.append("ended")))
        assert backends(postgres) == 2
        happened.append("let go")
        other.rollback()
        ending.result(60)
        assert backends(postgres) == 1
    assert happened == ["let go", "ended"]


def test_a_pooler_that_knows_other_prepared_statements_has_none_prepared_any_more(
    postgres: str,
) -> None:
    seen = []

    def work(connection: connections.Connection) -> int:
        seen.append(connection.prepare_threshold is not None)
        if len(seen) == 1:
            connection.execute("EXECUTE what_the_other_server_knows")
        return 1

    with closing(Link(postgres, prepares=True)) as link:
        assert link.run(work) == 1
    assert seen == [True, False]


def test_a_pooler_that_ended_the_connection_says_nothing_against_preparing(postgres: str) -> None:
    seen = []

    def work(connection: connections.Connection) -> None:
        seen.append(connection.prepare_threshold is not None)
        if len(seen) == 2:
            raise psycopg.errors.ProtocolViolation("client_idle_timeout")

    with closing(Link(postgres, prepares=True)) as link:
        for _ in range(2):
            link.run(work)
    assert seen == [True, True, True]


@pytest.mark.parametrize(
    "another", ["(text) AS SELECT 1 WHERE $1 = ''", "(text, text) AS SELECT $1, $2"]
)
def test_another_processes_statement_of_the_same_name_is_not_taken_for_ours(
    store: PostgresStore, postgres: str, another: str
) -> None:
    link = Link(postgres, prepares=True)
    with closing(Committer(link)) as committer:
        assert committer.commit([update()]) == [Outcome.APPLIED]
        ((name,),) = link.run(
            lambda c: c.execute("SELECT name FROM pg_prepared_statements").fetchall()
        )
        link.run(lambda c: c.pgconn.exec_(f"DEALLOCATE {name}; PREPARE {name} {another}".encode()))
        other = update(message_uuid="another-uuid")
        assert committer.commit([other]) == [Outcome.APPLIED]
        assert link.run(lambda connection: connection.prepare_threshold) is None
    assert store.find("another-uuid") is not None


class Losing(Link):
    """Of what is done next the answer is lost, and the connection with it."""

    loses_next = False

    def run(self, work: Callable[[Any], Any], seconds: float | None = None) -> Any:
        def done(connection: Any) -> Any:
            answer = work(connection)
            if self.loses_next:
                self.loses_next = False
                connection.close()
                raise psycopg.OperationalError("the answer was lost")
            return answer

        return super().run(done, seconds)


@pytest.mark.parametrize("wanted", [None, Wanted()], ids=["alone", "handed-on"])
def test_a_callback_is_no_repeat_of_itself_where_its_commits_answer_was_lost(
    store: PostgresStore, postgres: str, wanted: Wanted | None
) -> None:
    link = Losing(postgres, prepares=True)
    first, second = [update()._replace(received_at=f"{DAY}T00:00:0{n}.000000Z") for n in (1, 2)]
    other = update(message_uuid="another-uuid")

    def repeats(message_uuid: str) -> list[int]:
        found = store.find(message_uuid)
        assert found is not None
        assert found.events is not None
        return [event.repeats for event in found.events]

    with closing(Committer(link, wanted)) as committer:
        committer.commit([update("queued")])
        link.loses_next = True
        committer.commit([first, other, other])
        assert not link.loses_next
        assert (repeats("a-uuid"), repeats("another-uuid")) == ([0, 0], [1])
        ask(
            postgres,
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()""",
        )
        committer.commit([second])
        committer.commit([other])
    assert (repeats("a-uuid"), repeats("another-uuid")) == ([0, 1], [2])


def test_fewer_answers_than_updates_are_no_answer(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "RECORD", "SELECT 1 WHERE %s = ''")
    with pytest.raises(StoreUnavailable, match="26000: 0 answers for 1 updates"):
        store.record(update())


def test_no_more_connections_than_said_are_open_whatever_the_threads(
    store: PostgresStore, postgres: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.record(update("sent", f"u{number}")), range(40)))
        list(pool.map(lambda number: store.find(f"u{number}"), range(40)))
        assert backends(postgres) <= 3
    store.close()
    wait_until(lambda: backends(postgres) == 0, what="all connections are closed")


def test_a_child_makes_connections_of_its_own_and_leaves_its_parents_alone(
    store: PostgresStore, postgres: str
) -> None:
    assert store.record(update()) is Outcome.APPLIED
    assert store.find("a-uuid") is not None
    child = os.fork()
    if child == 0:
        worked = store.record(update()) is Outcome.DUPLICATE and store.find("a-uuid") is not None
        os._exit(0 if worked else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.record(update()) is Outcome.DUPLICATE
    assert store.find("a-uuid") is not None


def test_text_is_text_whatever_encoding_the_environment_asks_for(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    assert store.record(update(From="\u4f60\u597d")) is Outcome.APPLIED
    (found,) = store.list(Filters(sender="\u4f60\u597d"), 9).messages
    assert (found.message_uuid, found.sender_number) == ("a-uuid", "\u4f60\u597d")


def test_a_server_that_is_away_is_said_without_the_password() -> None:
    store = PostgresStore(f"postgres://someone:s3cret@127.0.0.1:{free_port()}/sms")
    for act in (store.prepare, store.probe, store.newest):
        with pytest.raises(StoreUnavailable) as away:
            act()
        assert "refused" in str(away.value)
        assert "s3cret" not in str(away.value)
    store.close()


def test_a_resolver_that_hangs_is_given_up_for_readers_and_the_writer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(names, "_bounded", Bounded(0.2, "the resolver"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: answers.wait(60) and [])
    store = PostgresStore("postgres://someone:s3cret@db.example.com/sms")
    try:
        for act in (store.newest, store.probe):
            with pytest.raises(StoreUnavailable, match=r"db\.example\.com: no answer .* 0\.2 s"):
                act()
    finally:
        answers.set()
        store.close()


def test_all_hosts_are_looked_up_at_once_and_none_that_hangs_a_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So they have the time of one together, however many hang."""
    asked: list[str] = []
    all_asked, answers = threading.Event(), threading.Event()

    def resolve(host: str, *_: object) -> list[object]:
        asked.append(host)
        if len(asked) == 4:
            all_asked.set()
        if host.startswith("silent"):
            answers.wait(60)
        elif not all_asked.wait(60):
            raise socket.gaierror(socket.EAI_AGAIN, "the others are not asked yet")
        return [(0, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(names, "_bounded", Bounded(2, "the resolver"))
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        for _ in range(2):
            found = names.addresses("postgres://one,silent-1,silent-2,two/sms")
            assert [address.host for address in found] == ["one", "two"]
        assert sorted(asked) == ["one", "one", "silent-1", "silent-2", "two", "two"]
    finally:
        answers.set()


def test_each_address_of_each_host_is_tried_under_its_name(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"one": ["::1", "127.0.0.1"], "two": ["127.0.0.2"]}

    def resolve(host: str, *_: object) -> list[object]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert names.addresses("postgres://one:5433,gone,10.0.0.1,two:5434/sms") == [
        ("one", "::1", "5433"),
        ("one", "127.0.0.1", "5433"),
        ("10.0.0.1", "10.0.0.1", ""),
        ("two", "127.0.0.2", "5434"),
    ]
    assert names.addresses("postgres:///sms?host=/run,10.0.0.1&port=5433") == [
        ("/run", "", "5433"),
        ("10.0.0.1", "10.0.0.1", "5433"),
    ]
    assert names.addresses("postgres://one/sms?hostaddr=10.0.0.1") == [("one", "10.0.0.1", "")]
    assert names.addresses("postgres://one,two/sms?hostaddr=10.0.0.1") == []
    with pytest.raises(psycopg.OperationalError, match="no address of gone: Name or service"):
        names.addresses("postgres://me:secret@gone/sms")
    there = PostgresStore(postgres.replace("127.0.0.1", "one"))
    there.prepare()
    assert there.newest() == ""
    there.close()


def test_a_url_that_psycopg_would_quote_is_not_told() -> None:
    with pytest.raises(psycopg.Error) as quoted:
        psycopg.connect("postgresql+psycopg://someone:s3cret@host/sms")
    assert "s3cret" in str(quoted.value)
    assert describe(quoted.value) == "ProgrammingError"


@pytest.mark.parametrize(
    ("breaking", "reason"),
    [
        ("ALTER TABLE status_events RENAME TO moved", "42P01"),
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "25006"),
    ],
)
def test_what_is_no_rows_fault_is_the_stores_and_passes(
    store: PostgresStore, postgres: str, breaking: str, reason: str
) -> None:
    name = postgres.rpartition("/")[2]
    ask(postgres, breaking.format(name))
    ask(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    if reason == "25006":
        with pytest.raises(StoreUnavailable, match=reason):
            store.probe()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(
                f"ALTER DATABASE {name} RESET default_transaction_read_only".encode()
            )
    wait_until(lambda: takes(store), what="the store takes callbacks again")


def takes(store: PostgresStore) -> bool:
    try:
        return store.record(update()) in (Outcome.APPLIED, Outcome.DUPLICATE)
    except StoreUnavailable:
        return False


def test_without_the_right_to_write_callbacks_are_not_set_aside(
    store: PostgresStore, postgres: str
) -> None:
    with as_role(postgres, "SELECT ON ALL TABLES IN SCHEMA public") as url:
        refused = PostgresStore(url)
        with pytest.raises(StoreUnavailable, match="42501"):
            refused.record(update())
        refused.close()
        wait_until(lambda: backends(postgres) == 0, what="its connection is closed")


# The schema


def test_many_that_start_at_once_on_an_empty_database_all_succeed(postgres: str) -> None:
    gate = threading.Barrier(6)

    def start() -> None:
        gate.wait(30)
        PostgresStore(postgres).prepare()

    with ThreadPoolExecutor(6) as pool:
        for started in [pool.submit(start) for _ in range(6)]:
            started.result(60)
    assert ask(postgres, "SELECT version, oldest_reader FROM schema_version") == [
        (SCHEMA_VERSION, OLDEST_READER)
    ]


def test_starting_again_takes_no_lock_that_a_writer_holds(
    store: PostgresStore, postgres: str
) -> None:
    with psycopg.connect(postgres) as writing:
        writing.execute("LOCK TABLE messages, status_events IN ROW EXCLUSIVE MODE")
        PostgresStore(postgres).prepare()


def test_a_later_schema_is_worked_with_if_it_says_so_and_refused_otherwise(
    store: PostgresStore, postgres: str
) -> None:
    ask(postgres, f"UPDATE schema_version SET version = {SCHEMA_VERSION + 1}")
    PostgresStore(postgres).prepare()
    assert store.record(update()) is Outcome.APPLIED
    ask(postgres, f"UPDATE schema_version SET oldest_reader = {SCHEMA_VERSION + 1}")
    known = f"schema version {SCHEMA_VERSION + 1}, this program knows {SCHEMA_VERSION}"
    with pytest.raises(SchemaTooNew, match=known):
        PostgresStore(postgres).prepare()


def test_the_writer_makes_what_is_missing_when_it_connects(postgres: str) -> None:
    store = PostgresStore(postgres)  # the database was away when it started
    assert store.record(update()) is Outcome.APPLIED
    store.close()


def test_a_callback_that_changes_the_status_alone_writes_no_index(
    store: PostgresStore, postgres: str
) -> None:
    store.record(update("queued"))
    store.record(update("sent"))
    store.close()

    def hot() -> bool:
        ((updated, unindexed),) = ask(
            postgres,
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'messages'",
        )
        return bool(updated == unindexed == 1)

    wait_until(hot, what="the statistics tell of one update that wrote no index")


# What its operator asks for


def test_with_one_connection_and_only_the_right_to_delete_old_messages_can_be_pruned(
    store: PostgresStore, postgres: str
) -> None:
    store.record(update(message_uuid="old")._replace(received_at="2020-01-01T00:00:00.000000Z"))
    store.record(update(message_uuid="new"))
    store.record(update(message_uuid="made-up", **{"?": "order=42"}))
    store.close()
    rights = "SELECT, DELETE ON ALL TABLES IN SCHEMA public"
    with as_role(postgres, rights) as url:
        full = PostgresStore(url, connections=1)
        before = "2021-01-01T00:00:00.000000Z"
        assert (full.count_older(before), full.newest()[:4]) == (1, "2026")
        with full.hold("prune") as is_ours, full.hold("prune") as again:
            assert is_ours is not None
            assert is_ours()
            assert again is None
            assert full.change_marker() != full.change_marker()  # what goes cannot be noted
            assert [full.prune_batch(before) for _ in range(2)] == [1, 0]
            assert [full.forget_batch("order=42") for _ in range(2)] == [1, 0]
        full.close()
        wait_until(lambda: backends(postgres) == 0, what="its connection is closed")
    assert (store.find("old"), ask(postgres, "SELECT count(*) FROM status_events")) == (
        None,
        [(1,)],
    )


def test_with_one_connection_a_count_that_takes_long_is_given_up_and_callbacks_are_written(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_by_status(connection: Connection) -> dict[str, int]:
        connection.execute("SELECT pg_sleep(60)")
        return {}

    monkeypatch.setattr(counting, "count_by_status", count_by_status)
    monkeypatch.setattr(readers, "BETWEEN_SECONDS", 0.1)
    with closing(PostgresStore(postgres, connections=1)) as store:
        store.prepare()
        with pytest.raises(StoreUnavailable, match="DATABASE_CONNECTIONS"):
            store.count_again()
        assert store.record(update()) is Outcome.APPLIED


def test_with_one_connection_callbacks_are_written_behind_a_message_that_cannot_be_read(
    postgres: str,
) -> None:
    with closing(PostgresStore(postgres, connections=1)) as store:
        store.prepare()
        store.record(update())
        pid = store.writer.submit(lambda connection: connection.info.backend_pid)
        ask(postgres, "UPDATE status_events SET parameters = 'nonsense'")
        with pytest.raises(Unreadable):
            store.find("a-uuid")
        assert store.record(update("delivered")) is Outcome.APPLIED
        assert store.writer.submit(lambda connection: connection.info.backend_pid) == pid


def test_what_somebody_holds_is_free_when_the_connection_ends(
    store: PostgresStore, postgres: str
) -> None:
    other = PostgresStore(postgres)
    with store.hold("prune") as held:
        with other.hold("prune") as second, other.hold("reconcile") as of_another:
            assert held
            assert not second
            assert of_another
        end_who_holds(postgres)
        with other.hold("prune") as taken_over:
            assert taken_over


def test_locks_have_numbers_of_their_own() -> None:
    numbers = {holding.lock_number(name) for name in ("prune", "reconcile", "drain", "forward")}
    assert len(numbers) == 4


def test_a_change_that_is_committed_late_with_lower_ids_changes_the_marker(
    store: PostgresStore, postgres: str
) -> None:
    with psycopg.connect(postgres) as late:
        record(late, [update(message_uuid="late")])
        store.record(update(message_uuid="early"))
        before = store.change_marker()
        late.commit()
        assert store.change_marker() != before
        still = store.change_marker()
        store.record(update(message_uuid="early"))
        assert store.change_marker() == still


def test_a_backup_is_the_hosts_and_it_says_how(store: PostgresStore, tmp_path: object) -> None:
    with pytest.raises(WorkRefused, match=r"pg_dump .*--file=/tmp/copy"):
        store.backup("/tmp/copy")  # type: ignore[arg-type]


def test_a_server_that_does_not_sync_is_warned_of(store: PostgresStore, postgres: str) -> None:
    engine = store.engine()
    assert engine.name == "PostgreSQL"
    assert engine.version[0].isdigit()
    ((fsync,),) = ask(postgres, "SELECT current_setting('fsync')")
    assert ("fsync off" in engine.warning) == engine.may_lose == (fsync == "off")


def test_a_reference_is_found_under_the_time_its_message_was_first_seen(
    store: PostgresStore,
) -> None:
    first = update_of({**at("sent", MessageUUID="a-uuid"), "?": "order=42"})
    store.record(first)
    store.record(first._replace(received_at=f"{DAY}T11:00:00.000000Z"))
    page = store.list(Filters(reference="order=42"), 10)
    assert [message.created_at for message in page.messages] == [f"{DAY}T11:00:00.000000Z"]


@pytest.mark.parametrize("nearest", [0, 20])
def test_pages_are_alike_wherever_their_messages_are_found(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, nearest: int
) -> None:
    write(store, some_updates())
    found_near = [pages(store, filters, 7) for filters, _ in FILTERS.values()]
    monkeypatch.setattr(listing, "NEAREST", nearest)
    assert [pages(store, filters, 7) for filters, _ in FILTERS.values()] == found_near


@pytest.mark.parametrize(
    ("country", "index"), [("IN", "messages_by_country"), (NO_COUNTRY, "messages_without_country")]
)
@pytest.mark.parametrize("after", [None, Position("2026-11-01T06:00:00.000000Z", 9)])
def test_what_is_rare_is_found_by_its_country_or_by_having_none(
    store: PostgresStore, postgres: str, country: str, index: str, after: Position | None
) -> None:
    fields = at("delivered", MessageUUID="0", MCC="310", MNC="260")
    store.record(update_of(fields, f"{DAY}T00:00:00.000000Z"))
    columns = """status_timestamp, first_status_timestamp, sequence, first_sequence, rank,
        first_rank, is_final, digest, first_digest, initial_status, current_status, updated_at"""
    ask(
        postgres,
        f"""INSERT INTO messages ({columns}, message_uuid, created_at, country)
            SELECT {columns}, n, created_at + n * interval '1 second',
                CASE n % 1000 WHEN 7 THEN NULL WHEN 8 THEN 'IN' ELSE 'US' END
            FROM messages, generate_series(1, 30000) AS n""",
    )
    ask(postgres, "ANALYZE messages")
    sql, values = listing.page_query(Filters(country=country), 11, after)
    plan = store._read(lambda connection: connection.execute(f"EXPLAIN {sql}".encode(), values))
    steps = "\n".join(step for (step,) in plan)
    assert f"using {index} on messages" in steps
    found = store.list(Filters(country=country), 10, after)
    assert len(found.messages) == 10
    assert {message.country for message in found.messages} == {
        None if country == NO_COUNTRY else country
    }


@pytest.mark.parametrize(("limit", "statements"), [(6, 2), (7, 1)])
def test_what_the_nearest_messages_cannot_fill_is_not_looked_for_among_them(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, limit: int, statements: int
) -> None:
    monkeypatch.setattr(listing, "NEAREST", 7)
    store.list(Filters(), 1)  # so that there is a connection
    asked: list[object] = []
    execute = psycopg.Connection.execute

    def noting(connection: Any, query: Any, *values: Any) -> Any:
        asked.append(query)
        return execute(connection, query, *values)

    monkeypatch.setattr(psycopg.Connection, "execute", noting)
    store.list(Filters(statuses=("delivered",)), limit)
    assert len(asked) == statements


def test_a_message_has_no_events_of_one_in_a_table_that_somebody_dropped(
    store: PostgresStore, postgres: str
) -> None:
    store.record(update("sent", "dropped"))
    ask(postgres, "DROP TABLE messages CASCADE")
    store.prepare()
    store.record(update("delivered", "new"))
    found = store.find("new")
    assert found is not None
    assert [event.status for event in found.events or ()] == ["delivered"]


@pytest.mark.parametrize("table", ["messages", "status_events"])
def test_what_names_a_table_that_somebody_dropped_names_it_again(
    store: PostgresStore, postgres: str, table: str
) -> None:
    """Else events stayed after their message was pruned."""
    keys = """SELECT conrelid::regclass::text, conkey, confrelid::regclass::text, confdeltype
              FROM pg_constraint WHERE contype = 'f' ORDER BY 1"""
    store.record(update("sent", "dropped"))
    before = ask(postgres, keys)
    ask(postgres, f"DROP TABLE {table} CASCADE")
    assert ask(postgres, keys) != before
    store.prepare()
    assert ask(postgres, keys) == before
    store.record(update("sent", "dropped"))
    store.record(update("delivered", "new"))
    assert store.prune_batch(LATEST) > 0
    assert store.find("new") is None
    left = ask(postgres, "SELECT status FROM status_events")
    assert left == ([("sent",)] if table == "messages" else [])


def test_a_change_is_handed_on_beside_those_of_events_in_a_table_that_somebody_dropped(
    postgres: str,
) -> None:
    with closing(PostgresStore(postgres, wanted=Wanted())) as store:
        store.prepare()
        for status in ("sent", "delivered"):
            store.record(update(status))
        ask(postgres, "DROP TABLE status_events CASCADE")
        store.prepare()
        assert store.record(update("read")) is Outcome.APPLIED
