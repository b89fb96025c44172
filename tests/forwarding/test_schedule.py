"""When a change is sent again, and when a receiver that fails is left alone."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsstatus.forwarding.schedule import Brake, asked_for, next_wait

DAYS = 86_400.0
NOW = datetime(2026, 11, 1, tzinfo=UTC)
MIDDLE = 0.5
"""The chance that leaves a wait as it is."""


def waits(max_age: float) -> list[float]:
    """Of a change that always fails."""
    found: list[float] = []
    while (wait := next_wait(len(found) + 1, sum(found), max_age, MIDDLE)) is not None:
        found.append(wait)
    return found


def test_a_change_is_tried_14_times_in_three_days() -> None:
    assert waits(3 * DAYS) == [5, 30, 120, 600, 3600, 10_800, 21_600, *[43_200] * 5, 6445]


@pytest.mark.parametrize("max_age", [60, 600, 3600, 10_800, DAYS, 3 * DAYS])
def test_it_is_tried_for_the_last_time_at_its_maximum_age(max_age: float) -> None:
    assert sum(waits(max_age)) == max_age


@given(st.floats(1, 60), st.floats(0, 1))
def test_no_wait_ends_after_the_maximum_age(left: float, chance: float) -> None:
    wait = next_wait(5, 3 * DAYS - left, 3 * DAYS, chance)
    assert wait == pytest.approx(left)


def test_one_that_fails_for_the_first_time_is_tried_again_however_old_it_is() -> None:
    assert next_wait(1, 0.0, 3 * DAYS, MIDDLE) == 5


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_differ_by_a_fifth(attempts: int, chance: float) -> None:
    middle = next_wait(attempts, 0.0, 1e9, MIDDLE)
    spread = next_wait(attempts, 0.0, 1e9, chance)
    assert middle is not None
    assert spread is not None
    assert 0.799 * middle <= spread <= 1.201 * middle


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("86400", 3600),
        ("9" * 5000, 3600),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("\u0663", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 3600),
        ("Sun, 01 Nov 2026 00:01:30 -0000", 90),
        ("Sun, 99 Nov 2026 00:01:30 GMT", 0),
    ],
)
def test_a_receiver_may_ask_for_a_rest_of_an_hour_at_most(header: str, seconds: float) -> None:
    assert asked_for(header, NOW) == seconds


@given(st.text())
def test_whatever_a_receiver_asks_for_is_no_error(header: str) -> None:
    assert 0 <= asked_for(header, NOW) <= 3600


def shut(brake: Brake, now: float = 0.0) -> None:
    assert [brake.note_failure(now, now, MIDDLE) for _ in range(5)] == [False] * 4 + [True]


def test_after_five_failures_in_a_row_one_is_under_way_with_longer_and_longer_pauses() -> None:
    brake = Brake(8)
    assert brake.room(0, 0.0) == 8
    shut(brake)
    pauses = []
    now = 0.0
    for _ in range(9):
        assert brake.room(0, brake.rests_until - 0.01) == 0
        pauses.append(brake.rests_until - now)
        now = brake.rests_until
        assert (brake.room(0, now), brake.room(1, now)) == (1, 0)
        assert not brake.note_failure(now, now, MIDDLE)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_that_are_not_in_a_row_shut_nothing() -> None:
    brake = Brake(8)
    for _ in range(20):
        assert not any(brake.note_failure(0.0, 0.0, MIDDLE) for _ in range(4))
        assert not brake.note_taken(math.inf)
    assert brake.room(3, 0.0) == 5


def test_what_was_under_way_when_it_shut_makes_no_pause_longer() -> None:
    brake = Brake(8)
    shut(brake, 10.0)
    for _ in range(3):
        brake.note_failure(9.0, 10.1, MIDDLE)
    assert brake.rests_until == 11.0


def test_the_first_that_is_taken_opens_it_and_each_doubles_the_width() -> None:
    brake = Brake(8)
    shut(brake)
    widths = []
    assert brake.note_taken(math.inf)
    for _ in range(4):
        widths.append(brake.room(0, brake.rests_until))
        assert not brake.note_taken(math.inf)
    assert widths == [2, 4, 8, 8]


def test_pauses_begin_with_a_second_again_once_it_was_open() -> None:
    brake = Brake(8)
    shut(brake)
    for now in (1.0, 3.0, 7.0):
        brake.note_failure(now, now, MIDDLE)
    brake.note_taken(math.inf)
    shut(brake, 100.0)
    assert brake.rests_until == 101.0


def test_a_rest_that_a_receiver_asks_for_is_kept_by_all_and_outlives_what_is_taken() -> None:
    brake = Brake(8)
    brake.note_failure(0.0, 0.0, MIDDLE, asked=30.0)
    assert not brake.note_taken(math.inf)
    assert (brake.room(0, 29.9), brake.room(0, 30.0)) == (0, 8)


def test_what_began_before_it_shut_and_is_taken_opens_nothing() -> None:
    brake = Brake(8)
    shut(brake, 10.0)
    assert not brake.note_taken(9.0)
    assert (brake.is_shut, brake.room(0, 10.9), brake.room(0, 11.0)) == (True, 0, 1)
    assert brake.note_taken(11.0)
    assert brake.room(0, 11.0) == 2


def test_a_rest_that_was_asked_for_while_the_one_that_opens_it_was_under_way_is_kept() -> None:
    brake = Brake(8)
    shut(brake, 10.0)
    brake.note_failure(9.0, 11.1, MIDDLE, asked=60.0)
    assert brake.note_taken(11.0)
    assert (brake.room(0, 71.0), brake.room(0, 71.1)) == (0, 2)


def test_the_longer_of_both_waits_counts() -> None:
    brake = Brake(8)
    shut(brake)
    brake.note_failure(1.0, 1.0, MIDDLE, asked=0.5)
    assert brake.rests_until == 3.0


def test_a_receiver_that_is_gone_is_tried_once_an_hour_until_it_takes_one() -> None:
    brake = Brake(8)
    assert brake.note_failure(0.0, 0.0, MIDDLE, gone=True)
    assert (brake.room(0, 3599.0), brake.room(0, 3600.0)) == (0, 1)
    assert brake.note_taken(math.inf)
    assert brake.room(0, 3600.0) == 2
