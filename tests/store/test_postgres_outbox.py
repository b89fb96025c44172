"""What the outbox does where several processes hand on from one PostgreSQL database at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.outbox import CursorUnknown, Fate, Wanted
from smsstatus.store.postgres import changes
from smsstatus.store.postgres.store import PostgresStore

from ..postgres import ask
from .conftest import write_batches
from .filling import fill_postgres
from .handing_on import LATER, TOMORROW, answered, come, fates, follow, live, statuses, take_all
from .updates import at, update_of

Open = Callable[..., PostgresStore]


@pytest.fixture
def open_store(postgres: str) -> Iterator[Open]:
    """Open a store on one database; called again, another one, as another process does."""
    with ExitStack() as opened:

        def make(wanted: Wanted | None = None) -> PostgresStore:
            store = opened.enter_context(closing(PostgresStore(postgres, wanted=wanted)))
            store.writer.answer_seconds = 60
            store.prepare()
            return store

        yield make


def test_a_change_whose_parameters_are_damaged_is_handed_on_without_them(
    open_store: Open, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All that come after it would wait for it for good."""
    store = open_store(Wanted())
    live(store)
    ask(postgres, "UPDATE status_events SET parameters = '\\xff' WHERE status = 'queued'")
    with pytest.raises(StoreUnavailable, match="an event cannot be read"):
        store.find("a-uuid")
    (claimed,) = store.outbox.claim(LATER, 10)
    assert (claimed.change.status, claimed.change.parameters) == ("queued", "")
    assert "of message a-uuid cannot be read" in caplog.text
    store.outbox.settle([answered(claimed, Fate.TAKEN)])
    assert take_all(store.outbox) == ["sent", "delivered"]


def test_who_does_not_settle_in_time_loses_its_claim(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = open_store(Wanted()), open_store(Wanted())
    come(one, at("sent"))
    with monkeypatch.context() as patch:
        patch.setattr("smsstatus.store.postgres.outbox.CLAIM_SECONDS", 0)
        (lost,) = one.outbox.claim(LATER, 10)
    (again,) = other.outbox.claim(LATER, 10)
    assert one.outbox.claim(LATER, 10) == []
    assert again.claim != lost.claim
    assert one.outbox.settle([answered(lost, Fate.DEAD)]) == 0
    assert other.outbox.settle([answered(again, Fate.TAKEN)]) == 1


def test_one_lets_others_claim_what_it_has_not_settled(open_store: Open) -> None:
    one, other = open_store(Wanted()), open_store(Wanted())
    live(one)
    (claimed,) = one.outbox.claim(LATER, 10)
    assert other.outbox.claim(LATER, 10) == []
    one.outbox.release()
    assert one.outbox.settle([answered(claimed, Fate.DEAD)]) == 0
    assert take_all(other.outbox) == ["queued", "sent", "delivered"]


def test_what_another_has_on_its_way_holds_up_its_message(open_store: Open) -> None:
    """Skipped meanwhile, it waits no longer; the receiver may be reading it all the same."""
    one, other = open_store(Wanted()), open_store(Wanted())
    come(one, at("sent"))
    (claimed,) = one.outbox.claim(LATER, 10)
    one.outbox.skip(LATER)
    come(one, at("sent"), at("delivered"))
    assert other.outbox.claim(LATER, 10) == other.outbox.claim(LATER, 10, newest_first=True) == []
    assert one.outbox.settle([answered(claimed, Fate.WAITING, TOMORROW)]) == 0
    assert statuses(other.outbox.claim(LATER, 10)) == ["delivered"]


def test_a_claim_of_the_newest_looks_at_no_more_messages_than_it_needs(
    open_store: Open, postgres: str
) -> None:
    """How often it asks whether another one of a message is on its way, which costs most."""
    store = open_store(Wanted())
    fill_postgres(postgres, 3000)
    assert len(store.outbox.claim(TOMORROW, 4, newest_first=True)) == 4
    claimed = changes._CLAIM.format(changes._NEWEST)
    values = {"now": TOMORROW, "limit": 4, "looked_at": 400, "claim": str(uuid4()), "seconds": 1}
    with psycopg.connect(postgres) as connection:
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {claimed}".encode()
        ((found,),) = connection.execute(explained, values).fetchall()
    asked = [node["Actual Loops"] for node in _nodes(found[0]["Plan"]) if _is_count(node)]
    assert asked
    assert max(asked) <= 8


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def _is_count(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Aggregate" and node.get("Parent Relationship") == "SubPlan"


def test_four_that_hand_on_at_once_claim_no_change_twice(open_store: Open) -> None:
    stores = [open_store(Wanted()) for _ in range(4)]
    for number in range(40):
        live(stores[0], f"message-{number}")
    told: list[tuple[str, str]] = []
    under_way: set[str] = set()
    judging = threading.Lock()
    overlaps = []

    def hand_on(store: PostgresStore) -> None:
        newest_first = store is stores[3]
        while store.outbox.state(LATER).waiting:
            claimed = store.outbox.claim(LATER, 3, newest_first=newest_first)
            uuids = {one.change.message_uuid for one in claimed}
            with judging:
                overlaps.extend(under_way & uuids)
                under_way.update(uuids)
                told.extend([(one.change.message_uuid, one.change.status) for one in claimed])
            with judging:
                under_way.difference_update(uuids)
            if claimed:
                settled = store.outbox.settle([answered(one, Fate.TAKEN) for one in claimed])
                assert settled == len(claimed)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hand_on, stores))
    assert overlaps == []
    assert set(Counter(told).values()) == {1}
    for number in range(40):
        assert [s for uuid, s in told if uuid == f"message-{number}"] == [
            "queued",
            "sent",
            "delivered",
        ]


def test_a_batch_makes_the_changes_that_its_callbacks_would_make_one_by_one(
    open_store: Open,
) -> None:
    store = open_store(Wanted())
    fields = [at("queued"), at("sent"), at("queued", "00:00:01"), at("delivered"), at("sent")]
    write_batches(store, [[update_of({"MessageUUID": "a-uuid", **one}) for one in fields]])
    told = [c.status for c in store.outbox.news(None, 10).changes if c.message_uuid == "a-uuid"]
    assert told == ["queued", "sent", "delivered"]
    assert Counter(fates(store)) == {"": 1, "waiting": 3}


def test_changes_that_are_committed_late_are_in_the_next_answer(
    open_store: Open, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction has drawn an id before one that is committed already."""
    monkeypatch.setattr(changes, "SETTLE_SECONDS", 0.2)
    store = open_store()
    come(store, at("sent"), uuid="first")
    told, cursor = follow(store.outbox, None)
    with psycopg.connect(postgres) as late:
        late.execute("SELECT nextval(pg_get_serial_sequence('status_events', 'id'))")
        come(store, at("sent"), uuid="second")
        news = store.outbox.news(cursor, 10)
        assert (news.changes, news.cursor) == ((), cursor)
    assert told == ["first sent"]
    assert follow(store.outbox, cursor)[0] == ["second sent"]


def test_there_is_no_end_while_a_change_before_it_may_still_come(
    open_store: Open, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SETTLE_SECONDS", 0.2)
    store = open_store()
    with psycopg.connect(postgres) as late:
        late.execute("SELECT nextval(pg_get_serial_sequence('status_events', 'id'))")
        come(store, at("sent"), uuid="first")
        with pytest.raises(StoreUnavailable, match="does not end"):
            store.outbox.end()
    assert store.outbox.end() == follow(store.outbox, None)[1]


def test_who_reads_changes_while_others_write_gets_each_of_them_once(open_store: Open) -> None:
    """Four processes write batches of their own, so ids are committed out of order."""
    reader, *writers = [open_store() for _ in range(5)]
    told: list[str] = []
    done = threading.Event()

    def read() -> None:
        cursor = None
        while True:
            was_done = done.is_set()
            news = reader.outbox.news(cursor, 7)
            told.extend([change.message_uuid for change in news.changes])
            if was_done and news.cursor == cursor:
                return
            cursor = news.cursor

    def write(number: int) -> None:
        for group in range(20):
            pending = [
                writers[number].begin(update_of(at("sent", MessageUUID=f"{number}-{group}-{n}")))
                for n in range(10)
            ]
            for each in pending:
                writers[number].finish(each)

    with ThreadPoolExecutor(5) as threads:
        reading = threads.submit(read)
        list(threads.map(write, range(4)))
        done.set()
        reading.result(60)
    assert Counter(Counter(told).values()) == {1: 800}


@pytest.mark.parametrize("more", [0, 1, 2], ids=["no more", "as many", "more"])
def test_a_cursor_of_a_database_that_was_replaced_is_said_to_be_unknown(
    open_store: Open, postgres: str, more: int
) -> None:
    """A backup knows the last id that was given when it was made."""
    store = open_store()
    come(store, at("sent"), uuid="one")
    come(store, at("sent"), uuid="two")
    _, cursor = follow(store.outbox, None)
    ask(postgres, "DELETE FROM messages WHERE message_uuid = 'two'")
    ask(postgres, "SELECT setval(pg_get_serial_sequence('status_events', 'id'), 1)")
    for number in range(more):
        come(store, at("sent"), uuid=f"more-{number}")
    with pytest.raises(CursorUnknown):
        store.outbox.news(cursor, 10)


def test_a_claim_whose_answer_was_lost_is_made_again(open_store: Open, postgres: str) -> None:
    store = open_store(Wanted())
    live(store)
    claim = "11111111-1111-4111-8111-111111111111"
    with psycopg.connect(postgres, autocommit=True) as connection:
        first = changes.claim(connection, LATER, 10, claim, 60, newest_first=False)
        again = changes.claim(connection, LATER, 10, claim, 60, newest_first=False)
    assert statuses(first) == ["queued"]
    assert again == first
    assert store.outbox.claim(LATER, 10) == []


def test_claims_and_settlements_do_not_wait_for_each_other_in_a_circle(
    open_store: Open, postgres: str
) -> None:
    """Changes that replace those of their messages come while these are settled."""
    one, other = open_store(Wanted(latest_only=True)), open_store(Wanted(latest_only=True))
    uuids = [f"message-{number}" for number in range(20)]
    steps = ["queued", "sent", "delivered", "read"]

    def arrive() -> None:
        for step in steps:
            pending = [one.begin(update_of(at(step, MessageUUID=uuid))) for uuid in uuids]
            for each in pending:
                one.finish(each)

    def put_off() -> None:
        while not arriving.done():
            claimed = other.outbox.claim(LATER, 20)
            other.outbox.settle([answered(each, Fate.WAITING, LATER) for each in claimed[::-1]])

    with ThreadPoolExecutor(2) as threads:
        arriving = threads.submit(arrive)
        threads.submit(put_off).result(60)
        arriving.result(60)
    ((deadlocks,),) = ask(
        postgres, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert deadlocks == 0
    assert sorted(take_all(other.outbox)) == ["read"] * 20
