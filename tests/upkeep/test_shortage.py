"""For how long runs come back to where Plivo counts more messages than it lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from smsstatus.model import timestamp
from smsstatus.store.runs import Outage
from smsstatus.upkeep.caretaker import beat
from smsstatus.upkeep.shortage import PATIENT, Short, Shortage

from .conftest import Process, Start


@pytest.fixture
def process(start: Start) -> Process:
    return start()


@pytest.fixture
def outage(process: Process) -> Outage:
    """Hours ago its list was short for the first time."""
    beat(process.store, process.clock)
    (outage,) = process.store.runs.outages(1)
    waits(process, outage)
    process.clock.turn(PATIENT.total_seconds())
    return outage


def waits(process: Process, outage: Outage) -> None:
    with pytest.raises(Short, match="counts 3 that it does not list"):
        Shortage(process, outage).wait(3)


def further(outage: Outage, hours: int = 1) -> Outage:
    """Listed that much further, by a run that has ended."""
    at = datetime.fromisoformat(outage.since) + timedelta(hours=hours)
    return replace(outage, listed_until=timestamp(at))


def test_where_it_was_short_for_hours_it_is_given_up_with_all_that_comes_after(
    process: Process, outage: Outage
) -> None:
    shortage = Shortage(process, outage)
    shortage.wait(3)
    for hours in (1, 2):
        shortage.go_on(further(outage, hours).listed_until)
        shortage.wait(3)
    Shortage(process, further(outage, 2)).wait(3)  # the next run goes on there


def test_where_it_was_not_short_before_it_is_waited_for(process: Process, outage: Outage) -> None:
    waits(process, further(outage))  # meanwhile another run came past that
    process.clock.turn(PATIENT.total_seconds() - 1)
    waits(process, further(outage))
    process.clock.turn(1)
    Shortage(process, further(outage)).wait(3)


def test_what_is_listed_whole_at_last_leaves_no_impatience(
    process: Process, outage: Outage
) -> None:
    shortage = Shortage(process, outage)
    shortage.go_on(further(outage).listed_until)
    with pytest.raises(Short):
        shortage.wait(3)


def test_a_clock_that_was_ahead_makes_nobody_wait_longer(process: Process, outage: Outage) -> None:
    process.clock.turn(-10 * PATIENT.total_seconds())
    waits(process, outage)
    process.clock.turn(PATIENT.total_seconds())
    Shortage(process, outage).wait(3)


def test_messages_that_were_written_meanwhile_are_counted_once_it_goes_on(
    process: Process, outage: Outage
) -> None:
    shortage = Shortage(process, further(outage))
    shortage.missed += 5
    with pytest.raises(Short):
        shortage.wait(3)
    again = Shortage(process, further(outage))
    assert again.missed == 5
    again.go_on(further(outage, 2).listed_until)
    assert again.missed == 0
