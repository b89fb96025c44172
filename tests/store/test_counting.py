"""What is true of many messages: counts, delivery times, what waits, whether anything changed."""

from __future__ import annotations

import pytest

from smsstatus.store.contract import (
    DELIVERIES_TIMED,
    PARTS,
    SAMPLE,
    WAITING_COUNTED,
    Filters,
    Store,
)
from smsstatus.store.postgres import counting as postgres_counting
from smsstatus.store.sqlite import counting

from .conftest import Opener, write
from .updates import DAY, EARLIEST, LATEST, at, second, update_of

WORDS = ("queued", "sent", "delivered", "undelivered", "read", "lost")


def fill(store: Store) -> None:
    """60 messages, one each second, of six statuses in turn; queued at noon, bounces with codes."""
    write(
        store,
        [
            update_of(
                at(
                    WORDS[number % 6],
                    f"12:00:{number:02}",
                    MessageUUID=f"m-{number}",
                    QueuedTime=f"{DAY} 12:00:00",
                    ErrorCode=("30", "450")[number % 2] if number % 6 == 3 else "",
                ),
                second(number),
            )
            for number in range(60)
        ],
    )


@pytest.fixture(scope="module")
def filled(open_shared: Opener) -> Store:
    store = open_shared()
    fill(store)
    return store


def times_of(store: Store, since: str, until: str, deliveries: int = 0) -> list[float]:
    return list(store.delivery_times(since, until, (), deliveries).get((), ()))


def test_a_window_includes_its_start_and_not_its_end(filled: Store) -> None:
    window = second(6), second(18)
    assert list(filled.history(window)) == [dict.fromkeys(WORDS, 2)]
    assert times_of(filled, *window) == pytest.approx([8.0, 14.0], abs=0.001)


def test_a_window_with_nothing_in_it(filled: Store) -> None:
    window = second(100), second(200)
    assert (list(filled.history(window)), times_of(filled, *window)) == ([{}], [])
    assert not times_of(filled, *window, DELIVERIES_TIMED + 1), "counted, then pruned"


def test_a_sample_of_a_window_of_seconds_is_of_that_window(filled: Store) -> None:
    found = [
        times_of(filled, second(6), second(18), deliveries)
        for deliveries in (DELIVERIES_TIMED, DELIVERIES_TIMED + 1)
    ]
    assert found == [pytest.approx([8.0, 14.0], abs=0.001)] * 2


def of_the_day(number: int) -> str:
    """A time of the day above, four seconds after the one before it."""
    minutes, seconds = divmod(number * 4, 60)
    return f"{DAY}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.000000Z"


def test_of_many_deliveries_those_timed_are_from_all_over_the_window(store: Store) -> None:
    """Where they are the newest, reports that come after hours are hardly among them."""
    half = DELIVERIES_TIMED // 2 + 500
    sent = [at("sent", MessageUUID=f"sent-{n}") for n in range(3000)]
    delivered = [
        at(
            "delivered",
            f"00:00:{40 if number < half else 2:02}",
            MessageUUID=f"delivered-{number}",
            QueuedTime=f"{DAY} 00:00:00",
            From=("14155550100", "14155550101")[number % 2],
        )
        for number in range(2 * half)
    ]
    updates = [update_of(of, of_the_day(n)) for n, of in enumerate((*sent, *delivered), 1)]
    for start in range(0, len(updates), 500):
        write(store, updates[start : start + 500])
    missed = [{**delivered[0], "MessageUUID": f"missed-{n}", "Asked": "Plivo"} for n in range(150)]
    told_last = [update_of(of, of_the_day(len(updates))) for of in missed]
    write(store, told_last)  # and they are the first ones of the window
    window = of_the_day(0), of_the_day(len(updates) + 1)
    times = times_of(store, *window, len(delivered))
    assert 0.9 * SAMPLE <= len(times) <= 1.1 * SAMPLE
    assert times == sorted(times)
    assert 0.4 < sum(seconds > 30 for seconds in times) / len(times) < 0.6
    by_sender = store.delivery_times(*window, ("sender",), len(delivered)).values()
    assert len(by_sender) == 2
    assert sorted(seconds for of_one in by_sender for seconds in of_one) == times
    few = of_the_day(3001 + half - 20), of_the_day(3001 + half + 30)
    assert times_of(store, *few) == pytest.approx([2.0] * 30 + [40.0] * 20, abs=0.001)


def test_of_a_sample_no_part_of_the_window_has_more_than_its_share(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First a route from which one report of 23 comes, late; then one from which all come soon."""
    half = 2000
    lives = [
        at(
            "sent" if number < half and number % 23 else "delivered",
            f"00:0{int(number < half)}:02",
            MessageUUID=f"life-{number}",
            QueuedTime=f"{DAY} 00:00:00",
        )
        for number in range(2 * half)
    ]
    updates = [update_of(of, of_the_day(n)) for n, of in enumerate(lives, 1)]
    for start in range(0, len(updates), 500):
        write(store, updates[start : start + 500])
    window = of_the_day(0), of_the_day(len(updates) + 1)
    all_times, sample = [times_of(store, *window, n) for n in (0, DELIVERIES_TIMED + 1)]
    assert (len(all_times), len(sample)) == (2087, pytest.approx(400, rel=0.1))
    late, sampled_late = [sum(s > 30 for s in some) / len(some) for some in (all_times, sample)]
    assert sampled_late == pytest.approx(late, abs=0.01)
    for module in (counting, postgres_counting):
        monkeypatch.setattr(module, "MOST_READ", 2 * PARTS)
    assert 0 < len(times_of(store, *window, DELIVERIES_TIMED + 1)) <= 2 * PARTS


def test_history_counts_each_slice(filled: Store) -> None:
    edges = [second(number) for number in (0, 6, 12, 12, 30, 33)]
    three = dict.fromkeys(WORDS, 3)
    some = {"queued": 1, "sent": 1, "delivered": 1}
    one = dict.fromkeys(WORDS, 1)
    assert list(filled.history(edges)) == [one, one, {}, three, some]


def test_what_was_read_was_delivered_before(store: Store) -> None:
    queued = {"MessageUUID": "one", "QueuedTime": f"{DAY} 12:00:00"}
    store.record(update_of(at("delivered", "12:00:07.5", **queued)))
    store.record(update_of(at("read", "12:30:00", **queued)))
    store.record(update_of(at("read", "12:30:00", **{**queued, "MessageUUID": "other"})))
    store.record(update_of(at("delivered", MessageUUID="no-time")))
    assert times_of(store, second(0), second(1)) == pytest.approx([7.5], abs=0.001)


def test_counts_are_those_of_the_last_count(store: Store) -> None:
    fill(store)
    store.count_again()
    assert store.counts == dict.fromkeys(WORDS, 10)
    store.record(update_of(at("delivered", "12:30:00", MessageUUID="m-1")))
    store.count_again()
    assert store.counts == {**dict.fromkeys(WORDS, 10), "sent": 9, "delivered": 11}


def test_those_wait_that_are_not_final_silent_and_young_enough(store: Store) -> None:
    fill(store)
    since, silent = second(12), second(24)
    waiting = ["m-12", "m-13", "m-17", "m-18", "m-19", "m-23"]
    assert list(store.waiting(silent_since=silent, created_since=since)) == waiting
    store.note_check("m-12", second(101))
    store.note_check("m-18", second(100))
    asked = list(store.waiting(silent_since=silent, created_since=since))
    assert asked == ["m-13", "m-17", "m-19", "m-23", "m-18", "m-12"]
    store.record(update_of(at("sent", "12:40:00", MessageUUID="m-13"), second(200)))
    assert "m-13" not in store.waiting(silent_since=silent, created_since=since)


def test_the_pulse_counts_who_waits_and_when_callbacks_came(store: Store) -> None:
    fill(store)
    store.record(
        update_of(at("sent", MessageUUID="asked"), second(70))._replace(source="reconcile")
    )
    pulse = store.pulse(since=second(0), before=second(60), newest=4)
    assert pulse.waiting == 30
    assert list(pulse.arrivals) == [second(57), second(58), second(59)]


def test_waiting_messages_are_counted_to_a_limit(store: Store) -> None:
    uuids = [f"m-{number}" for number in range(WAITING_COUNTED + 5)]
    write(store, [update_of(at("sent", MessageUUID=uuid)) for uuid in uuids])
    assert store.pulse(since=EARLIEST, before=LATEST, newest=1).waiting == WAITING_COUNTED


def test_an_empty_store_counts_nothing(store: Store) -> None:
    store.count_again()
    assert store.counts == {}
    assert store.newest() == ""
    assert store.count_older(LATEST) == 0
    assert list(store.pulse(since=EARLIEST, before=LATEST, newest=5).arrivals) == []
    assert list(store.waiting(silent_since=LATEST, created_since=EARLIEST)) == []


def test_the_marker_changes_with_what_is_listed_and_not_with_a_repeat(open_store: Opener) -> None:
    """Also where another process wrote it."""
    store, other = open_store(), open_store()
    update = update_of(at("sent", MessageUUID="one"), "2001-01-01T00:00:00.000000Z")
    markers = [store.change_marker()]
    other.record(update)
    markers.append(store.change_marker())
    other.record(update)
    assert store.change_marker() == markers[-1]
    other.record(update_of(at("delivered", MessageUUID="one")))
    markers.append(store.change_marker())
    other.record(update_of(at("sent", MessageUUID="two")))
    markers.append(store.change_marker())
    assert other.prune_batch("2002-01-01T00:00:00.000000Z") == 1
    markers.append(store.change_marker())
    assert len(set(markers)) == 5
    assert len([*store.walk(Filters())]) == 1


def test_the_marker_changes_with_each_removal_whatever_came_before_and_after(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where neither the oldest nor the newest message goes."""
    monkeypatch.setattr(postgres_counting, "LATE_COMMITS", 1)
    store, other = open_store(), open_store()
    store.record(update_of(at("sent", MessageUUID="first")))
    removals = (
        lambda: other.forget_batch("order=42"),
        lambda: other.prune_batch("2002-01-01T00:00:00.000000Z"),
        lambda: other.forget_batch("order=42"),
    )
    markers = set()
    for number, remove in enumerate(removals):
        fields = {**at("sent", MessageUUID=f"goes-{number}"), "?": "order=42"}
        store.record(update_of(fields, "2001-01-01T00:00:00.000000Z"))
        store.record(update_of(at("sent", MessageUUID=f"last-{number}")))
        markers.add(store.change_marker())
        assert remove() == 1
        markers.add(store.change_marker())
        assert remove() == 0
        markers.add(store.change_marker())
    assert len(markers) == 2 * len(removals)
