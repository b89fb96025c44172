"""When the store is tried again after a failure, by a clock in the test's hand."""

from __future__ import annotations

import pytest

from smsstatus.store.breaker import Breaker, log
from smsstatus.store.contract import StoreUnavailable

REST = 10.0


class Clock:
    """Stands still until somebody turns it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, REST)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_nothing_is_known_against_a_new_store(breaker: Breaker) -> None:
    assert breaker.failure is None


def test_it_knows_before_it_says_so_as_a_log_can_be_slow(
    breaker: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[str | None] = []

    def say(*about: object) -> None:
        known.append(breaker.failure)

    monkeypatch.setattr(log, "error", say)
    monkeypatch.setattr(log, "warning", say)
    breaker.note_failure("the disk is full")
    breaker.note_success()
    assert known == ["the disk is full", None]


def test_after_a_failure_nobody_tries_before_the_rest_is_over(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.note_failure("the disk is full")
    clock.now += REST - 0.001
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        breaker.try_again()


def test_then_one_caller_in_each_rest_tries(breaker: Breaker, clock: Clock) -> None:
    breaker.note_failure("the disk is full")
    for _ in range(3):
        clock.now += REST
        breaker.try_again()
        with pytest.raises(StoreUnavailable):
            breaker.try_again()


def test_a_trial_that_fails_begins_another_rest(breaker: Breaker, clock: Clock) -> None:
    breaker.note_failure("the disk is full")
    clock.now += REST
    breaker.try_again()
    clock.now += REST / 2
    breaker.note_failure("the disk is full")
    clock.now += REST / 2
    with pytest.raises(StoreUnavailable):
        breaker.try_again()


def test_a_reason_is_logged_once_and_again_when_it_changes(
    breaker: Breaker, caplog: pytest.LogCaptureFixture
) -> None:
    for reason in ("full", "full", "gone", "full"):
        breaker.note_failure(reason)
    line = "store is not writable, callbacks go to the spool: "
    assert said(caplog) == [("ERROR", line + reason) for reason in ("full", "gone", "full")]


def test_a_success_lets_everybody_through_and_is_logged_where_it_is_news(
    breaker: Breaker, caplog: pytest.LogCaptureFixture
) -> None:
    breaker.note_success()
    breaker.note_failure("full")
    breaker.note_success()
    breaker.note_success()
    assert breaker.failure is None
    assert said(caplog)[1:] == [("WARNING", "store is writable again")]


def test_a_success_ends_the_rest_of_the_failure_before_it(breaker: Breaker) -> None:
    """Another thread may note it between a caller's look at `failure` and its trial."""
    breaker.note_failure("full")
    breaker.note_success()
    breaker.try_again()
