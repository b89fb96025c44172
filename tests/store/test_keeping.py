"""What a store does beside updates: pruning, idempotency keys, preparing, closing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from smsstatus.model import utc_now
from smsstatus.store.contract import Filters, Outcome, Store

from .conftest import Opener, write
from .updates import DAY, LATEST, at, second, update_of


def fill(store: Store, count: int) -> None:
    names = [f"m-{number}" for number in range(count)]
    life = [at(s, "11:00:00", **{"?": "order=1"}) for s in ("sent", "delivered")]
    write(
        store,
        [
            update_of({**fields, "MessageUUID": name}, second(number))
            for number, name in enumerate(names)
            for fields in life
        ],
    )


def prune(store: Store, created_before: str) -> int:
    removed = 0
    while batch := store.prune_batch(created_before):
        removed += batch
    return removed


def test_pruning_removes_the_older_with_all_that_is_theirs(store: Store) -> None:
    fill(store, 20)
    assert store.newest() == second(19)
    assert store.count_older(second(5)) == 5
    assert prune(store, second(5)) == 5
    assert store.count_older(second(5)) == 0
    assert store.find("m-4") is None
    names = [f"m-{number}" for number in range(19, 4, -1)]
    for filters in (Filters(), Filters(reference="order=1")):
        assert [message.message_uuid for message in store.walk(filters)] == names
    assert prune(store, second(5)) == 0


def test_a_batch_is_bounded_and_the_next_goes_on(store: Store) -> None:
    fill(store, 1200)
    first = store.prune_batch(LATEST)
    assert 0 < first < 1200
    assert first + prune(store, LATEST) == 1200
    assert store.newest() == ""


def test_what_happened_before_a_prune_does_not_come_back(store: Store) -> None:
    fill(store, 10)
    prune(store, second(5))
    gone = at("delivered", "11:00:00", MessageUUID="m-1")
    assert store.record(update_of(gone)) is Outcome.PRUNED
    assert store.find("m-1") is None
    known = at("undelivered", "11:00:01", MessageUUID="m-6")
    assert store.record(update_of(known)) in (Outcome.APPLIED, Outcome.OLDER)
    assert store.record(update_of(at("sent", MessageUUID="m-2"))) is Outcome.APPLIED
    later = {**gone, "Timestamp": f"{DAY} 12:30:00"}
    assert store.record(update_of(later)) is Outcome.APPLIED


def test_a_text_of_a_pruned_message_can_be_read_again(store: Store) -> None:
    update = update_of(at("sent", MessageUUID="one"))
    store.record(update)
    prune(store, LATEST)
    assert not store.knows_text(update.digest)
    assert store.record(update) is Outcome.APPLIED


def test_a_key_is_owned_by_who_claims_it_first(open_store: Opener) -> None:
    one, other = open_store(), open_store()
    assert one.claim_key("key", b"a digest") is None
    claim = other.claim_key("key", b"another digest")
    assert claim is not None
    assert (claim.digest, claim.answer) == (b"a digest", None)
    assert 0 <= claim.age.total_seconds() < 3600
    one.keep_answer("key", "the answer \u00fc")
    claim = other.claim_key("key", b"a digest")
    assert claim is not None
    assert claim.answer == "the answer \u00fc"


def test_a_key_that_was_freed_is_owned_by_the_next_unless_it_has_an_answer(store: Store) -> None:
    store.claim_key("key", b"a")
    store.free_key("key")
    assert store.claim_key("key", b"b") is None
    store.keep_answer("key", "done")
    store.free_key("key")
    assert store.claim_key("key", b"c") is not None
    store.free_key("never claimed")


def test_of_many_who_claim_a_key_at_once_one_owns_it(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for key in map(str, range(10)):
            claims = threads.map(lambda store, key=key: store.claim_key(key, b"x"), stores)
            assert [*claims].count(None) == 1


def test_preparing_again_keeps_what_is_there(open_store: Opener) -> None:
    store = open_store()
    fill(store, 3)
    open_store().prepare()
    store.prepare()
    assert len([*store.walk(Filters())]) == 3
    store.record(update_of(at("read", MessageUUID="m-1")))


def test_several_may_prepare_at_once(open_store: Opener) -> None:
    stores = [open_store() for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        assert [*threads.map(lambda store: store.prepare(), stores)] == [None] * 6


def test_a_closed_store_opens_again_at_its_next_use(store: Store) -> None:
    fill(store, 1)
    store.close()
    assert store.find("m-0") is not None
    store.close()
    assert store.record(update_of(at("read", MessageUUID="m-0"))) is Outcome.APPLIED
    store.close()
    store.close()


def test_it_can_be_probed_and_looked_at_and_says_what_it_is(store: Store) -> None:
    store.probe()
    store.look()
    assert store.engine().name in ("SQLite", "PostgreSQL")
    assert store.engine().version
    assert not store.take_suspicion()
    assert store.find_damage(1) == ""
    store.examine(1)
    assert store.damage == ""
    assert not store.correct_some(utc_now())
