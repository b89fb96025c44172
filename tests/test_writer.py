"""Which callbacks share a commit, and what becomes of those that cannot be committed."""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smsstatus.store import Store, StoreUnavailable, WorkRefused
from smsstatus.store.writer import ANSWER_SECONDS, MAX_BATCH, _Job, _next_batch

from .live import wait_until

Jobs = queue.SimpleQueue[Any]


def job() -> _Job[None]:
    return _Job(lambda connection: None, is_trial=False)


class Filling(Jobs):
    """A queue to which somebody adds `more` jobs, one each time the writer looks."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def qsize(self) -> int:
        if self.more:
            self.more -= 1
            self.put(job())
        return super().qsize()


def test_what_waits_shares_a_commit() -> None:
    jobs: Jobs = queue.SimpleQueue()
    for _ in range(5):
        jobs.put(job())
    batch, closing = _next_batch(jobs)
    assert (len(batch), closing) == (5, False)


def test_what_comes_while_others_come_shares_their_commit() -> None:
    jobs = Filling(more=20)
    jobs.put(job())
    assert len(_next_batch(jobs)[0]) == 21


def test_a_commit_does_not_wait_for_ever_for_more() -> None:
    jobs = Filling(more=10 * MAX_BATCH)
    jobs.put(job())
    assert len(_next_batch(jobs)[0]) == MAX_BATCH


def test_what_came_before_the_end_is_still_committed() -> None:
    jobs: Jobs = queue.SimpleQueue()
    for item in (job(), job(), None):
        jobs.put(item)
    batch, closing = _next_batch(jobs)
    assert (len(batch), closing) == (2, True)


def test_a_database_that_stays_damaged_is_told_of_once_with_the_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sms.db").write_bytes(b"no database" * 1000)
    store = Store(tmp_path / "sms.db")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="put a backup in its place"):
            store.look()
    store.close()
    assert caplog.text.count("cannot be read afresh") == 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "sms.db")
    store.prepare()
    yield store
    store.close()


def test_a_mistake_in_one_piece_of_work_does_not_fail_its_neighbours(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[object] = []

    def submit(work: Callable[[sqlite3.Connection], object]) -> None:
        try:
            answers.append(store.writer.submit(work))
        except WorkRefused as error:
            answers.append(type(error))

    def mistake(connection: sqlite3.Connection) -> None:
        raise KeyError("+14155550123")

    works = [lambda connection: "done", mistake, lambda connection: "done"]
    release = threading.Event()
    first = threading.Thread(target=submit, args=(lambda connection: release.wait(10),))
    first.start()
    wait_until(lambda: not store.writer._queue.qsize() and first.is_alive(), what="it is at work")
    threads = [first, *(threading.Thread(target=submit, args=(work,)) for work in works)]
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: store.writer._queue.qsize() == 3, what="the others wait together")
    release.set()
    for thread in threads:
        thread.join(10)
    assert Counter(answers) == {True: 1, "done": 2, WorkRefused: 1}
    assert "a mistake in the program, KeyError at test_writer.py:" in caplog.text
    assert "4155550123" not in caplog.text


def test_while_a_commit_hangs_the_next_callers_are_told_at_once(store: Store) -> None:
    release = threading.Event()
    with pytest.raises(StoreUnavailable, match="no commit within 3 s"):
        store.writer.submit(lambda connection: release.wait(30))
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(StoreUnavailable, match="no commit within 3 s"):
            store.probe()
    assert time.monotonic() - began < ANSWER_SECONDS
    release.set()
    wait_until(lambda: takes_work(store), what="the store takes work again")


def takes_work(store: Store) -> bool:
    with contextlib.suppress(StoreUnavailable):
        store.probe()
        return True
    return False


def test_a_writer_that_cannot_be_started_is_a_store_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    store = Store(tmp_path / "sms.db")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable, match="can't start new thread"):
            store.probe()
    store.probe()  # the next caller tries again
    store.close()


@pytest.mark.skipif(
    os.sched_getscheduler(0) != os.SCHED_OTHER, reason="somebody chose another policy"
)
def test_the_writer_waits_for_its_turn_whoever_started_it(store: Store) -> None:
    policy = store.writer.submit(lambda connection: os.sched_getscheduler(0))
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert policy == os.SCHED_BATCH


def test_a_file_that_vacuum_made_smaller_is_not_taken_for_a_cut_one(store: Store) -> None:
    path = store.path
    store.writer.submit(lambda connection: connection.execute("CREATE TABLE filler (a)"))
    for _ in range(20):
        store.writer.submit(
            lambda connection: connection.executemany(
                "INSERT INTO filler VALUES (?)", [("x" * 2000,)] * 100
            )
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        full = path.stat().st_size
        store.probe()
        other.execute("DELETE FROM filler")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size < full / 2
    for _ in range(3):  # the first of them makes it grow at once
        store.writer.submit(
            lambda connection: connection.executemany(
                "INSERT INTO filler VALUES (?)", [("x" * 2000,)] * 20
            )
        )
        store.probe()
    store.writer.submit(
        lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 1").fetchall()
    )
    store.probe()  # so that the file holds all of it
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreUnavailable, match="was truncated"):
        store.probe()


def test_want_of_memory_is_not_taken_for_a_mistake_in_the_work(store: Store) -> None:
    def work(connection: sqlite3.Connection) -> None:
        raise MemoryError

    with pytest.raises(StoreUnavailable, match="MemoryError"):
        store.writer.submit(work)


def test_a_job_behind_the_end_of_a_writer_does_not_close_the_next_one(store: Store) -> None:
    store.probe()
    late = _Job(lambda connection: None, is_trial=False)
    queue_of_the_first = store.writer._queue
    store.close()
    queue_of_the_first.put(late)
    store.probe()
    assert not late.finished
    store.probe()
