"""The outbox: what is handed on, to whom, in which order, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.forwarding.forwarder import LONG_AGO
from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Event, Outcome, Store, StoreError, StoreUnavailable
from smsstatus.store.groupcommit import GroupCommit, Ticket
from smsstatus.store.outbox import MAX_CLAIMED, Claimed, Condition, Fate, Forward, Wanted

from ..rounds import examples
from .conftest import STORES, Opener
from .handing_on import (
    LATER,
    TOMORROW,
    answered,
    come,
    fates,
    follow,
    forwards_of,
    live,
    statuses,
    take_all,
)
from .updates import DAY, Fields, at, update_of


@pytest.fixture
def store(open_store: Opener) -> Store:
    """A store that hands every change on."""
    return open_store(Wanted())


# What is handed on.


def test_a_change_says_all_that_a_receiver_is_told(store: Store) -> None:
    come(
        store,
        at("sent", "00:00:02", From="1415", To="+1416"),
        at("undelivered", "00:00:03", ErrorCode="30", Sequence="2", **{"?": "order=42"}),
    )
    assert take_all(store.outbox) == ["sent", "undelivered"]
    first, second = store.outbox.news(None, 10).changes
    assert (first.status, first.previous_status, first.is_final) == ("sent", None, False)
    assert second.message_uuid == "a-uuid"
    assert (second.status, second.previous_status, second.is_final) == ("undelivered", "sent", True)
    assert (second.error_code, second.sequence, second.rank, second.phase) == ("30", 2, 3, 3)
    assert second.status_timestamp == f"{DAY}T00:00:03.000000Z"
    assert second.received_at == f"{DAY}T12:00:01.000000Z"
    assert (second.sender_number, second.recipient_number) == ("1415", "+1416")
    assert (second.source, second.reference) == ("callback", "order=42")
    assert second.parameters.startswith("order=42&")
    assert len(second.digest) == len(first.digest) != 0


NO_CHANGES = {
    "one that came late": [at("delivered", "00:00:03"), at("sent", "00:00:02")],
    "the same status at a later time": [at("sent", "00:00:02"), at("sent", "00:00:03")],
    "the same error told again": [
        at("failed", "00:00:02", ErrorCode="30"),
        at("failed", "00:00:03", ErrorCode="30"),
    ],
    "a repeated callback": [at("sent", "00:00:02"), at("sent", "00:00:02")],
}


@pytest.mark.parametrize("callbacks", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_nothing_is_not_handed_on(store: Store, callbacks: list[Fields]) -> None:
    come(store, *callbacks)
    assert take_all(store.outbox) == [callbacks[0]["Status"]]
    assert len(store.outbox.news(None, 10).changes) == 1


def test_another_error_code_is_a_change(store: Store) -> None:
    come(store, at("failed", "00:00:02", ErrorCode="30"), at("failed", "00:00:03", ErrorCode="40"))
    assert take_all(store.outbox) == ["failed", "failed"]


def test_what_we_sent_ourselves_is_no_news(store: Store) -> None:
    sent = update_of(at("queued", MessageUUID="a-uuid"))._replace(source="send", rank=-1)
    assert store.record(sent) is Outcome.APPLIED
    come(store, at("queued", "00:00:01"), at("sent", "00:00:02"))
    assert take_all(store.outbox) == ["sent"]
    assert [c.previous_status for c in store.outbox.news(None, 10).changes] == ["queued"]


@pytest.mark.parametrize("source", ["replay", "reconcile"])
def test_what_was_spooled_or_missed_is_handed_on_too(store: Store, source: str) -> None:
    store.record(update_of(at("sent", MessageUUID="a-uuid"))._replace(source=source))
    assert take_all(store.outbox) == ["sent"]


def test_only_wanted_statuses_are_handed_on_and_all_can_be_read(open_store: Opener) -> None:
    store = open_store(Wanted(frozenset({"delivered", "failed"})))
    live(store)
    assert take_all(store.outbox) == ["delivered"]
    assert fates(store) == ["", "", "taken"]
    changes = store.outbox.news(None, 10).changes
    assert [change.status for change in changes] == ["queued", "sent", "delivered"]


def test_nothing_is_written_while_nothing_is_handed_on(open_store: Opener) -> None:
    store = open_store(None)
    live(store)
    assert open_store.ask("SELECT 1 FROM forwards UNION ALL SELECT 1 FROM forwarder") == []
    assert store.outbox.claim(LATER, 10) == []
    assert len(store.outbox.news(None, 10).changes) == 3


def test_the_event_and_its_change_are_in_one_transaction(open_store: Opener, store: Store) -> None:
    come(store, at("sent"))
    open_store.ask("DROP TABLE forwards")
    with pytest.raises(StoreError, match="forwards"):
        come(store, at("delivered"))
    assert open_store.ask("SELECT current_status FROM messages") == [("sent",)]
    assert open_store.ask("SELECT status FROM status_events") == [("sent",)]


def test_who_hands_on_is_woken_once_there_is_something(open_store: Opener) -> None:
    store = open_store(Wanted(frozenset({"delivered"})))
    found: list[int] = []
    store.outbox.on_change(lambda: found.append(len(store.outbox.claim(LATER, 10))))
    come(store, at("sent"))
    store.probe()
    assert found == []
    come(store, at("sent"), at("delivered"))
    store.close()
    assert found == [1]


# In which order.


def test_of_one_message_each_waits_for_the_one_before(store: Store) -> None:
    live(store, "one")
    live(store, "two")
    first = store.outbox.claim(LATER, 10)
    assert [(c.change.message_uuid, c.change.status) for c in first] == [
        ("one", "queued"),
        ("two", "queued"),
    ]
    assert store.outbox.claim(LATER, 10) == []
    assert store.outbox.settle([answered(first[1], Fate.TAKEN)]) == 1
    (next_one,) = store.outbox.claim(LATER, 10)
    assert (next_one.change.message_uuid, next_one.change.status) == ("two", "sent")


def test_what_waits_longest_goes_first(store: Store) -> None:
    for number in range(5):
        come(store, *[at("queued")] * number, at("sent"), uuid=f"message-{number}")
    uuids = [claimed.change.message_uuid for claimed in store.outbox.claim(LATER, 4)]
    assert uuids == sorted(uuids)
    assert len(uuids) == 4


def test_newest_first_takes_the_messages_of_what_came_last(store: Store) -> None:
    for number in range(5):
        come(store, at("queued"), *[at("sent")] * number, uuid=f"message-{number}")
    newest = store.outbox.claim(LATER, 1, newest_first=True)
    assert [c.change.message_uuid for c in newest] == ["message-4"]
    assert statuses(newest) == ["queued"]
    (other,) = store.outbox.claim(LATER, 1, newest_first=True)
    assert other.change.message_uuid != "message-4"


def test_newest_first_takes_none_that_was_tried(store: Store) -> None:
    """What failed just now is due soon, and would be the newest again and again."""
    for number in range(3):
        live(store, f"message-{number}")
    for claimed in store.outbox.claim(LATER, 3)[1:]:
        store.outbox.settle([answered(claimed, Fate.WAITING, LATER)])
    assert store.outbox.claim(LATER, 10, newest_first=True) == []
    come(store, at("sent"), uuid="fresh")
    (fresh,) = store.outbox.claim(LATER, 10, newest_first=True)
    assert fresh.change.message_uuid == "fresh"
    assert len(store.outbox.claim(LATER, 10)) == 2


def test_no_more_than_a_hundred_are_claimed_at_once(store: Store) -> None:
    for number in range(MAX_CLAIMED + 1):
        come(store, at("sent"), uuid=f"message-{number}")
    assert len(store.outbox.claim(LATER, 1000)) == MAX_CLAIMED
    assert len(store.outbox.claim(LATER, 1000, newest_first=True)) == 1


def test_one_that_failed_holds_up_its_message_and_no_other(store: Store) -> None:
    live(store, "one")
    live(store, "two")
    one, two = store.outbox.claim(LATER, 10)
    assert store.outbox.settle([answered(one, Fate.WAITING, TOMORROW)]) == 1
    assert store.outbox.settle([answered(two, Fate.TAKEN)]) == 1
    come(store, at("read"), uuid="one")
    assert take_all(store.outbox) == ["sent", "delivered"]
    assert [f.due_at for f in forwards_of(store, "one") if f] == [TOMORROW] * 4
    (again,) = store.outbox.claim(TOMORROW, 10)
    assert (again.change.status, again.attempts, again.failing_since) == ("queued", 1, LATER)
    assert again.change == one.change
    assert store.outbox.settle([answered(again, Fate.TAKEN)]) == 1
    assert take_all(store.outbox, TOMORROW) == ["sent", "delivered", "read"]
    assert forwards_of(store, "one")[0] == Forward(Fate.TAKEN, 2, "200", None, 39600.0)


def test_what_waits_because_it_failed_can_be_made_due(store: Store) -> None:
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(claimed, Fate.WAITING, TOMORROW)])
    assert (store.outbox.hasten(LATER, LATER), store.outbox.hasten(LATER, LATER)) == (3, 0)
    assert take_all(store.outbox) == ["queued", "sent", "delivered"]


def test_what_had_failed_before_is_not_made_due(store: Store) -> None:
    live(store, "before")
    live(store, "now")
    before, now = store.outbox.claim(LATER, 10)
    failed = answered(before, Fate.WAITING, TOMORROW)
    store.outbox.settle([replace(failed, at=f"{DAY}T22:59:59.999999Z")])
    store.outbox.settle([answered(now, Fate.WAITING, TOMORROW)])
    assert (store.outbox.hasten(LATER, LATER), store.outbox.hasten(LATER, LATER)) == (3, 0)
    assert [f.due_at for f in forwards_of(store, "before") if f] == [TOMORROW] * 3
    assert [f.due_at for f in forwards_of(store, "now") if f] == [LATER] * 3
    assert store.outbox.hasten(LATER, LONG_AGO) == 3


def test_after_a_dead_one_the_next_goes(store: Store) -> None:
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(claimed, Fate.DEAD)])
    assert take_all(store.outbox) == ["sent", "delivered"]
    assert fates(store) == ["dead", "taken", "taken"]
    (letter,) = store.outbox.dead(10)
    assert (letter.message_uuid, letter.status, letter.attempts) == ("a-uuid", "queued", 1)
    assert (letter.answer, letter.settled_at) == ("200", LATER)


@pytest.mark.parametrize("of", [None, "a-uuid"])
def test_a_retry_never_sends_older_after_newer_unless_asked(store: Store, of: str | None) -> None:
    live(store)
    for fate in (Fate.DEAD, Fate.TAKEN, Fate.DEAD):
        (claimed,) = store.outbox.claim(LATER, 10)
        store.outbox.settle([answered(claimed, fate)])
    assert store.outbox.retry(LATER, "another") == 0
    assert (store.outbox.retry(LATER, of), store.outbox.retry(LATER, of)) == (1, 0)
    (again,) = store.outbox.claim(LATER, 10)
    assert (again.change.status, again.attempts, again.failing_since) == ("delivered", 0, None)
    store.outbox.settle([answered(again, Fate.TAKEN)])
    assert store.outbox.retry(LATER, of, overtaken=True) == 1
    assert take_all(store.outbox) == ["queued"]


@pytest.mark.parametrize("of", [None, "a-uuid"])
def test_what_waits_and_what_is_dead_can_be_skipped(store: Store, of: str | None) -> None:
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(claimed, Fate.DEAD)])
    assert store.outbox.skip(LATER, "another") == 0
    assert (store.outbox.skip(LATER, of), store.outbox.skip(LATER, of)) == (3, 0)
    assert fates(store) == ["skipped"] * 3
    assert store.outbox.claim(LATER, 10) == []


def test_what_was_skipped_on_its_way_and_taken_is_taken(store: Store) -> None:
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.skip(LATER)
    assert store.outbox.settle([answered(claimed, Fate.TAKEN)]) == 1
    assert fates(store) == ["taken", "skipped", "skipped"]


def test_what_was_skipped_on_its_way_and_failed_stays_skipped(store: Store) -> None:
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.skip(LATER)
    assert store.outbox.settle([answered(claimed, Fate.WAITING, TOMORROW)]) == 0
    assert fates(store) == ["skipped"] * 3


def test_of_the_latest_only_each_replaces_those_before_it(open_store: Opener) -> None:
    store = open_store(Wanted(latest_only=True))
    live(store)
    assert fates(store) == ["superseded", "superseded", "waiting"]
    assert take_all(store.outbox) == ["delivered"]


def test_of_the_latest_only_a_newer_one_does_not_wait_because_an_older_one_failed(
    open_store: Opener,
) -> None:
    store = open_store(Wanted(latest_only=True))
    come(store, at("queued"))
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(claimed, Fate.WAITING, TOMORROW)])
    come(store, at("queued"), at("sent"), at("delivered"))
    assert forwards_of(store)[2] == Forward(Fate.WAITING, 0, "", f"{DAY}T12:00:02.000000Z", None)
    assert take_all(store.outbox) == ["delivered"]
    assert fates(store) == ["superseded", "superseded", "taken"]


def test_of_the_latest_only_one_on_its_way_is_not_overtaken(open_store: Opener) -> None:
    store = open_store(Wanted(latest_only=True))
    come(store, at("queued"))
    (claimed,) = store.outbox.claim(LATER, 10)
    come(store, at("queued"), at("sent"))
    assert store.outbox.claim(LATER, 10) == []
    assert store.outbox.settle([answered(claimed, Fate.TAKEN)]) == 1
    assert take_all(store.outbox) == ["sent"]
    assert fates(store) == ["taken", "taken"]


# To whom.


def test_what_was_settled_is_not_settled_again(store: Store) -> None:
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    failed = answered(claimed, Fate.WAITING, TOMORROW)
    assert store.outbox.settle([failed]) == 1
    assert store.outbox.settle([failed]) == 0
    (again,) = store.outbox.claim(TOMORROW, 10)
    assert again.attempts == 1


def test_an_attempt_is_counted_once_if_its_commit_was_in_doubt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was committed, but too late to answer for it: the caller settles it again."""
    come(store, at("sent"))
    (claimed,) = store.outbox.claim(LATER, 10)
    failed = answered(claimed, Fate.WAITING, TOMORROW)
    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "finish", _too_late)
        with pytest.raises(StoreUnavailable):
            store.outbox.settle([failed])
    assert store.outbox.settle([failed]) == 0
    (again,) = store.outbox.claim(TOMORROW, 10)
    assert again.attempts == 1


def _too_late(self: GroupCommit, ticket: Ticket) -> None:
    assert ticket.wait(60)
    raise StoreUnavailable("no commit in time")


def test_what_is_given_back_can_be_claimed_again_and_nothing_else(store: Store) -> None:
    live(store, "one")
    live(store, "two")
    one, two = store.outbox.claim(LATER, 10)
    store.outbox.give_back([one])
    (again,) = store.outbox.claim(LATER, 10)
    assert again.change == one.change
    store.outbox.give_back([one])  # of an earlier claim
    assert store.outbox.claim(LATER, 10) == []
    assert store.outbox.settle([answered(one, Fate.TAKEN)]) == 0
    assert store.outbox.settle([answered(each, Fate.TAKEN) for each in (again, two)]) == 2


# What is told about it.


def test_while_it_is_paused_nothing_is_claimed(open_store: Opener) -> None:
    store = open_store(Wanted())
    live(store)
    store.outbox.pause(LATER)
    store.outbox.pause(TOMORROW)
    assert store.outbox.claim(LATER, 10) == []
    store.outbox.release()
    again = open_store(Wanted())
    assert again.outbox.claim(LATER, 10) == []
    assert again.outbox.state(LATER).paused_at == LATER
    again.outbox.resume()
    assert again.outbox.state(LATER).paused_at is None
    assert len(again.outbox.claim(LATER, 10)) == 1


def test_the_state_counts_and_says_what_is_most_behind(store: Store) -> None:
    nothing = store.outbox.state(LATER)
    assert (nothing.waiting, nothing.dead, nothing.due_since) == (0, 0, None)
    assert nothing.condition == Condition()
    live(store, "one")
    live(store, "two")
    one, two = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(one, Fate.DEAD), answered(two, Fate.WAITING, TOMORROW)])
    condition = Condition(LATER, "timeout", TOMORROW)
    store.outbox.note(condition)
    state = store.outbox.state(LATER)
    assert (state.waiting, state.dead) == (5, 1)
    assert state.due_since == f"{DAY}T12:00:01.000000Z"
    assert (state.paused_at, state.condition) == (None, condition)


def test_what_is_due_later_is_not_behind(store: Store) -> None:
    come(store, at("sent"))
    (claimed,) = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(claimed, Fate.WAITING, TOMORROW)])
    state = store.outbox.state(LATER)
    assert (state.waiting, state.due_since) == (1, None)


def test_an_event_says_how_handing_on_goes_where_it_is_on(open_store: Opener) -> None:
    store = open_store(Wanted())
    come(store, at("sent", "00:00:02"), at("sent", "00:00:01"))
    assert forwards_of(store) == [
        None,
        Forward(Fate.WAITING, 0, "", f"{DAY}T12:00:00.000000Z", None),
    ]
    assert forwards_of(open_store(None)) == [None, None]


# Pruning.


def test_pruning_keeps_a_message_until_its_changes_are_handed_on(
    open_store: Opener, store: Store
) -> None:
    live(store, "waits")
    live(store, "done")
    first = store.outbox.claim(LATER, 10)
    store.outbox.settle([answered(one, Fate.TAKEN) for one in first])
    for _ in range(2):
        done = [c for c in store.outbox.claim(LATER, 10) if c.change.message_uuid == "done"]
        store.outbox.settle([answered(one, Fate.TAKEN) for one in done])
    assert (store.count_older(TOMORROW), store.prune_batch(TOMORROW)) == (1, 1)
    assert open_store.ask("SELECT message_uuid FROM messages") == [("waits",)]
    assert open_store.ask("SELECT count(*) FROM forwards") == [(3,)]
    assert (store.count_older(TOMORROW), store.prune_batch(TOMORROW)) == (0, 0)


def test_pruning_keeps_nothing_for_handing_on_that_is_off(open_store: Opener) -> None:
    live(open_store(Wanted()))
    store = open_store(None)
    assert (store.count_older(TOMORROW), store.prune_batch(TOMORROW)) == (1, 1)
    assert open_store.ask("SELECT count(*) FROM forwards") == [(0,)]


# Reading all changes.


def test_changes_are_read_in_the_order_in_which_they_became_known(open_store: Opener) -> None:
    store = open_store(None)
    come(store, at("delivered", "00:00:03"), uuid="one")
    come(store, at("queued"), at("queued"), at("sent"), uuid="two")
    come(store, at("delivered", "00:00:03"), at("sent"), at("read"), uuid="one")
    told, cursor = follow(store.outbox, None)
    assert told == ["one delivered", "two queued", "two sent", "one read"]
    assert follow(store.outbox, cursor) == ([], cursor)
    come(store, at("failed"), uuid="three")
    assert follow(store.outbox, cursor)[0] == ["three failed"]


def test_events_that_are_no_changes_are_passed_over_in_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in STORES:
        monkeypatch.setattr(f"smsstatus.store.{kind}.changes.SCANNED", 3)
    come(store, *[at("sent", f"00:00:0{9 - n}") for n in range(9)], at("delivered"))
    told, _ = follow(store.outbox, None)
    assert told == ["a-uuid sent", "a-uuid delivered"]


def test_a_store_without_changes_gives_a_cursor_to_wait_with(store: Store) -> None:
    news = store.outbox.news(None, 10)
    assert news.changes == ()
    live(store)
    assert len(store.outbox.news(news.cursor, 10).changes) == 3


def test_the_end_is_a_cursor_that_only_later_changes_are_after(open_store: Opener) -> None:
    store = open_store(None)
    assert store.outbox.news(store.outbox.end(), 10).changes == ()
    live(store, "one")
    end = store.outbox.end()
    assert follow(store.outbox, end) == ([], end)
    come(store, at("sent"), uuid="two")
    assert follow(store.outbox, end)[0] == ["two sent"]
    assert store.prune_batch(TOMORROW) == 2
    end = store.outbox.end()
    come(store, at("sent"), uuid="three")
    assert follow(store.outbox, end)[0] == ["three sent"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "-1", "1", "1.", "00.0011223344556677", "1.0011223344556677 ", "1.zz"]
)
def test_what_is_no_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        store.outbox.news(cursor, 10)


def test_a_cursor_is_good_after_its_event_was_pruned(open_store: Opener) -> None:
    store = open_store(None)
    live(store, "one")
    _, cursor = follow(store.outbox, None)
    assert store.prune_batch(TOMORROW) == 1
    assert follow(store.outbox, cursor) == ([], cursor)
    live(store, "two")
    assert follow(store.outbox, cursor)[0] == ["two queued", "two sent", "two delivered"]
    assert follow(store.outbox, None)[0] == ["two queued", "two sent", "two delivered"]


def test_a_change_whose_event_is_of_an_earlier_version_has_a_cursor_too(
    store: Store,
) -> None:
    update = update_of(at("sent", MessageUUID="a-uuid"))
    store.record(update._replace(digest=b"\x07" * 16))
    _, cursor = follow(store.outbox, None)
    assert follow(store.outbox, cursor) == ([], cursor)


# For any callbacks in any order: what is told of a message only moves forward.


class Step(NamedTuple):
    """Callbacks that come, then how many changes are claimed, and what comes of each."""

    arrivals: list[Fields]
    claims: int
    fates: list[Fate]
    newest_first: bool


_fields = st.fixed_dictionaries(
    {
        "Status": st.sampled_from(
            ["queued", "sent", "delivered", "undelivered", "failed", "read", "lost", "found"]
        ),
        "MessageUUID": st.sampled_from(["one", "two"]),
    },
    optional={
        "ErrorCode": st.sampled_from(["30", "40"]),
        "Sequence": st.sampled_from(["1", "2"]),
        "Timestamp": st.sampled_from([f"{DAY} 00:00:01", f"{DAY} 00:00:02", "soon"]),
        "Sent": st.just("by us"),
    },
)
_steps = st.lists(
    st.builds(
        Step,
        st.lists(_fields, max_size=4),
        st.integers(0, 3),
        st.lists(st.sampled_from([Fate.TAKEN, Fate.TAKEN, Fate.WAITING]), min_size=3, max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def arriving(fields: Fields, example: int, second: int) -> StatusUpdate:
    """As a callback, or as our own send."""
    named = {**fields, "MessageUUID": f"{fields['MessageUUID']}-{example}"}
    is_ours = named.pop("Sent", "") != ""
    update = update_of(named, f"{DAY}T12:00:{second:02}.000000Z")
    return update._replace(source="send", rank=-1, is_final=False) if is_ours else update


@pytest.fixture(scope="module")
def filled(open_shared: Opener) -> list[Store]:
    """A store for all examples, whose number is that of the elements."""
    return [open_shared(Wanted())]


@given(_steps, st.permutations(range(4)))
@hypothesis_settings(max_examples=examples(300), deadline=None, derandomize=True)
def test_what_a_receiver_is_told_only_moves_forward(
    filled: list[Store], steps: list[Step], repeated: list[int]
) -> None:
    store, number = filled[0], len(filled)
    filled.append(store)
    told: list[Claimed] = []
    start = store.outbox.news(None, 1).cursor if number == 1 else store.outbox.end()
    for second, (arrivals, claims, outcomes, newest_first) in enumerate(steps):
        updates = [arriving(fields, number, second) for fields in arrivals]
        updates += [updates[place] for place in repeated if place < len(updates)]
        for update in updates:
            store.record(update)
        claimed = store.outbox.claim(LATER, claims, newest_first=newest_first)
        for one, fate in zip(claimed, outcomes, strict=False):
            told += [one] * (fate is Fate.TAKEN)
            assert store.outbox.settle([answered(one, fate, LATER)]) == 1
    while claimed := store.outbox.claim(LATER, 10):
        told += claimed
        store.outbox.settle([answered(one, Fate.TAKEN) for one in claimed])

    changes = [one.change for one in told]
    assert len({change.digest for change in changes}) == len(changes)
    news = store.outbox.news(start, 1000).changes if number > 1 else changes
    assert {change.digest: change for change in changes} == {c.digest: c for c in news}
    for uuid in (f"one-{number}", f"two-{number}"):
        of_message = [change for change in changes if change.message_uuid == uuid]
        keys = [(c.phase, c.status_timestamp, c.sequence, c.rank, c.digest) for c in of_message]
        assert keys == sorted(keys)
        message = store.find(uuid)
        if of_message:
            assert message is not None
            last = of_message[-1]
            assert (last.status, last.error_code) == (message.current_status, message.error_code)
        elif message is not None:
            assert _is_of_ours(message.events or ())


def _is_of_ours(events: Sequence[Event]) -> bool:
    return any(event.source == "send" for event in events)
