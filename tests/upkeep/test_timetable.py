"""Each task is done when it is due, by one process at a time, and says what it found."""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from smsstatus import locking
from smsstatus.model import utc_timestamp
from smsstatus.settings import Settings
from smsstatus.store.contract import Filters, StoreUnavailable, WorkRefused
from smsstatus.store.postgres import connection
from smsstatus.store.postgres.store import PostgresStore
from smsstatus.store.runs import Run
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.upkeep import tasks
from smsstatus.upkeep.alone import HELD_SECONDS, while_alone
from smsstatus.upkeep.caretaker import beat
from smsstatus.upkeep.parts import Parts, Rest, Stopping
from smsstatus.upkeep.state import state_of
from smsstatus.upkeep.tasks import NAMES, SOON, Finding, Report, Task
from smsstatus.upkeep.timetable import LOOK_SECONDS

from ..plivo_api import Asked, PlivoApi, Reply
from ..postgres import end_who_holds
from ..store.conftest import write
from ..store.updates import at, update_of
from .conftest import EVERY, BeatingClock, Process, Start
from .plivo_list import PlivoList

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def first_seen(process: Process, age: timedelta) -> str:
    """A message that was first seen so long ago; its UUID."""
    message_uuid = str(uuid.uuid4())
    received_at = utc_timestamp(str(process.clock.now() - age))
    update = update_of(at("delivered", MessageUUID=message_uuid))
    write(process.store, [update._replace(received_at=received_at, status_timestamp="")])
    return message_uuid


@pytest.fixture
def process(settings: Settings, clock: BeatingClock, tmp_path: Path) -> Iterator[Process]:
    """With what the test puts into its settings; on SQLite."""
    with closing(SqliteStore(tmp_path / "sms.db")) as store:
        store.prepare()
        yield Process(replace(settings, reconcile_every=None), store, clock)


def with_settings(process: Process, **settings: object) -> Process:
    return Process(
        replace(process.settings, **settings),  # type: ignore[arg-type]
        process.store,
        process.clock,
    )


def test_two_processes_reconcile_one_after_the_other(
    start: Start, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    """The second one looks while the first one asks: it leaves that to the first."""
    one, other = start(), start()
    plivo_list.send(1, plivo_list.clock.now() - HOUR)
    reply = standin.reply

    def look_meanwhile(asked: Asked) -> Reply | None:
        looking = threading.Thread(target=other.timetable.look)
        looking.start()
        looking.join(60)
        assert not looking.is_alive()
        return reply(asked)

    standin.reply = look_meanwhile
    one.live(10 * MINUTE)
    asked = len(standin.asked)
    assert asked > 0
    assert len(one.states()) == 1
    other.live(4 * MINUTE)  # it has been done just now
    assert len(standin.asked) == asked


def test_a_run_that_is_alone_no_longer_ends(
    settings: Settings, clock: BeatingClock, postgres: str, standin: PlivoApi
) -> None:
    """The server lets go of its lock, so another process could ask Plivo as well."""
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
        process = Process(settings, store, clock)
        silent_for(process, 60)
        ended_at: list[float] = []

        def end_after_ten(asked: Asked) -> None:
            if len(standin.asked) == 10:
                end_who_holds(postgres)
                ended_at.append(clock.elapsed)

        standin.reply = end_after_ten
        process.timetable.look()
        (run,) = store.runs.last()
        assert clock.elapsed - ended_at[0] < 2 * HELD_SECONDS
        assert len(standin.asked) < 60
        assert (run.is_ok, due_after(run)) == (False, SOON)
        assert run.found.startswith("stopped: the connection to the database that kept other")
        standin.reply = lambda asked: None
        process.look_after(2 * MINUTE, every=60)
        assert len(standin.asked) == 60


def test_that_a_run_is_alone_is_asked_every_few_seconds(clock: BeatingClock) -> None:
    asked_at: list[float] = []
    began = clock.elapsed
    rest = while_alone(clock.sleep, lambda: not asked_at.append(clock.elapsed - began), clock)
    for _ in range(120):
        rest(0.25)
    rest(120)
    assert asked_at == [5, 10, 15, 20, 25, 30, 150]


def silent_for(process: Process, count: int, age: timedelta = HOUR) -> list[str]:
    """Messages of which the last that is known is so old; their UUIDs."""
    names = [f"{number:08x}-0000-4000-8000-000000000001" for number in range(count)]
    received_at = utc_timestamp(str(process.clock.now() - age))
    write(process.store, [update_of(at("sent", MessageUUID=name), received_at) for name in names])
    return names


def messages_asked(standin: PlivoApi) -> list[str]:
    """The UUIDs of those that Plivo was asked about, in this order."""
    last = [urlsplit(asked.path).path.rstrip("/").rpartition("/")[2] for asked in standin.asked]
    return [name for name in last if name != "Message"]


def due_after(run: Run) -> timedelta:
    """How long after its end the next one is due."""
    assert run.ended_at is not None
    return datetime.fromisoformat(run.next_at) - datetime.fromisoformat(run.ended_at)


def test_silent_messages_that_are_too_many_for_a_run_are_gone_on_with_soon(
    start: Start, plivo_list: PlivoList, standin: PlivoApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ASKED", 20)
    process = start()
    names = silent_for(process, 25)
    process.timetable.look()
    (run,) = process.store.runs.last()
    assert "20 asked, 0 changed, 20 unknown to Plivo" in run.found
    assert (run.is_ok, due_after(run)) == (True, SOON)
    process.clock.turn(SOON.total_seconds())
    process.timetable.look()
    (run,) = process.store.runs.last()
    assert "5 asked" in run.found
    assert due_after(run) > SOON
    assert sorted(messages_asked(standin)) == names  # each once


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(500, {"error": "internal"}),
        Reply(503, {}, {"Retry-After": "20"}),
        Reply(200, b"<html>"),
        Reply(hang_up_after=-1),
    ],
)
def test_a_message_that_plivo_said_nothing_about_is_asked_about_in_the_next_run(
    start: Start, plivo_list: PlivoList, standin: PlivoApi, trouble: Reply
) -> None:
    """Its last step of all, and a Plivo that fails for one run, from the third message on."""
    process = start()
    names = silent_for(process, 6, 4 * DAY)
    standin.reply = lambda asked: trouble if len(messages_asked(standin)) > 2 else None
    process.timetable.look()
    failed = messages_asked(standin)[2:]
    assert failed
    standin.reply = lambda asked: None
    standin.asked.clear()
    process.look_after(HOUR, every=60)
    assert failed[0] in messages_asked(standin)
    assert len(messages_asked(standin)) == len(names) - 2


def test_a_message_that_plivo_always_fails_on_is_asked_about_no_more_often_than_others(
    start: Start, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    process = start()
    names = silent_for(process, 4)
    standin.reply = lambda asked: Reply(500, {}) if names[0] in asked.path else None
    process.look_after(2 * HOUR, every=60)
    assert sorted(messages_asked(standin)) == names


def test_a_long_list_leaves_silent_messages_their_turn_and_says_how_far_it_is(
    start: Start, plivo_list: PlivoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 days more pages are listed than one run has time for."""
    monkeypatch.setattr(tasks, "LISTING_SECONDS", 60.0)
    process = start()
    process.live(HOUR)
    left_at = process.clock.now()
    sent = [plivo_list.send(number, left_at + (number + 1) * DAY) for number in range(29)]
    process.clock.turn(30 * DAY.total_seconds())
    process = start()
    beat(process.store, process.clock)
    (silent,) = silent_for(process, 1)
    said: list[str] = []

    def look_meanwhile(number: int, rows: list[dict[str, Any]]) -> None:
        (run,) = process.store.runs.last()
        assert run.ended_at is None
        said.append(run.found)

    plivo_list.tamper = look_meanwhile
    began, pages = process.clock.elapsed, plivo_list.pages
    process.timetable.look()
    assert 60 <= process.clock.elapsed - began < 70
    assert 0 < plivo_list.pages - pages <= 20
    assert len(plivo_list.gets) == 1  # the silent one
    (run,) = process.store.runs.last()
    assert (run.is_ok, due_after(run)) == (True, SOON)
    assert not process.is_done()
    told = [re.fullmatch(r"(\d+) listed, \1 of them missed", text) for text in said if text]
    counts = [int(match[1]) for match in told if match]
    assert len(counts) == len(told)
    assert counts == sorted(counts)
    assert len(set(counts)) > 5
    process.clock.turn(SOON.total_seconds())
    process.timetable.look()
    assert process.is_done()
    assert set(process.states()) == {silent, *sent}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "3000"}),
        (503, {"Retry-After": "3000"}),
        (
            429,
            {
                "Date": "Sun, 06 Nov 1994 08:49:37 GMT",
                "Retry-After": "Sun, 06 Nov 1994 09:39:37 GMT",
            },
        ),
    ],
)
def test_a_pause_asked_for_between_silent_messages_is_kept(
    start: Start, plivo_list: PlivoList, standin: PlivoApi, status: int, headers: dict[str, str]
) -> None:
    process = start()
    for number in range(3):
        plivo_list.send(number, plivo_list.clock.now() - HOUR, "sent")
    process.live(MINUTE)
    process.clock.turn(20 * 60)
    reply = standin.reply

    def refuse_the_second(asked: Asked) -> Reply | None:
        answer = reply(asked)
        return Reply(status, {"error": "later"}, headers) if len(plivo_list.gets) == 2 else answer

    standin.reply = refuse_the_second
    process.look_after(MINUTE, every=60)
    (run,) = process.store.runs.last()
    assert len(plivo_list.gets) == 2
    assert not run.is_ok
    assert "(wait 3000 s)" in run.found
    process.look_after(48 * MINUTE, every=60)
    assert len(plivo_list.gets) == 2
    process.look_after(3 * MINUTE, every=60)
    assert len(plivo_list.gets) > 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_asked_for_by_the_list_holds_for_silent_messages_too(
    start: Start, plivo_list: PlivoList, status: int
) -> None:
    plivo_list.send(1, plivo_list.clock.now() - HOUR, "sent")
    process = start()
    process.live(MINUTE)
    process.clock.turn(3 * 3600)
    process = start()
    plivo_list.tamper = lambda number, rows: Reply(status, b"", {"Retry-After": "3000"})
    process.live(40 * MINUTE)
    assert plivo_list.gets == []
    process.live(20 * MINUTE)  # a pause again
    assert plivo_list.gets == []
    plivo_list.tamper = lambda number, rows: None
    process.live(HOUR)
    assert plivo_list.gets != []


@pytest.mark.parametrize("word", ["a\0b", "\ud800", "a\nb"], ids=ascii)
def test_whatever_plivo_says_of_its_trouble_is_noted_in_a_line(
    start: Start, plivo_list: PlivoList, word: str
) -> None:
    """Else the run would count as one that died, and the next would ask again at once."""
    process = start()
    process.live(HOUR)
    process.clock.turn(3 * 3600)
    plivo_list.tamper = lambda number, rows: Reply(500, {"error": word})
    process = start()
    process.live(MINUTE)
    (run,) = process.store.runs.last()
    assert not run.is_ok
    assert due_after(run) > SOON
    assert f"Plivo answered 500, saying: {ascii(word)[1:-1]}. " in run.found


def test_what_a_dead_process_has_begun_is_taken_up(start: Start, plivo_list: PlivoList) -> None:
    process = start()
    now = process.clock.now()
    run = Run(
        task="reconcile",
        began_at=utc_timestamp(str(now - HOUR)),
        ended_at=None,
        next_at=utc_timestamp(str(now - HOUR + MINUTE)),
        is_ok=True,
        found="",
    )
    process.store.runs.note(run)
    process.live(MINUTE)
    (run,) = process.store.runs.last()
    assert run.ended_at is not None


def test_a_run_that_is_under_way_is_as_ok_as_the_one_before(process: Process) -> None:
    """However far it is, and where one died in between; the next that ends says better."""
    findings = [Finding(text="first"), Finding(text="no", is_ok=False), None, Finding(text="done")]
    met: list[bool] = []

    def work(parts: Parts, rest: Rest, report: Report) -> Finding:
        for text in ("", "so far"):
            if text:
                process.clock.turn(MINUTE.total_seconds())
                report(text)
            (run,) = process.store.runs.last()
            assert (run.ended_at, run.found) == (None, text)
            met.append(run.is_ok)
        finding = findings.pop(0)
        if finding is None:
            raise Died
        return finding

    process.timetable.tasks = [Task("prune", HOUR, work)]
    for _ in range(2):
        process.timetable.look()
        process.clock.turn(HOUR.total_seconds())
    with pytest.raises(Died):
        process.timetable.look()
    process.clock.turn(HOUR.total_seconds())
    process.timetable.look()
    assert met == [True, True, True, True, False, False, False, False]
    (run,) = process.store.runs.last()
    assert run.is_ok


class Died(BaseException):
    """Nothing of the process ran after that."""


@pytest.mark.parametrize("name", NAMES)
def test_what_another_process_died_in_is_taken_up_within_a_minute(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whenever that one's look at the timetable was."""
    monkeypatch.setattr(connection, "END_SECONDS", 60)  # until the server has let go of its lock
    one, other = start(), start()
    clock = one.clock
    taken_up = []

    def die(*_: object) -> Finding:
        raise Died

    def take_up(*_: object) -> Finding:
        taken_up.append(clock.now())
        return Finding(text="done")

    one.timetable.tasks = [Task(name, HOUR, die)]
    other.timetable.tasks = [Task(name, HOUR, take_up)]
    for phase in range(int(LOOK_SECONDS)):
        taken_up.clear()
        died_at = clock.now()
        with pytest.raises(Died):
            one.timetable.look()
        clock.turn(phase)
        while not taken_up and clock.now() < died_at + HOUR:
            other.timetable.look()
            clock.turn(LOOK_SECONDS)
        assert taken_up[0] - died_at < MINUTE
        clock.turn(HOUR.total_seconds())


def test_a_clock_that_was_ahead_stops_nothing(start: Start, plivo_list: PlivoList) -> None:
    process = start()
    process.clock.turn(400 * DAY.total_seconds())
    process.live(MINUTE)
    process.clock.turn(-400 * DAY.total_seconds())
    before = process.store.runs.last()
    process.live(MINUTE)
    assert process.store.runs.last() != before


def test_a_service_that_stops_breaks_off_and_goes_on_later(
    start: Start, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    one = start()
    plivo_list.send(1, plivo_list.clock.now() - HOUR)
    reply = standin.reply

    def stop(asked: Asked) -> Reply | None:
        one.timetable.stop()
        return reply(asked)

    standin.reply = stop
    with pytest.raises(Stopping):
        one.live(HOUR)
    standin.reply = reply
    other = start()
    other.live(HOUR)
    assert len(other.states()) == 1


def test_old_messages_are_removed_once_a_day(process: Process) -> None:
    kept, _old = first_seen(process, 20 * DAY), first_seen(process, 40 * DAY)
    process = with_settings(process, retention=30 * DAY.total_seconds())
    process.look_after(HOUR)
    assert set(process.states()) == {kept}
    (run,) = process.store.runs.last()
    assert (run.found, run.is_ok) == ("1 messages removed", True)
    process.look_after(9 * DAY)
    assert set(process.states()) == {kept}
    newest = first_seen(process, timedelta())
    process.look_after(2 * DAY)
    assert set(process.states()) == {newest}


def test_a_wrong_clock_removes_nothing(process: Process) -> None:
    kept = first_seen(process, DAY)
    process = with_settings(process, retention=30 * DAY.total_seconds())
    process.clock.turn(3650 * DAY.total_seconds())
    process.look_after(HOUR)
    assert set(process.states()) == {kept}
    (run,) = process.store.runs.last()
    assert not run.is_ok
    assert "clock" in run.found


def test_backups_are_made_and_the_newest_kept(process: Process, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    others = [folder / "sms.db-of-mine", folder / "other.db-20250101T000000Z"]
    left_over = folder / f".sms.db-20250101T000000Z.{uuid.uuid4().hex}"
    for path in (*others, left_over):
        path.touch()
    first_seen(process, HOUR)
    process = with_settings(
        process, backup_every=DAY.total_seconds(), backup_dir=folder, backup_keep=2
    )
    process.look_after(5 * DAY + HOUR)
    made = sorted(set(folder.iterdir()) - set(others))
    assert len(made) == 2
    assert len(SqliteStore(made[-1]).list(Filters(), 10).messages) == 1
    (run,) = process.store.runs.last()
    assert run.is_ok
    assert made[-1].name in run.found


def test_a_backup_that_fails_says_why_and_is_tried_again(process: Process, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    process = with_settings(process, backup_every=HOUR.total_seconds(), backup_dir=folder)
    process.look_after(MINUTE)
    (run,) = process.store.runs.last()
    assert not run.is_ok
    assert "No such file" in run.found
    folder.mkdir()
    process.look_after(2 * HOUR)
    (run,) = process.store.runs.last()
    assert run.is_ok


def test_while_the_command_is_at_work_the_service_says_so_once_and_waits(
    process: Process, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    process = with_settings(process, backup_every=DAY.total_seconds(), backup_dir=tmp_path)
    line = "backup is due: another one is at work"
    with process.store.hold("backup"):
        process.look_after(HOUR, every=60)
        assert process.store.runs.last() == []
        assert [record.getMessage() for record in caplog.records].count(line) == 1
    process.look_after(MINUTE)
    (run,) = process.store.runs.last()
    assert run.is_ok
    process.clock.turn(DAY.total_seconds())
    with process.store.hold("backup"):
        process.look_after(HOUR, every=60)
    assert [record.getMessage() for record in caplog.records].count(line) == 2


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_closed_lock_file_is_named_once_and_keeps_no_other_task_waiting(
    process: Process,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    is_ours: bool,
) -> None:
    """By its mode, or another user's: as one that a command made which root ran."""
    lock = tmp_path / "sms.db.prune-lock"
    lock.touch()
    monkeypatch.setattr(locking, "os", LockedOut(lock))
    owner = os.geteuid()
    asking = owner if is_ours else owner + 1
    monkeypatch.setattr(os, "geteuid", lambda: asking)
    day = DAY.total_seconds()
    process = with_settings(process, retention=day, backup_every=day, backup_dir=tmp_path)
    process.look_after(HOUR, every=60)
    (run,) = process.store.runs.last()
    assert (run.task, run.is_ok) == ("backup", True)
    (said,) = [text for text in caplog.messages if "prune" in text]
    says = f"{lock} belongs to user {owner}, and user {asking}, who asks, may not"
    if is_ours:
        says = f"user {owner}, whose file {lock} is, may not"
    assert said.startswith(f"prune is due: {says} read and write it: ")
    assert said.endswith("`chmod u+rw` the file" if is_ours else "`chown` the file")
    monkeypatch.undo()
    process.look_after(MINUTE)
    assert [run.task for run in process.store.runs.last()] == ["backup", "prune"]


def test_what_the_store_refuses_of_one_task_is_said_once_and_keeps_no_other_task_waiting(
    process: Process, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = process.store.runs.note

    def refuse_what_was_pruned(run: Run) -> None:
        if run.task == "prune" and run.ended_at:
            raise WorkRefused("no such text")
        note(run)

    monkeypatch.setattr(process.store.runs, "note", refuse_what_was_pruned)
    process.timetable.tasks = [
        Task(name, DAY, lambda *_: Finding(text="done")) for name in ("prune", "backup")
    ]
    process.look_after(HOUR, every=60)
    backup, prune = process.store.runs.last()
    assert (backup.found, prune.ended_at) == ("done", None)
    assert [text for text in caplog.messages if "is due" in text] == ["prune is due: no such text"]
    monkeypatch.undo()
    process.look_after(MINUTE)
    assert [run.found for run in process.store.runs.last()] == ["done", "done"]


def test_trouble_is_said_again_where_another_process_has_done_the_task_since(
    process: Process, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = with_settings(process)
    process.timetable.tasks = [Task("prune", DAY, lambda *_: Finding(text="done"))]
    other.timetable.tasks = process.timetable.tasks
    for trouble in ("the first", "the second"):

        def refuse(name: str, trouble: str = trouble) -> None:
            raise StoreUnavailable(trouble)

        with monkeypatch.context() as patch:
            patch.setattr(process.store, "hold", refuse)
            process.look_after(HOUR, every=60)
        other.timetable.look()
        process.look_after(DAY)
    said = [text for text in caplog.messages if "is due" in text]
    assert said == ["prune is due: the first", "prune is due: the second"]


def test_a_store_that_is_away_is_asked_once_in_a_look(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each task: it takes seconds until nobody has answered."""
    asked = []

    def be_away() -> list[Run]:
        asked.append(1)
        raise StoreUnavailable("away")

    process.timetable.tasks = [Task(name, DAY, lambda *_: Finding(text="done")) for name in NAMES]
    monkeypatch.setattr(process.store.runs, "last", be_away)
    with pytest.raises(StoreUnavailable):
        process.timetable.look()
    assert len(asked) == 1


class LockedOut:
    """The module `os` of a user who may not open a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def open(self, path: Path, *more: int) -> int:
        if path == self._path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return os.open(path, *more)


def test_where_nothing_is_on_nothing_is_done(process: Process) -> None:
    process.look_after(DAY)
    assert process.store.runs.last() == []
    state = state_of(process, 5)
    assert [(task.name, task.last, task.next) for task in state.tasks] == [
        (name, "never", "off") for name in ("reconcile", "prune", "backup")
    ]


def test_the_state_counts_what_is_behind_however_many_outages_came_later(
    start: Start, plivo_list: PlivoList
) -> None:
    process = start()
    for _ in range(8):
        beat(process.store, process.clock)
        process.clock.turn(3600)
    for outage in process.store.runs.outages(7):
        process.store.runs.note_listed(outage.since, outage.until, 0)
    assert state_of(process, 5).seconds_behind(process.clock.now()) == 24 * 3600


def test_the_state_says_what_is_behind(start: Start, plivo_list: PlivoList) -> None:
    process = start()
    process.live(HOUR)
    now = process.clock.now()
    assert state_of(process, 5).seconds_behind(now) == 0
    process.clock.turn(6 * 3600)
    standing = start()
    plivo_list.tamper = lambda number, rows: Reply(401, {"error": "no"})
    standing.live(MINUTE)
    state = state_of(standing, 5)
    assert 6 * 3600 <= state.seconds_behind(process.clock.now()) < 6 * 3600 + 300
    reconcile = next(task for task in state.tasks if task.name == "reconcile")
    assert not reconcile.is_ok
    assert reconcile.overdue(process.clock.now()) == 0
    process.clock.turn(EVERY + 60)
    assert reconcile.overdue(process.clock.now()) > 30
