"""Calls that may hang, such as an fsync or a look at a name."""

from __future__ import annotations

import threading

import pytest

from smsstatus.bounded import Bounded


def test_while_a_call_hangs_the_next_of_its_kind_is_refused_at_once() -> None:
    goes_on = threading.Event()
    bounded = Bounded(0.1, "the disk")
    try:
        with pytest.raises(TimeoutError, match=r"the disk in 0\.1 s"):
            bounded.call("write", goes_on.wait, 60)
        bounded.seconds = 60.0
        with pytest.raises(TimeoutError):
            bounded.call("write", int)
        assert bounded.call("read", int) == 0
    finally:
        goes_on.set()


def test_who_had_less_time_does_not_have_the_next_call_refused() -> None:
    """Else a page that has no time left would send callbacks to the spool."""
    goes_on = threading.Event()
    bounded = Bounded(60.0, "the resolver")
    try:
        assert bounded.call_all({"a name": lambda: goes_on.wait(60)}, at_most=0) == {}
        assert bounded.call("a name", int) == 0
    finally:
        goes_on.set()
