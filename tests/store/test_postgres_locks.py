"""Two processes lock messages in one order, so neither waits for the other's next one for ever.

The other process is a connection whose batch has come to the first message when ours begins. And
where somebody has locked a whole table, nobody waits for long, nor again and again. Who has locks
and says nothing more loses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from threading import Event
from typing import Any

import psycopg
import pytest
from psycopg import pq

from smsstatus import promise
from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Outcome, StoreUnavailable
from smsstatus.store.postgres import batch, committer, patience, updates
from smsstatus.store.postgres.batch import record
from smsstatus.store.postgres.connection import Link
from smsstatus.store.postgres.outbox import Wanted
from smsstatus.store.postgres.store import PostgresStore

from ..live import wait_until
from ..postgres import ask
from .conftest import PATIENT, Gate
from .test_postgres import waits_for_a_lock
from .updates import at, update_of

CHECKED_AT = "2026-11-01T00:00:00.000000Z"
AFTER_ALL = "2027-11-01T00:00:00.000000Z"
OLD, NEW = "2020-01-01T00:00:00.000000Z", "2020-01-01T00:00:01.000000Z"


@pytest.fixture
def store(postgres: str) -> Iterator[PostgresStore]:
    store = PostgresStore(postgres)
    store.writer.answer_seconds = PATIENT
    store.prepare()
    yield store
    store.close()


def update(message_uuid: str, status: str = "queued", received_at: str = OLD) -> StatusUpdate:
    return update_of({**at(status, MessageUUID=message_uuid), "?": "order=42"}, received_at)


@contextmanager
def batch_of_another(url: str) -> Iterator[Callable[[], None]]:
    """It holds message 1; what is called writes message 2, and commits."""
    with psycopg.connect(url) as connection:
        record(connection, [update("1", "sent")])

        def go_on() -> None:
            record(connection, [update("2", "sent")])
            connection.commit()

        yield go_on


def test_what_is_written_beside_a_batch_waits_for_locks_without_the_batchs_own(
    store: PostgresStore, postgres: str
) -> None:
    assert [store.record(update(uuid)) for uuid in "12"] == [Outcome.APPLIED] * 2
    gate = Gate()
    first = store.begin(update("0"), gate)
    assert gate.entered.wait(PATIENT)
    with batch_of_another(postgres) as go_on:
        batch = [store.begin(update("2", "delivered"))]
        checking = store.writer.begin(
            partial(updates.mark_checked, message_uuid="1", checked_at=CHECKED_AT)
        )
        gate.leave.set()
        wait_until(lambda: waits_for_a_lock(postgres), what="ours waits for message 1")
        go_on()
    assert [store.finish(each) for each in [first, *batch]] == [Outcome.APPLIED] * 2
    store.writer.finish(checking)


@pytest.mark.parametrize(
    "remove",
    [lambda store: store.prune_batch(AFTER_ALL), lambda store: store.forget_batch("order=42")],
    ids=["prune", "forget"],
)
def test_messages_are_removed_in_the_order_in_which_a_batch_locks_them(
    store: PostgresStore, postgres: str, remove: Callable[[PostgresStore], int]
) -> None:
    assert store.record(update("2")) is Outcome.APPLIED
    assert store.record(update("1", received_at=NEW)) is Outcome.APPLIED
    with batch_of_another(postgres) as go_on, ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove, store)
        wait_until(lambda: waits_for_a_lock(postgres), what="ours waits for message 1")
        go_on()
        assert removing.result(PATIENT) == 2


@contextmanager
def locked_table(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody can read messages, and who tries gives up soon."""
    monkeypatch.setattr(promise, "STATEMENT_SECONDS", 0.3)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        yield


def test_what_may_count_for_long_does_not_wait_long_for_a_table_that_is_locked(
    store: PostgresStore, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        locked_table(postgres, monkeypatch),
        pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"),
    ):
        store.tallies((OLD, NEW), (), NEW)


def test_who_has_waited_in_vain_is_refused_at_once_and_others_are_not(
    store: PostgresStore, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WAITED_SECONDS", 0.1)
    monkeypatch.setattr(patience, "SPENT_SECONDS", PATIENT)
    with locked_table(postgres, monkeypatch), pytest.raises(StoreUnavailable):
        store.find("1")
    monkeypatch.setattr(promise, "STATEMENT_SECONDS", PATIENT)
    for act in (store.newest, store.probe):
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"):
            act()
    with ThreadPoolExecutor(1) as another:
        assert another.submit(store.newest).result(PATIENT) == ""
        another.submit(store.probe).result(PATIENT)


def test_the_next_answer_of_a_thread_is_not_refused_for_what_the_one_before_has_waited_for(
    store: PostgresStore, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WAITED_SECONDS", 0.1)
    monkeypatch.setattr(patience, "SPENT_SECONDS", PATIENT)
    with promise.answering():
        with locked_table(postgres, monkeypatch), pytest.raises(StoreUnavailable):
            store.find("1")
        monkeypatch.setattr(promise, "STATEMENT_SECONDS", PATIENT)
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"):
            store.newest()
    with promise.answering():
        assert store.newest() == ""


def test_who_falls_silent_in_a_transaction_keeps_nobody_from_its_messages(
    store: PostgresStore, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promise, "STATEMENT_SECONDS", PATIENT)
    usual = batch.RECORD
    monkeypatch.setattr(batch, "RECORD", usual.replace("'10s'", "'200ms'"))
    has_locked, goes_on = Event(), Event()

    def fall_silent(connection: Any) -> None:
        has_locked.set()
        goes_on.wait(PATIENT)
        connection.execute("SELECT 1")

    with closing(committer.Committer(Link(postgres))) as other, ThreadPoolExecutor(1) as pool:
        silent = pool.submit(other.commit, [update("1"), fall_silent])
        assert has_locked.wait(PATIENT)
        monkeypatch.setattr(batch, "RECORD", usual)  # who writes now may be slow
        try:
            assert store.record(update("1", "sent")) is Outcome.APPLIED
        finally:
            goes_on.set()
        with pytest.raises(StoreUnavailable):
            silent.result(PATIENT)


def test_every_transaction_of_several_statements_may_not_be_silent_for_long(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    execute = psycopg.Connection.execute

    def noting(connection: Any, query: Any, *values: Any, **how: Any) -> Any:
        answer = execute(connection, query, *values, **how)
        if connection.info.transaction_status == pq.TransactionStatus.INTRANS:
            setting = "SELECT current_setting('idle_in_transaction_session_timeout')"
            seen[str(query)[:60]] = execute(connection, setting).fetchall()[0][0]
        return answer

    monkeypatch.setattr(psycopg.Connection, "execute", noting)
    store = PostgresStore(postgres, wanted=Wanted())
    store.prepare()
    assert store.record(update("1")) is Outcome.APPLIED
    store.runs.beat(NEW, down_before=OLD, first_since=OLD)
    assert store.prune_batch(AFTER_ALL) == 0  # its change waits to be handed on
    store.probe()
    store.tallies((OLD, NEW), (), NEW[:13])
    ask(postgres, "INSERT INTO unread_facts VALUES (1)")
    assert store.correct_some(AFTER_ALL)
    assert store.sum_up_some(AFTER_ALL)
    store.close()
    assert len(seen) > 10
    assert {query: setting for query, setting in seen.items() if setting != "10s"} == {}
