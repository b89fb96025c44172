"""Two processes lock messages in one order, so neither waits for the other's next one for ever.

The other process is a connection whose batch has come to the first message when ours begins. And
where somebody has locked a whole table, nobody waits for long, nor again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from smsstatus import promise
from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Outcome, StoreUnavailable
from smsstatus.store.postgres import patience, updates
from smsstatus.store.postgres.batch import record
from smsstatus.store.postgres.store import PostgresStore

from ..live import wait_until
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
    for ask in (store.newest, store.probe):
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"):
            ask()
    with ThreadPoolExecutor(1) as another:
        assert another.submit(store.newest).result(PATIENT) == ""
        another.submit(store.probe).result(PATIENT)
