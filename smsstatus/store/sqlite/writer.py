"""Group commit: callers hand over work, one thread does it, many share one fsync.

The guarantee: when `submit` returns, the work's transaction is committed with synchronous=FULL,
so its WAL frames are fsynced, in the file that is at the database's path. When it raises, the
caller must keep what it wanted to write elsewhere; the work may or may not have happened, so
it has to be idempotent. Every wait is bounded: `submit` takes `answer_seconds` at most.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from ...logs import without_text
from ...scheduling import wait_for_a_turn
from ..contract import SchemaTooNew, StoreUnavailable, WorkRefused
from .database import LOCK_SECONDS, Database, FileDamaged, describe, is_damage

ANSWER_SECONDS = 3.0
"""Plivo waits 8 s, we promise 5: what is left is for the spool."""
REST_SECONDS = 1.0
"""After a failure the store is tried once in this time; other callers are told at once."""
MAX_BATCH = 256

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Observer = Callable[[int, float], None]

log = logging.getLogger(__name__)

_let_others_run = partial(time.sleep, 0)


class _Mistake(Exception):
    """Work failed as nobody foresaw. The text says where."""


_STORE_FAILURES = (sqlite3.DatabaseError, OSError, MemoryError, FileDamaged, SchemaTooNew)
_ROW_FAILURES = (
    _Mistake,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


class _Job(Generic[T]):
    """One piece of work, and the lock its caller waits on."""

    __slots__ = ("_done", "error", "finished", "is_trial", "result", "work")

    def __init__(self, work: Work[T], *, is_trial: bool) -> None:
        self.work = work
        self.is_trial = is_trial
        self.result: T | None = None
        self.error: Exception | None = None
        self.finished = False
        self._done = threading.Lock()
        self._done.acquire()

    def finish(self, error: Exception | None = None) -> None:
        """Let the caller go on. The first call counts."""
        if not self.finished:
            self.finished = True
            self.error = error
            self._done.release()

    def wait(self, seconds: float) -> bool:
        return self._done.acquire(timeout=seconds)


class Writer:
    """The only writer of a database file in this process. Safe to call from any thread.

    The thread and its connection are made on first use, so never carried across a fork.
    `observe(jobs, seconds)` is told of each commit. `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        path: Path,
        observe: Observer = lambda jobs, seconds: None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        rest_seconds: float = REST_SECONDS,
        may_create: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer_seconds = answer_seconds
        self._path = path
        self._observe = observe
        self._rest_seconds = rest_seconds
        self._may_create = may_create
        self._clock = clock
        self._start_lock = threading.Lock()
        self._pid = 0
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failure: str | None = None
        self._retry_at = 0.0
        self._hanging: _Job[Any] | None = None
        self.met_damage = False
        """Did a write find a page of the file that is no page?"""

    def submit(self, work: Work[T]) -> T:
        """Do `work(connection)` inside a shared transaction and return its result.

        Raises StoreUnavailable or WorkRefused; then see the module's guarantee.
        """
        if self._pid != os.getpid():
            self._start()
        jobs = self._queue
        job = _Job(work, is_trial=self._allow())
        jobs.put(job)
        if not job.wait(self.answer_seconds):  # the disk hangs
            if jobs is self._queue:  # else it came too late for a writer that was closed
                self._hanging = job
            error = TimeoutError(f"no commit within {self.answer_seconds:g} s")
            raise StoreUnavailable(self._note_failure(error))
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]

    @property
    def waiting(self) -> int:
        """How much is queued behind what is being written."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what is queued, close the connection and end the thread."""
        if self._thread is not None and self._pid == os.getpid():
            self._queue.put(None)
            self._thread.join(self.answer_seconds)
        self._pid = 0

    def _start(self) -> None:
        with self._start_lock:
            if self._pid == os.getpid():
                return
            self._queue = queue.SimpleQueue()
            self._failure = self._hanging = None
            self._thread = threading.Thread(
                target=self._run, args=(self._queue,), name="store-writer", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError as error:  # the host allows no more threads
                raise StoreUnavailable(str(error)) from None
            self._pid = os.getpid()

    def _allow(self) -> bool:
        """After a failure let one caller in each `rest_seconds` try; tell the others at once.

        While a job hangs in the writer nobody has to try: when it ends it tells.
        """
        if self._failure is None:
            return False
        hanging = self._hanging
        if hanging is not None and not hanging.finished:
            raise StoreUnavailable(self._failure)
        now = self._clock()
        if now < self._retry_at:
            raise StoreUnavailable(self._failure)
        self._retry_at = now + self._rest_seconds
        return True

    def _run(self, jobs: queue.SimpleQueue[_Job[Any] | None]) -> None:
        wait_for_a_turn()
        database = Database(self._path, may_create=self._may_create)
        while True:
            batch, closing = next_batch(jobs)
            try:
                self._do(database, batch)
            except Exception as error:  # without this thread nothing is written any more
                log.error("store: a mistake in the program, %s", without_text(error))
                _fail(batch, "unexpected error")
            if closing:
                _close(database)
                return

    def _do(self, database: Database, batch: list[_Job[Any]]) -> None:
        if not batch:
            return
        if self._failure is not None and not any(job.is_trial for job in batch):
            _fail(batch, self._failure)
            return
        started = self._clock()
        try:
            with database.lock.hold(LOCK_SECONDS):
                _commit(database, batch)
        except _STORE_FAILURES as error:
            _fail(batch, self._note_failure(error))
            return
        if self._failure is not None:
            log.warning("store takes writes again")
            self._failure = None
        self._observe(len(batch), self._clock() - started)

    def _note_failure(self, error: Exception) -> str:
        failure = describe(error)
        self.met_damage |= is_damage(error)
        if failure != self._failure:
            log.error("store takes no writes, callbacks go to the spool: %s", failure)
        self._retry_at = self._clock() + self._rest_seconds
        self._failure = failure
        return failure


def _close(database: Database) -> None:
    try:
        with database.lock.hold(LOCK_SECONDS):
            with contextlib.suppress(*_STORE_FAILURES):
                database.follow()
            database.close()
    except _STORE_FAILURES as error:
        log.warning("database not closed, SQLite does that at the next start: %s", error)
    database.lock.close()


def next_batch(
    jobs: queue.SimpleQueue[T | None], let_others_run: Callable[[], None] = _let_others_run
) -> tuple[list[T], bool]:
    """Wait for work, then take all that has come meanwhile; True if the writer should end.

    While more and more comes, others are let through to bring theirs: sleep(0) gives up the
    interpreter and nothing else. One that comes alone goes at once.
    """
    batch: list[T] = []
    job = jobs.get()
    seen = 0
    while seen < (seen := jobs.qsize()) < MAX_BATCH:
        let_others_run()
    try:
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                break
            job = jobs.get_nowait()
    except queue.Empty:
        pass
    return batch, job is None


def _commit(database: Database, batch: list[_Job[Any]]) -> None:
    """Do the batch in one transaction; if one job fails, each in its own."""
    try:
        _transact(database, batch)
        for job in batch:
            job.finish()
    except _ROW_FAILURES:
        for job in batch:
            _commit_alone(database, job)


def _commit_alone(database: Database, job: _Job[Any]) -> None:
    try:
        _transact(database, [job])
        job.finish()
    except _Mistake as error:
        log.error("store: a mistake in the program, %s", error)
        job.finish(WorkRefused(str(error)))
    except _ROW_FAILURES as error:
        job.finish(WorkRefused(f"{type(error).__name__}: {error}"))


def _transact(database: Database, batch: list[_Job[Any]]) -> None:
    connection = database.connect()
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            job.result = _work(job, connection)
        connection.execute("COMMIT")
    except BaseException as error:
        database.abandon(error)
        raise
    database.confirm()


def _work(job: _Job[Any], connection: sqlite3.Connection) -> Any:
    try:
        return job.work(connection)
    except (*_ROW_FAILURES, *_STORE_FAILURES):
        raise
    except Exception as error:
        raise _Mistake(without_text(error)) from error


def _fail(batch: list[_Job[Any]], reason: str) -> None:
    for job in batch:
        job.finish(StoreUnavailable(reason))
