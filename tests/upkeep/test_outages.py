"""After an outage every message that Plivo lists has a row with Plivo's state, by itself."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle, pairwise
from typing import Any

import pytest

from smsstatus.model import StatusUpdate, timestamp
from smsstatus.plivo.api import PlivoError
from smsstatus.store.contract import Filters
from smsstatus.store.runs import Run
from smsstatus.upkeep import tasks
from smsstatus.upkeep.caretaker import beat
from smsstatus.upkeep.listing import PASSES, PATIENT, SLICE, TROUBLES
from smsstatus.upkeep.reconcile import ask_about, asked_within, update_from_api
from smsstatus.upkeep.state import state_of

from ..plivo_api import Reply
from ..store.conftest import write
from ..store.updates import at, update_of
from .conftest import EVERY, Process, Start
from .plivo_list import PlivoList, Tamper

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LONG_AGO = "2000-01-01T00:00:00.000000Z"
STATES = ("delivered", "undelivered", "failed", "sent", "queued")


def sent_meanwhile(plivo_list: PlivoList, count: int, hours: float) -> None:
    """Time passes, and others send messages all along, some of them at the same moment."""
    chance = random.Random(18)
    began = plivo_list.clock.now()
    for number in range(count):
        sent_at = began + HOUR * hours * chance.random()
        if number % 10 == 0:
            sent_at = began + HOUR * hours / 2
        plivo_list.send(number, sent_at, STATES[number % len(STATES)])
    plivo_list.clock.turn(hours * 3600)


def truth(plivo_list: PlivoList) -> dict[str, str]:
    return {
        message_uuid: row["message_state"]
        for message_uuid, row in plivo_list.messages.items()
        if row["message_direction"] == "outbound"
    }


def up(start: Start) -> Process:
    """A service that has been up for an hour, so that nothing is left to be listed."""
    process = start()
    process.live(HOUR)
    return process


@pytest.mark.parametrize("count", [150])
def test_nothing_is_unknown_after_an_outage(
    start: Start, plivo_list: PlivoList, count: int, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--fault-rounds") == "full":
        count = 3000
    up(start)
    sent_meanwhile(plivo_list, count, 6)
    plivo_list.send(count, plivo_list.clock.now() - HOUR, inbound=True)
    process = start()
    process.live(2 * HOUR)
    assert process.states() == truth(plivo_list)
    assert plivo_list.refused == 0
    newest = process.store.runs.outages(1)[0]
    assert newest.missed == count
    assert not process.store.list(Filters(since=newest.until), 1).messages, "of when they were sent"
    assert process.is_done()
    pages = plivo_list.pages
    process.live(HOUR)
    assert plivo_list.pages == pages  # it is listed once


def test_the_first_start_looks_at_the_day_before(start: Start, plivo_list: PlivoList) -> None:
    now = plivo_list.clock.now()
    known = plivo_list.send(1, now - 23 * HOUR)
    plivo_list.send(2, now - 30 * HOUR)
    process = start()
    process.live(HOUR)
    assert process.states() == {known: "delivered"}


def test_what_plivo_keeps_no_longer_is_not_asked_for(start: Start, plivo_list: PlivoList) -> None:
    up(start)
    plivo_list.clock.turn(100 * DAY.total_seconds())
    known = plivo_list.send(1, plivo_list.clock.now() - 80 * DAY)
    process = start()
    process.live(2 * HOUR)  # the stand-in refuses times before the 90 days
    assert process.states() == {known: "delivered"}


def test_a_short_absence_is_left_to_plivos_retries(start: Start, plivo_list: PlivoList) -> None:
    up(start)
    pages = plivo_list.pages
    plivo_list.clock.turn(30)
    start().live(HOUR)
    assert plivo_list.pages == pages


class Trouble:
    """Every third request meets the next thing that can go wrong while Plivo lists.

    Rows can repeat or move only where there is a second page: that waits for one.
    """

    def __init__(self, plivo_list: PlivoList) -> None:
        self.plivo_list = plivo_list
        self.chance = random.Random(18)
        self.kinds = {
            "429": Reply(429, {"error": "slow down"}, {"Retry-After": "17"}),
            "429 without a time": Reply(429, b""),
            "500": Reply(500, {"error": "internal"}),
            "HTML": Reply(200, b"<html>"),
            "null": Reply(200, None),
            "a list": Reply(200, []),
            "nothing": Reply(200, {}, hang_up_after=-1),
            "cut short": Reply(200, {"meta": {"total_count": 3}, "objects": []}, hang_up_after=9),
        }
        self.seen: set[str] = set()
        self.pauses: list[float] = []
        self._turns = cycle([*self.kinds, "repeat", "move"])
        self._kind = next(self._turns)
        self._paused_at: float | None = None

    def __call__(self, number: int, rows: list[dict[str, Any]]) -> Reply | None:
        now = self.plivo_list.clock.elapsed
        if self._paused_at is not None:
            self.pauses.append(now - self._paused_at)
            self._paused_at = None
        kind = self._kind
        if number % 3 or (kind in ("repeat", "move") and not self._is_second_page(rows)):
            return None
        self.seen.add(kind)
        self._kind = next(self._turns)
        if kind == "repeat":
            rows[20:23] = rows[17:20]
        elif kind == "move":
            self.chance.shuffle(rows)
        elif kind == "429":
            self._paused_at = now
        return self.kinds.get(kind)

    def _is_second_page(self, rows: list[dict[str, Any]]) -> bool:
        return self.plivo_list.offset == 20 and 23 <= len(rows) <= SLICE


def test_whatever_goes_wrong_nothing_is_lost_or_doubled(
    start: Start, plivo_list: PlivoList
) -> None:
    up(start)
    sent_meanwhile(plivo_list, 400, 3)
    plivo_list.tamper = trouble = Trouble(plivo_list)
    process = start()
    process.live(MINUTE)
    for _ in range(48):
        if not process.is_done():
            process.live(30 * MINUTE)
    assert trouble.seen >= {*trouble.kinds, "repeat", "move"}
    assert min(trouble.pauses) >= 17
    assert process.states() == truth(plivo_list)
    assert process.store.runs.outages(1)[0].missed == 400


def same_in_a_callback(
    plivo_list: PlivoList, message_uuid: str, age: timedelta = HOUR, **more: str
) -> StatusUpdate:
    """The callback with Plivo's state of that message, an hour old; Plivo's own time is later."""
    row = plivo_list.messages[message_uuid]
    fields = {"From": row["from_number"], "To": row["to_number"], "Units": "1"}
    fields |= {"TotalAmount": row["total_amount"], **more}
    update = update_of(at(row["message_state"], MessageUUID=message_uuid, **fields))
    received_at = timestamp(plivo_list.clock.now() - age)
    earlier = timestamp(plivo_list.clock.now() - age - DAY)
    return update._replace(received_at=received_at, status_timestamp=earlier)


def run_of(process: Process) -> Run:
    """The last one of `reconcile`."""
    (run,) = [run for run in process.store.runs.last() if run.task == "reconcile"]
    return run


def counted(process: Process) -> str:
    return "\n".join(process.metrics.message_lines())


def empty(count: int) -> Tamper:
    """From now on so many answers, 20 a minute at most, count messages and list none."""
    left = [count]

    def answer(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        left[0] -= bool(rows)
        if not rows or left[0] < 0:
            return None
        return Reply(200, {"meta": {"total_count": len(rows)}, "objects": []})

    return answer


def state_left_out(count: int) -> Tamper:
    """So many answers have rows without a state."""
    left = [count]

    def answer(number: int, rows: list[dict[str, Any]]) -> None:
        left[0] -= bool(rows)
        if left[0] >= 0:
            rows[:] = [{**row, "message_state": None} for row in rows]

    return answer


@pytest.mark.parametrize(
    ("tamper", "count"), [(empty, 8), (empty, 20), (state_left_out, 1), (state_left_out, 20)]
)
def test_a_list_that_is_bad_for_a_while_loses_nothing(
    start: Start, plivo_list: PlivoList, tamper: Callable[[int], Tamper], count: int
) -> None:
    process = up(start)
    sent_meanwhile(plivo_list, 60, 6)
    plivo_list.tamper = tamper(count)
    process.live(3 * MINUTE)
    is_ok = count == 1  # the next request, in the same run, lists all
    assert (run_of(process).is_ok, process.is_done()) == (is_ok, is_ok)
    for _ in range(4):
        process.live(20 * MINUTE)
    assert process.states() == truth(plivo_list)
    assert process.store.runs.outages(1)[0].missed == 60
    assert process.is_done()
    assert run_of(process).is_ok
    assert 'result="absent"} 0' in counted(process)


def test_rows_that_are_no_messages_keep_nothing_from_being_listed(
    start: Start, plivo_list: PlivoList, caplog: pytest.LogCaptureFixture
) -> None:
    """All that can be read is written at once, and the rest is waited for some hours."""
    up(start)
    sent_meanwhile(plivo_list, 60, 1)

    def add(number: int, rows: list[Any]) -> None:
        if rows:
            rows[:0] = [{"message_uuid": None, "message_state": "sent"}, {"message_state": "sent"}]
            rows.extend((5, None))

    plivo_list.tamper = add
    process = start()
    process.live(MINUTE)
    assert process.states() == truth(plivo_list)
    assert "rows of Plivo's list cannot be read: one without a message UUID" in caplog.text
    assert not process.is_done()
    assert not run_of(process).is_ok
    process.look_after(PATIENT + 2 * HOUR)
    assert process.is_done()
    assert process.store.runs.outages(1)[0].missed == 60
    assert run_of(process).is_ok


@pytest.mark.parametrize("field", ["message_state", "error_code", "to_number", "units"])
@pytest.mark.parametrize("value", ["1\0", "1\ud800"], ids=ascii)
def test_what_not_every_store_holds_is_not_understood(
    plivo_list: PlivoList, field: str, value: str
) -> None:
    message_uuid = plivo_list.send(1, plivo_list.clock.now())
    answer = {**plivo_list.messages[message_uuid], field: value}
    with pytest.raises(PlivoError):
        update_from_api(message_uuid, answer, timestamp(plivo_list.clock.now()))


@pytest.mark.parametrize("is_ever_legible", [True, False])
@pytest.mark.parametrize(("field", "value"), [("message_state", None), ("from_number", "1\0")])
def test_one_odd_row_keeps_no_other_message_of_its_outage_from_being_known(
    start: Start, plivo_list: PlivoList, field: str, value: object, *, is_ever_legible: bool
) -> None:
    up(start)
    odd, *others = [
        plivo_list.send(hour, plivo_list.clock.now() + hour * HOUR) for hour in range(8)
    ]
    legible = plivo_list.messages[odd]
    plivo_list.messages[odd] = {**legible, field: value}
    plivo_list.clock.turn(8 * HOUR.total_seconds())
    process = start()
    process.live(MINUTE)
    assert process.states() == dict.fromkeys(others, "delivered")
    (short,) = process.store.runs.unlisted(LONG_AGO)
    (newest, _) = state_of(process, 5).outages
    assert (newest.missed, newest.listed_until) == (7, short.listed_until)
    assert 0 < state_of(process, 5).seconds_behind(process.clock.now()) <= 2 * HOUR.total_seconds()
    process.look_after(PATIENT - HOUR, every=EVERY)
    assert not process.is_done()
    if is_ever_legible:
        plivo_list.messages[odd] = legible
    found: list[Run] = []
    while not process.is_done():
        process.look_after(MINUTE, every=60)
        found.append(run_of(process))
    assert found[-1].is_ok == is_ever_legible
    assert f'result="absent"}} {1 - is_ever_legible}' in counted(process)
    assert f'result="listed"}} {7 + is_ever_legible}' in counted(process)
    assert f'result="missed"}} {7 + is_ever_legible}' in counted(process)
    assert process.store.runs.outages(1)[0].missed == 7 + is_ever_legible
    assert process.store.runs.unlisted(LONG_AGO) == []
    assert [run.task for run in process.store.runs.last()] == ["reconcile"]


def test_what_more_can_be_read_of_a_short_list_is_known_in_the_next_run(
    start: Start, plivo_list: PlivoList
) -> None:
    up(start)
    for number in range(3):
        plivo_list.send(number, plivo_list.clock.now() + MINUTE)
    first, second, _ = plivo_list.messages.values()
    first["message_state"] = second["message_state"] = None
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    process = start()
    process.live(MINUTE)
    first["message_state"] = "delivered"
    process.look_after(HOUR, every=EVERY)
    assert (len(process.states()), process.is_done()) == (2, False)
    assert 'result="listed"} 2' in counted(process)
    assert process.store.runs.outages(1)[0].missed == 2


def test_parts_that_are_waited_for_come_after_all_else_and_once_in_a_run(
    start: Start, plivo_list: PlivoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is time for one slice in a run. What is given up does not wait for later runs."""
    up(start)
    plivo_list.counted_too = 1
    sent_meanwhile(plivo_list, 3, 3)
    process = start()
    process.live(MINUTE)
    monkeypatch.setattr(tasks, "LISTING_SECONDS", 1.0)
    process.clock.turn(EVERY)
    pages = plivo_list.pages
    process.look_after(EVERY * timedelta(seconds=1), every=15)
    assert plivo_list.pages == pages + 1
    assert "3 outages left" in run_of(process).found
    process.clock.turn(PATIENT.total_seconds())
    process.look_after(4 * MINUTE, every=15)
    assert process.is_done()
    assert 'result="absent"} 3' in counted(process)


def test_an_outage_comes_before_parts_of_others(
    start: Start, plivo_list: PlivoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = up(start)
    plivo_list.counted_too = 1
    sent_meanwhile(plivo_list, 3, 1)
    process.live(HOUR)
    newest = plivo_list.send(3, plivo_list.clock.now() + MINUTE)
    plivo_list.clock.turn(HOUR.total_seconds())
    beat(process.store, process.clock)
    monkeypatch.setattr(tasks, "LISTING_SECONDS", 1.0)  # for one slice
    process.timetable.look()
    assert newest in process.states()
    later, earlier, _ = state_of(process, 5).outages
    assert earlier.listed_until < earlier.since
    assert later.listed_until > earlier.until, "its own parts alone are not known"


def test_a_clock_that_was_ahead_makes_nobody_wait_longer(
    start: Start, plivo_list: PlivoList
) -> None:
    process = up(start)
    plivo_list.counted_too = 1
    sent_meanwhile(plivo_list, 3, 1)
    beat(process.store, process.clock)
    process.clock.turn(30 * DAY.total_seconds())
    process.timetable.look()
    assert not process.is_done()
    process.clock.turn(-30 * DAY.total_seconds())
    process.look_after(HOUR, every=EVERY)
    assert process.is_done()


def test_a_clock_that_is_put_back_makes_no_outage_of_a_part(
    start: Start, plivo_list: PlivoList
) -> None:
    process = up(start)
    sent_meanwhile(plivo_list, 3, 1)
    beat(process.store, process.clock)
    asked: list[int] = []

    def put_back(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        asked.append(number)
        if len(asked) == PASSES:
            process.clock.turn(-2 * HOUR.total_seconds())
        return Reply(200, {"meta": {"total_count": 9}, "objects": rows})

    plivo_list.tamper = put_back
    process.timetable.look()
    assert len(process.store.runs.outages(9)) == 2
    assert all(part.is_short for part in process.store.runs.unlisted(LONG_AGO))


def test_a_count_that_is_never_reached_stops_nothing_and_is_told(
    start: Start, plivo_list: PlivoList, caplog: pytest.LogCaptureFixture
) -> None:
    """Of each slice Plivo counts one more than it lists; another outage comes after this one."""
    up(start)
    plivo_list.counted_too = 1
    sent_meanwhile(plivo_list, 150, 1)
    process = start()
    process.live(10 * MINUTE)
    assert process.states() == truth(plivo_list)
    slices = process.store.runs.unlisted(LONG_AGO)
    assert len(slices) > 2
    plivo_list.send(150, plivo_list.clock.now() + HOUR)
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    beat(process.store, process.clock)
    process.look_after(MINUTE, every=15)
    assert process.states() == truth(plivo_list)
    process.look_after(PATIENT - 2 * HOUR)
    assert {*process.store.runs.unlisted(LONG_AGO)} > {*slices}
    caplog.clear()
    found: list[Run] = []
    while not process.is_done():
        process.look_after(MINUTE, every=60)
        found.append(run_of(process))
    assert not any(run.is_ok for run in found)
    assert re.search(r"\d counted by Plivo but not listed", found[-1].found)
    told = [record.levelname for record in caplog.records if "are 1 more" in record.getMessage()]
    assert f'result="absent"}} {told.count("WARNING")}' in counted(process)
    assert told.count("WARNING") > len(slices)
    assert [outage.missed for outage in process.store.runs.outages(2)] == [1, 150]
    process.look_after(HOUR, every=EVERY)
    assert run_of(process).is_ok


def test_an_outage_is_listed_however_many_came_later(start: Start, plivo_list: PlivoList) -> None:
    process = start()
    sent = plivo_list.send(1, plivo_list.clock.now() - HOUR)
    for _ in range(120):
        beat(process.store, process.clock)
        process.clock.turn(600)
    process.timetable.look()
    assert process.states() == {sent: "delivered"}


@pytest.mark.parametrize(
    ("failure", "pause"),
    [(Reply(500, {"error": "internal"}), 0), (Reply(503, {}, {"Retry-After": "20"}), 20)],
)
def test_an_outage_that_plivo_fails_on_keeps_no_other_one_from_being_listed(
    start: Start, plivo_list: PlivoList, failure: Reply, pause: float
) -> None:
    """Of one slice of the first of three Plivo's list is always an error."""
    process = up(start)
    for outage in range(3):
        for number in range(20):
            plivo_list.send(outage * 20 + number, plivo_list.clock.now() + number * 6 * MINUTE)
        plivo_list.clock.turn(2 * HOUR.total_seconds())
        for _ in range(30):
            beat(process.store, process.clock)
            plivo_list.clock.turn(60)
    poison = f"{10:08x}-0000-4000-8000-000000000000"
    met: list[float] = []
    after: list[float] = []

    def fail(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        if len(met) == TROUBLES:
            after.append(plivo_list.clock.elapsed)
        if poison not in [row["message_uuid"] for row in rows]:
            return None
        met.append(plivo_list.clock.elapsed)
        return failure

    plivo_list.tamper = fail
    process.timetable.look()
    (run,) = process.store.runs.last()
    assert not run.is_ok
    assert ", 1 outage left; " in run.found
    assert "trouble with an outage: Plivo has trouble" in run.found
    assert len(met) == TROUBLES
    assert after[0] - met[-1] >= pause
    of_others = {name: state for name, state in truth(plivo_list).items() if int(name[:8], 16) > 19}
    assert of_others.items() <= process.states().items()
    newest, second, first = process.store.runs.outages(3)
    assert (newest.missed, second.missed, first.listed_until < first.until) == (20, 20, True)
    process.live(HOUR)
    assert len(met) > TROUBLES  # it is come back to, in runs that are as far apart as ever
    assert met[TROUBLES] - met[TROUBLES - 1] > EVERY / 2
    plivo_list.tamper = lambda number, rows: None
    process.live(HOUR)
    assert process.states() == truth(plivo_list)
    assert [outage.missed for outage in process.store.runs.outages(3)] == [20, 20, 20]
    assert plivo_list.refused == 0


def test_of_a_second_with_more_messages_than_a_run_has_time_for_all_are_known(
    start: Start, plivo_list: PlivoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LISTING_SECONDS", 30.0)
    process = up(start)
    sent_at = plivo_list.clock.now() + HOUR
    for number in range(300):
        plivo_list.send(number, sent_at)
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    process.live(10 * MINUTE)
    assert process.states() == truth(plivo_list)


def test_of_a_second_with_many_messages_each_page_is_kept_and_told(
    start: Start, plivo_list: PlivoList
) -> None:
    """One page in the middle fails for a while; then all is listed."""
    process = up(start)
    sent_at = plivo_list.clock.now() + HOUR
    for number in range(200):
        plivo_list.send(number, sent_at)
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    beat(process.store, process.clock)
    told: list[str] = []

    def fail(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        (run,) = process.store.runs.last()
        told.append(run.found)
        return Reply(500, {}) if plivo_list.offset == 140 else None

    plivo_list.tamper = fail
    process.timetable.look()
    assert process.states().items() < truth(plivo_list).items()
    assert len(process.states()) == 140
    so_far = [re.search(r"; of one second (\d+) of 200$", text) for text in told]
    counts = [int(match[1]) for match in so_far if match]
    assert counts == sorted(counts)
    assert len(set(counts)) > 1  # every few seconds
    plivo_list.tamper = lambda number, rows: None
    process.live(HOUR)
    assert process.states() == truth(plivo_list)
    assert process.is_done()


def test_a_second_whose_list_repeats_itself_without_end_keeps_nothing_else_waiting(
    start: Start, plivo_list: PlivoList
) -> None:
    process = up(start)
    odd, later = (plivo_list.send(hour, plivo_list.clock.now() + hour * HOUR) for hour in (1, 2))
    plivo_list.clock.turn(3 * HOUR.total_seconds())
    beat(process.store, process.clock)
    is_odd = False

    def go_on(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        nonlocal is_odd
        if plivo_list.offset == 0:
            is_odd = any(row["message_uuid"] == odd for row in rows)
        if not is_odd or number > 500:
            return None
        page = [plivo_list.messages[odd]] * 20
        return Reply(200, {"meta": {"total_count": 1_000_000}, "objects": page})

    plivo_list.tamper = go_on
    began = process.clock.elapsed
    process.timetable.look()
    assert process.clock.elapsed - began < tasks.LISTING_SECONDS + 60
    assert set(process.states()) == {odd}
    process.clock.turn(60)
    process.timetable.look()
    assert set(process.states()) == {odd, later}


def test_what_came_in_one_second_is_counted_once(start: Start, plivo_list: PlivoList) -> None:
    process = up(start)
    sent_at = plivo_list.clock.now() + HOUR
    for number in range(150):
        plivo_list.send(number, sent_at)
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    plivo_list.counted_too = 1  # so each second is listed several times
    process.live(2 * MINUTE)
    process.look_after(PATIENT + 2 * HOUR)
    (newest,) = process.store.runs.outages(1)
    assert newest.missed == len(process.states()) == 150


def test_a_pause_that_plivo_asks_for_comes_before_silent_messages_are_asked_about(
    start: Start, plivo_list: PlivoList
) -> None:
    plivo_list.send(1, plivo_list.clock.now() - HOUR, "sent")
    process = start()
    process.live(MINUTE)
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    beat(process.store, process.clock)
    met: list[float] = []

    def fail(number: int, rows: list[dict[str, Any]]) -> Reply:
        met.append(plivo_list.clock.elapsed)
        return Reply(503, {}, {"Retry-After": "20"})

    plivo_list.tamper = fail
    plivo_list.gets.clear()
    process.timetable.look()
    assert len(met) == TROUBLES
    assert plivo_list.gets[0] - met[-1] >= 20


@pytest.mark.parametrize("refusal", [Reply(401, {}), Reply(503, {}, {"Retry-After": "3000"})])
def test_what_plivo_refuses_for_all_is_asked_of_one_outage_alone(
    start: Start, plivo_list: PlivoList, refusal: Reply
) -> None:
    process = start()
    for _ in range(3):
        beat(process.store, process.clock)
        process.clock.turn(3600)
    plivo_list.tamper = lambda number, rows: refusal
    process.timetable.look()
    assert plivo_list.pages == 1
    (run,) = process.store.runs.last()
    assert "3 outages left; no silent ones asked about; stopped: " in run.found


def test_a_pause_that_plivo_asks_for_is_kept_by_all(start: Start, plivo_list: PlivoList) -> None:
    up(start)
    sent_meanwhile(plivo_list, 1, 1)
    plivo_list.tamper = lambda number, rows: Reply(429, b"", {"Retry-After": "7000"})
    pages = plivo_list.pages
    one, other = start(), start()
    one.live(HOUR)
    other.live(50 * MINUTE)
    assert plivo_list.pages == pages + 1
    plivo_list.tamper = lambda number, rows: None
    other.live(HOUR)
    assert other.states() == truth(plivo_list)


def test_a_run_that_ends_in_the_middle_is_gone_on_with(
    start: Start, plivo_list: PlivoList, standin: Any
) -> None:
    """The credentials are refused for a while: the next run begins after what was noted."""
    up(start)
    sent_meanwhile(plivo_list, 3 * SLICE, 5)
    seen: list[int] = []

    def refuse(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        seen.append(len(rows))
        return Reply(401, {"error": "no"}) if len(seen) > 10 else None

    plivo_list.tamper = refuse
    process = start()
    process.live(10 * MINUTE)
    before = process.store.runs.outages(1)[0]
    assert before.since < before.listed_until < before.until
    known = len(process.states())
    assert known == before.missed > 0
    (run,) = process.store.runs.last()
    assert not run.is_ok
    assert "PLIVO_AUTH_TOKEN" in run.found
    plivo_list.tamper = lambda number, rows: None
    process.live(HOUR)
    assert process.states() == truth(plivo_list)
    assert process.store.runs.outages(1)[0].missed == 3 * SLICE


def test_what_was_sent_before_a_long_outage_is_asked_about_after_it(
    start: Start, plivo_list: PlivoList
) -> None:
    """Listing does not reach back so far, and most messages of that age are asked about no more."""
    process = up(start)
    sent = plivo_list.send(1, plivo_list.clock.now(), "sent")
    received_at = timestamp(plivo_list.clock.now())
    write(process.store, [update_of(at("sent", MessageUUID=sent), received_at)])
    process.live(20 * MINUTE)
    assert process.states() == {sent: "sent"}
    plivo_list.messages[sent]["message_state"] = "delivered"
    plivo_list.clock.turn(8 * DAY.total_seconds())
    start().live(HOUR)
    assert process.states() == {sent: "delivered"}


def test_the_time_of_outages_counts_for_as_long_as_others_are_asked_about(
    start: Start, plivo_list: PlivoList
) -> None:
    process = up(start)
    clock = process.clock

    def days() -> float:
        return round(asked_within(process) / DAY, 2)

    assert days() == 8  # with that before the first start
    for outage in (3 * DAY, 2 * DAY):
        clock.turn(outage.total_seconds())
        beat(process.store, clock)
    assert days() == 13
    clock.turn(6 * DAY.total_seconds())
    assert days() == 9
    clock.turn((DAY + MINUTE).total_seconds())
    assert days() == 7
    beat(process.store, clock)
    clock.turn(1000 * DAY.total_seconds())
    beat(process.store, clock)
    assert days() == 90
    clock.turn(-1000 * DAY.total_seconds())
    assert days() == 14


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("unknown", ["From", "To", "Units", "TotalAmount"])
def test_what_only_plivos_answer_says_of_a_message_is_kept(
    start: Start, plivo_list: PlivoList, unknown: str, *, is_listed: bool
) -> None:
    process = up(start)
    sent = plivo_list.send(1, plivo_list.clock.now(), "delivered")
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    write(process.store, [same_in_a_callback(plivo_list, sent, **{unknown: ""})])
    if is_listed:
        beat(process.store, process.clock)
        process.timetable.look()
        assert run_of(process).found.startswith("1 listed, 0 of them missed; ")
    else:
        assert not ask_about(process, sent).is_changed, "its status is the same"
    message = process.store.find(sent)
    assert message
    assert (message.sender_number, message.recipient_number) == ("14155550100", "14155550001")
    assert (message.units, message.amount) == (1, 7500)


def test_an_answer_that_says_the_same_is_not_written(start: Start, plivo_list: PlivoList) -> None:
    process = up(start)
    sent = plivo_list.send(1, plivo_list.clock.now(), "undelivered")
    write(process.store, [same_in_a_callback(plivo_list, sent, ErrorCode="30")])
    before = process.store.find(sent)
    assert not ask_about(process, sent).is_changed
    assert process.store.find(sent) == before
    plivo_list.messages[sent]["error_code"] = "40"
    assert ask_about(process, sent).is_changed


@pytest.mark.parametrize("knows", ["the list", "a callback"])
def test_silent_messages_are_asked_about_less_and_less_often(
    start: Start, plivo_list: PlivoList, knows: str
) -> None:
    """Plivo's answers say the same, with a time that can be later than the callback's."""
    process = up(start) if knows == "a callback" else start()
    sent = plivo_list.send(1, plivo_list.clock.now() - HOUR, "sent")
    if knows == "a callback":
        write(process.store, [same_in_a_callback(plivo_list, sent, 0 * HOUR)])
    process.live(HOUR)
    process.look_after(4 * DAY, every=1800.0)
    assert 'result="changed"} 0' in counted(process)
    began = plivo_list.gets[0]
    hours = [round((moment - began) / 3600, 1) for moment in plivo_list.gets]
    assert len(hours) == 5
    assert all(later > 2 * earlier for earlier, later in pairwise(hours[1:]))
    assert 70 < hours[-1] < 80
