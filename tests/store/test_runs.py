"""The memory of the upkeep, on each store: heartbeats, outages, the last run of each task."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smsstatus.model import SIMULATED, utc_timestamp
from smsstatus.store.contract import Store
from smsstatus.store.runs import Outage, Run, Step

from .conftest import Opener, write
from .updates import at, update_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def text(moment: datetime) -> str:
    return utc_timestamp(str(moment))


def beat(store: Store, moment: datetime) -> None:
    store.runs.beat(
        text(moment), down_before=text(moment - 3 * MINUTE), first_since=text(moment - DAY)
    )


def test_the_first_start_may_have_missed_a_day(store: Store) -> None:
    assert (store.runs.up_at(), store.runs.outages(100)) == ("", [])
    beat(store, NOON)
    assert store.runs.up_at() == text(NOON)
    assert store.runs.outages(100) == [Outage(since=text(NOON - DAY), until=text(NOON))]
    assert store.runs.outages(100)[0].is_before_first


def test_a_service_that_was_away_remembers_since_when(store: Store) -> None:
    beat(store, NOON)
    beat(store, NOON + 2 * MINUTE)
    assert len(store.runs.outages(100)) == 1
    beat(store, NOON + 6 * HOUR)
    beat(store, NOON + 6 * HOUR + MINUTE)
    newest, _ = store.runs.outages(100)
    assert newest == Outage(since=text(NOON + 2 * MINUTE), until=text(NOON + 6 * HOUR))
    assert not newest.is_before_first
    assert store.runs.outages(1) == [newest]


def test_two_that_start_at_once_remember_one_outage(open_store: Opener) -> None:
    one, other = open_store(), open_store()
    beat(one, NOON)
    beat(one, NOON + HOUR)
    beat(other, NOON + HOUR + timedelta(seconds=1))
    assert [outage.since for outage in one.runs.outages(100)] == [text(NOON), text(NOON - DAY)]
    assert other.runs.outages(100) == one.runs.outages(100)


def test_a_clock_that_was_ahead_hides_no_later_outage(store: Store) -> None:
    beat(store, NOON + DAY)
    beat(store, NOON)
    beat(store, NOON + HOUR)
    assert store.runs.outages(1)[0].since == text(NOON)


def test_an_outage_that_is_not_listed_is_found_however_many_came_later(store: Store) -> None:
    for hours in range(120):
        beat(store, NOON + hours * HOUR)
    oldest, second, *others = store.runs.outages(200)[::-1]
    for outage in others[:-1]:
        store.runs.note_listed(outage.since, outage.until, 0)
    store.runs.note_listed(second.since, text(NOON + MINUTE), 3)
    half = replace(second, listed_until=text(NOON + MINUTE), missed=3)
    assert store.runs.unlisted(text(NOON - 2 * DAY)) == [oldest, half, others[-1]]
    assert store.runs.unlisted(oldest.until) == [half, others[-1]]


def test_what_is_listed_only_goes_forward(store: Store) -> None:
    beat(store, NOON)
    since = text(NOON - DAY)
    store.runs.note_listed(since, text(NOON - HOUR), 3)
    store.runs.note_listed(since, text(NOON - HOUR), 3)
    store.runs.note_listed(since, text(NOON), 2)
    assert store.runs.outages(100) == [
        Outage(since=since, until=text(NOON), listed_until=text(NOON), missed=5)
    ]


def test_a_part_whose_list_is_short_is_kept_until_it_is_listed(store: Store) -> None:
    """Whatever is written twice changes nothing."""
    beat(store, NOON)
    whole = Outage(since=text(NOON - DAY), until=text(NOON), listed_until=text(NOON), missed=3)
    short = Outage(
        since=text(NOON + HOUR), until=text(NOON - HOUR), listed_until=text(NOON - 2 * HOUR)
    )
    assert short.is_short
    assert not whole.is_short
    for _ in range(2):
        store.runs.note_listed(whole.since, whole.listed_until, 3, short)
    assert store.runs.unlisted("2000-01-01T00:00:00.000000Z") == [short]
    assert store.runs.outages(100) == [whole]
    for known in (replace(short, missed=2), replace(short, missed=4, listed_until=short.until)):
        for _ in range(2):
            store.runs.note_short(known, whole.since)
        is_left = known.listed_until < known.until
        assert store.runs.unlisted("2000-01-01T00:00:00.000000Z") == [known] * is_left
        assert store.runs.outages(100) == [replace(whole, missed=3 + known.missed)]


def test_a_task_has_its_last_run(open_store: Opener) -> None:
    store, other = open_store(), open_store()
    under_way = Run(
        task="reconcile",
        began_at=text(NOON),
        ended_at=None,
        next_at=text(NOON + MINUTE),
        is_ok=True,
        found="",
    )
    done = replace(under_way, ended_at=text(NOON + MINUTE), found="2 asked", is_ok=False)
    backup = replace(done, task="backup")
    store.runs.note(under_way)
    assert other.runs.last() == [under_way]
    store.runs.note(backup)
    store.runs.note(done)
    assert other.runs.last() == [backup, done]


@pytest.mark.parametrize(
    ("silent_for", "asked_ago", "is_due"),
    [
        (10 * MINUTE, None, False),
        (20 * MINUTE, None, True),
        (20 * MINUTE, 6 * MINUTE, True),  # asked before it was silent for so long
        (20 * MINUTE, 2 * MINUTE, False),
        (50 * MINUTE, 30 * MINUTE, False),
        (70 * MINUTE, 30 * MINUTE, True),
        (70 * MINUTE, 5 * MINUTE, False),
    ],
)
def test_a_silent_message_is_waited_for_longer_each_time(
    store: Store, silent_for: timedelta, asked_ago: timedelta | None, is_due: bool
) -> None:
    now = datetime.now(UTC)
    ages = (15 * MINUTE, HOUR)
    update = update_of(at("sent", MessageUUID="one"))._replace(received_at=text(now - silent_for))
    write(store, [update])
    if asked_ago is not None:
        store.note_check("one", text(now - asked_ago))
    found = store.waiting(
        silent_since=text(now - ages[0]),
        created_since=text(now - DAY),
        steps=[Step(age, text(now - age)) for age in ages],
    )
    assert list(found) == ["one"] * is_due


def test_as_many_as_wanted_wait_and_none_that_was_simulated(store: Store) -> None:
    updates = [update_of(at("sent", MessageUUID=f"m-{n}")) for n in range(4)]
    updates[1] = updates[1]._replace(reference=SIMULATED)
    write(store, updates)
    every = {
        "silent_since": "2100-01-01T00:00:00.000000Z",
        "created_since": "2000-01-01T00:00:00.000000Z",
    }
    assert set(store.waiting(**every)) == {"m-0", "m-2", "m-3"}
    assert len(store.waiting(**every, limit=2)) == 2
