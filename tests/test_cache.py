"""What costs something to find out is found out once for all who ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from smsstatus.cache import Cache

from .clock import HandClock

WAIT = 60


def young(value: str, age: float) -> bool:
    return age < 5


class Slow:
    """Finds a value out, but not before it is let go."""

    def __init__(self, value: str) -> None:
        self.started, self.let_go = threading.Event(), threading.Event()
        self._value = value

    def __call__(self) -> str:
        self.started.set()
        assert self.let_go.wait(WAIT)
        return self._value


def never() -> str:
    raise AssertionError("this is known already")


def get(cache: Cache[str], clock: HandClock, find: Callable[[], str]) -> str:
    return cache.get(clock, find, young)


def test_a_value_is_found_out_again_once_it_is_good_no_longer() -> None:
    cache, clock = Cache[str](), HandClock()
    assert get(cache, clock, lambda: "first") == "first"
    clock.turn(4.9)
    assert get(cache, clock, never) == "first"
    clock.turn(0.1)
    assert get(cache, clock, lambda: "second") == "second"


def test_an_error_is_raised_and_the_value_of_before_stays() -> None:
    cache, clock = Cache[str](), HandClock()
    get(cache, clock, lambda: "first")
    with pytest.raises(AssertionError):
        cache.get(clock, never, lambda value, age: False)
    assert get(cache, clock, never) == "first"


def test_while_one_finds_out_others_get_the_value_of_before() -> None:
    cache, clock, slow = Cache[str](stale=100), HandClock(), Slow("second")
    get(cache, clock, lambda: "first")
    clock.turn(99)
    with ThreadPoolExecutor() as threads:
        finder = threads.submit(get, cache, clock, slow)
        assert slow.started.wait(WAIT)
        assert get(cache, clock, never) == "first"
        slow.let_go.set()
        assert finder.result(WAIT) == "second"


@pytest.mark.parametrize("before", ["nothing", "something stale"])
def test_they_wait_where_there_is_none_or_a_stale_one(before: str) -> None:
    cache, clock, slow = Cache[str](stale=100), HandClock(), Slow("second")
    if before == "something stale":
        get(cache, clock, lambda: "first")
        clock.turn(101)
    with ThreadPoolExecutor() as threads:
        finder = threads.submit(get, cache, clock, slow)
        assert slow.started.wait(WAIT)
        other: Future[str] = threads.submit(get, cache, clock, never)
        slow.let_go.set()
        assert (finder.result(WAIT), other.result(WAIT)) == ("second", "second")
