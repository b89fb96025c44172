"""Which callbacks share a commit, and what becomes of those that cannot be committed."""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from smsstatus.store.breaker import REST_SECONDS
from smsstatus.store.contract import StoreUnavailable, WorkRefused
from smsstatus.store.groupcommit import MAX_BATCH, GroupCommit, next_batch
from smsstatus.store.sqlite.committer import Committer
from smsstatus.store.sqlite.connection import rewrite_header
from smsstatus.store.sqlite.store import SqliteStore

from ...live import wait_until

PATIENT = 60.0
"""Seconds for what comes at once unless the disk or the machine is very busy."""


class Clock:
    """Stands still until somebody turns it; `meanwhile` is done once, when it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meanwhile: Callable[[], object] | None = None

    def __call__(self) -> float:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def commits() -> list[int]:
    """How many pieces of work shared each commit. Whole once the writer is closed."""
    return []


@pytest.fixture
def writer(tmp_path: Path, clock: Clock, commits: list[int]) -> Iterator[GroupCommit]:
    writer = GroupCommit(
        partial(Committer, tmp_path / "sms.db"),
        lambda tickets, seconds: commits.append(len(tickets)),
        answer_seconds=PATIENT,
        clock=clock,
    )
    yield writer
    writer.close()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    """Threads for those who submit."""
    with ThreadPoolExecutor(16) as executor:
        yield executor


@contextlib.contextmanager
def busy(writer: GroupCommit, callers: ThreadPoolExecutor) -> Iterator[None]:
    """The writer is at work, and stays there for the length of the block."""
    at_work, release = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        at_work.set()
        release.wait(PATIENT)

    first = callers.submit(writer.submit, work)
    try:
        assert at_work.wait(PATIENT)
        yield
    finally:
        release.set()
        first.result(PATIENT)


def done(connection: sqlite3.Connection) -> str:
    return "done"


def probe(writer: GroupCommit) -> None:
    writer.submit(rewrite_header)


def test_what_waits_shares_a_commit(
    writer: GroupCommit, callers: ThreadPoolExecutor, commits: list[int]
) -> None:
    with busy(writer, callers):
        waiting = [callers.submit(writer.submit, done) for _ in range(5)]
        wait_until(lambda: writer.waiting == 5, PATIENT)
    assert [each.result(PATIENT) for each in waiting] == ["done"] * 5
    writer.close()
    assert commits == [1, 5]


def test_what_came_before_the_end_is_still_committed(
    writer: GroupCommit, callers: ThreadPoolExecutor
) -> None:
    with busy(writer, callers):
        waiting = [callers.submit(writer.submit, done) for _ in range(2)]
        wait_until(lambda: writer.waiting == 2, PATIENT)
        end = callers.submit(writer.close)
        wait_until(lambda: writer.waiting == 3, PATIENT)
    assert [each.result(PATIENT) for each in waiting] == ["done"] * 2
    end.result(PATIENT)


def test_what_comes_while_others_come_shares_their_commit() -> None:
    jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    jobs.put(0)
    coming = iter(range(1, 21))
    jobs.put(next(coming))

    def bring_one() -> None:
        with contextlib.suppress(StopIteration):
            jobs.put(next(coming))

    assert next_batch(jobs, bring_one) == ([*range(21)], False)


def test_a_commit_does_not_wait_for_ever_for_more() -> None:
    jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for _ in range(2):
        jobs.put("job")
    batch, _ = next_batch(jobs, lambda: jobs.put("one more"))
    assert len(batch) == MAX_BATCH


def test_a_database_that_stays_damaged_is_told_of_once_with_the_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sms.db").write_bytes(b"no database" * 1000)
    store = SqliteStore(tmp_path / "sms.db")
    store.writer.answer_seconds = PATIENT
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="put a backup in its place"):
            store.look()
    store.close()
    assert caplog.text.count("database cannot be read") == 1


def test_a_mistake_in_one_piece_of_work_does_not_fail_its_neighbours(
    writer: GroupCommit,
    callers: ThreadPoolExecutor,
    commits: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def mistake(connection: sqlite3.Connection) -> str:
        raise KeyError("+14155550123")

    with busy(writer, callers):
        one, other = (callers.submit(writer.submit, work) for work in (done, mistake))
        wait_until(lambda: writer.waiting == 2, PATIENT)
        last = callers.submit(writer.submit, done)
        wait_until(lambda: writer.waiting == 3, PATIENT)
    assert [each.result(PATIENT) for each in (one, last)] == ["done"] * 2
    with pytest.raises(WorkRefused):
        other.result(PATIENT)
    writer.close()
    assert commits == [1, 3], "they were together"
    assert "a mistake in the program, KeyError at test_writer.py:" in caplog.text
    assert "4155550123" not in caplog.text


def test_while_a_commit_hangs_the_next_callers_are_refused_without_a_wait(
    writer: GroupCommit, clock: Clock
) -> None:
    release = threading.Event()
    writer.answer_seconds = 0.1
    with pytest.raises(StoreUnavailable, match=r"no commit within 0\.1 s"):
        writer.submit(lambda connection: release.wait(PATIENT))
    clock.now += 1000  # so that it is not the rest after a failure that refuses them
    written: list[int] = []
    for number in range(10):
        with pytest.raises(StoreUnavailable, match=r"no commit within 0\.1 s"):
            writer.submit(lambda connection, number=number: written.append(number))
    assert writer.waiting == 0, "nobody has queued, so nobody has waited"
    release.set()
    writer.answer_seconds = PATIENT
    wait_until(lambda: takes_work(writer), PATIENT, "it takes work again")
    assert written == []


def test_when_a_commit_that_hung_has_failed_the_store_is_tried_again(
    writer: GroupCommit, clock: Clock
) -> None:
    release = threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        release.wait(PATIENT)
        raise sqlite3.OperationalError("disk I/O error")

    writer.answer_seconds = 0.1
    with pytest.raises(StoreUnavailable):
        writer.submit(work)
    writer.answer_seconds = PATIENT
    release.set()

    def takes_work_after_a_rest() -> bool:
        clock.now += REST_SECONDS
        return takes_work(writer)

    wait_until(takes_work_after_a_rest, PATIENT, "it takes work again")


def takes_work(writer: GroupCommit) -> bool:
    with contextlib.suppress(StoreUnavailable):
        probe(writer)
        return True
    return False


def test_after_a_failure_one_caller_in_each_rest_tries(
    writer: GroupCommit, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sms.db").mkdir()
    with pytest.raises(StoreUnavailable):
        probe(writer)
    (tmp_path / "sms.db").rmdir()
    with pytest.raises(StoreUnavailable, match="unable to open"):
        probe(writer)
    clock.now = REST_SECONDS
    probe(writer)
    wait_until(lambda: takes_work(writer), PATIENT, "it takes work again from everybody")
    assert [record.getMessage() for record in caplog.records][1:] == ["store is writable again"]


def test_while_that_one_tries_the_others_are_refused(
    writer: GroupCommit, callers: ThreadPoolExecutor, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "sms.db").mkdir()
    with pytest.raises(StoreUnavailable):
        probe(writer)
    (tmp_path / "sms.db").rmdir()
    clock.now = REST_SECONDS
    with busy(writer, callers):
        with pytest.raises(StoreUnavailable, match="unable to open"):
            probe(writer)
        assert writer.waiting == 0
    wait_until(lambda: takes_work(writer), PATIENT, "it takes work again")


def test_a_writer_that_cannot_be_started_is_a_store_that_is_not_there(
    writer: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable, match="can't start new thread"):
            probe(writer)
    probe(writer)  # the next caller tries again


def test_a_file_that_vacuum_made_smaller_is_not_taken_for_a_cut_one(
    writer: GroupCommit, tmp_path: Path
) -> None:
    path = tmp_path / "sms.db"
    writer.submit(lambda connection: connection.execute("CREATE TABLE filler (a)"))
    for _ in range(20):
        fill(writer, 100)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        full = path.stat().st_size
        probe(writer)
        other.execute("DELETE FROM filler")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size < full / 2
    for _ in range(3):  # the first of them makes it grow at once
        fill(writer, 20)
        probe(writer)
    writer.submit(lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 1").fetchall())
    probe(writer)  # so that the file holds all of it
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreUnavailable, match="was truncated"):
        probe(writer)


def fill(writer: GroupCommit, rows: int) -> None:
    """Rows of 2 KB each."""

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 2000,)] * rows)

    writer.submit(work)


def test_want_of_memory_is_not_taken_for_a_mistake_in_the_work(writer: GroupCommit) -> None:
    def work(connection: sqlite3.Connection) -> None:
        raise MemoryError

    with pytest.raises(StoreUnavailable, match="MemoryError"):
        writer.submit(work)


def test_work_that_comes_just_when_the_writer_is_closed_does_not_stop_the_next_writer(
    writer: GroupCommit, clock: Clock, tmp_path: Path
) -> None:
    def close_and_start_again() -> None:
        writer.close()
        probe(writer)
        writer.answer_seconds = 0.1

    (tmp_path / "sms.db").mkdir()
    with pytest.raises(StoreUnavailable):
        probe(writer)
    (tmp_path / "sms.db").rmdir()
    clock.now += 1000
    clock.meanwhile = close_and_start_again  # the trial after a failure looks at the clock
    with pytest.raises(StoreUnavailable, match="no commit within"):
        writer.submit(done)
    writer.answer_seconds = PATIENT
    clock.now += 1000
    assert writer.submit(done) == "done"
