"""Group commit: callers hand over jobs, one thread commits them, many share one fsync.

A job is a StatusUpdate, or else what is called with the committer's connection and gives an answer.

The guarantee: when `submit` returns, the job's transaction is committed and durable, as
`Committer.commit` promises. When it raises, the caller must keep what it wanted to write
elsewhere; the job may or may not have been done, so it has to be idempotent. Every wait is
bounded: `submit` takes `answer_seconds` at most.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from .. import promise
from ..logs import without_text
from ..model import StatusUpdate
from .breaker import Breaker
from .contract import StoreUnavailable, WorkRefused

MAX_BATCH = 256

T = TypeVar("T")
Observer = Callable[[Sequence["Ticket"], float], None]
Wake = Callable[[], None]

log = logging.getLogger(__name__)

_let_others_run = partial(time.sleep, 0)


class Committer(Protocol):
    """Writes to one database. Used from one thread."""

    def commit(self, jobs: Sequence[Any]) -> Sequence[Any]:
        """Do all of these in one transaction; it is durable when this returns their answers.

        Raises StoreUnavailable, or WorkRefused where one of the jobs is at fault; then none is
        done. A StoreUnavailable among the answers is that job's: it says nothing of the others.
        """

    def close(self) -> None:
        """Close the connection. Raises nothing."""


class Mistake(WorkRefused):
    """A job failed as nobody foresaw. The text says where."""


_Tickets = queue.SimpleQueue["Ticket | None"]


class Ticket:
    """A job that waits, and the lock its caller waits on."""

    __slots__ = (
        "_done",
        "answer",
        "error",
        "finished",
        "is_trial",
        "job",
        "queue",
        "until",
        "wake",
    )

    def __init__(
        self, job: object, queue: _Tickets, *, is_trial: bool, until: float, wake: Wake | None
    ) -> None:
        self.job = job
        self.queue = queue
        self.is_trial = is_trial
        self.until = until
        self.wake = wake
        self.answer: Any = None
        self.error: Exception | None = None
        self.finished = False
        self._done = threading.Lock()
        self._done.acquire()

    def finish(self, answer: object = None, error: Exception | None = None) -> None:
        """Let the caller go on. The first call counts."""
        if not self.finished:
            self.answer = answer
            self.error = error
            self.finished = True  # last: whoever sees it goes on to look at the two above
            self._done.release()

    def wait(self, seconds: float) -> bool:
        return self._done.acquire(timeout=seconds)


class GroupCommit:
    """The only writer of a database in this process. Safe to call from any thread.

    The thread and its committer are made on first use, so never carried across a fork.
    `observe(tickets, seconds)` is called after each commit. `clock` gives seconds that only rise.
    `apart`: a job that is no update waits for locks in a transaction of its own, after theirs.
    """

    def __init__(
        self,
        make_committer: Callable[[], Committer],
        observe: Observer = lambda tickets, seconds: None,
        *,
        answer_seconds: float | None = None,
        apart: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer_seconds = promise.STORE_SECONDS if answer_seconds is None else answer_seconds
        self._make_committer = make_committer
        self._observe = observe
        self._apart = apart
        self._clock = clock
        self._breaker = Breaker(clock)
        self._start_lock = threading.Lock()
        self._pid = 0
        self._queue: _Tickets = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hanging: Ticket | None = None

    @overload
    def submit(self, job: Callable[..., T]) -> T: ...
    @overload
    def submit(self, job: object) -> Any: ...

    def submit(self, job: object) -> Any:
        """Have `job` committed, in a transaction that others can share; its answer.

        Raises StoreUnavailable or WorkRefused; then see the module's guarantee.
        """
        return self.finish(self.begin(job))

    def begin(self, job: object, wake: Wake | None = None) -> Ticket:
        """Queue `job` and do not wait. `wake` is called, in another thread, once it is finished.

        Raises StoreUnavailable.
        """
        if self._pid != os.getpid():
            self._start()
        tickets = self._queue
        failure = self._breaker.failure
        is_trial = failure is not None and self._may_try(failure)
        until = self._clock() + self.answer_seconds
        ticket = Ticket(job, tickets, is_trial=is_trial, until=until, wake=wake)
        tickets.put(ticket)
        return ticket

    def finish(self, ticket: Ticket, at_most: float = math.inf) -> Any:
        """Wait for what has begun, until `answer_seconds` after that; its answer. See `submit`.

        Who has less time than that, `at_most`, learns nothing of the store if it is over.
        """
        seconds = max(ticket.until - self._clock(), 0)
        if not ticket.wait(min(seconds, at_most)):  # the disk hangs
            if at_most < seconds:
                raise StoreUnavailable(f"no answer within {at_most:.2g} s")
            if ticket.queue is self._queue:  # else it came too late for a writer that was closed
                self._hanging = ticket
            failure = f"TimeoutError: no commit within {self.answer_seconds:g} s"
            self._breaker.note_failure(failure)
            raise StoreUnavailable(failure)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    @property
    def waiting(self) -> int:
        """How much is queued behind what is being written."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what is queued, close the committer and end the thread."""
        if self._thread is not None and self._pid == os.getpid():
            self._queue.put(None)
            self._thread.join(self.answer_seconds)
        self._pid = 0

    def _start(self) -> None:
        with self._start_lock:
            if self._pid == os.getpid():
                return
            self._queue = queue.SimpleQueue()
            self._breaker.failure = self._hanging = None
            self._thread = threading.Thread(
                target=self._run, args=(self._queue,), name="store-writer", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError as error:  # the host allows no more threads
                raise StoreUnavailable(str(error)) from None
            self._pid = os.getpid()

    def _may_try(self, failure: str) -> bool:
        """While a job hangs nobody has to try: when it ends, that is a trial. Else see Breaker."""
        hanging = self._hanging
        if hanging is not None and not hanging.finished:
            raise StoreUnavailable(failure)
        self._breaker.try_again()
        return True

    def _run(self, tickets: _Tickets) -> None:
        committer = self._make_committer()
        while True:
            batch, closing = next_batch(tickets)
            try:
                self._commit(committer, batch, closing=closing)
            except Exception as error:  # without this thread nothing is written any more
                log.error("store: a mistake in the program, %s", without_text(error))
                _fail(batch, "unexpected error")
            if closing:
                committer.close()
                return

    def _commit(self, committer: Committer, batch: list[Ticket], *, closing: bool) -> None:
        if not batch:
            return
        failure = self._breaker.failure
        if failure is not None and not any(ticket.is_trial for ticket in batch):
            _fail(batch, failure)
            return
        started = self._clock()
        done: list[Ticket] = []
        try:
            for part in self._parts(batch, closing=closing) if self._apart else [batch]:
                commit_together(committer, part)
                _wake(part)
                done += part
        except StoreUnavailable as error:
            self._breaker.note_failure(str(error))
            _fail(batch, str(error))
            return
        if not all(isinstance(ticket.error, StoreUnavailable) for ticket in done):
            self._breaker.note_success()
        self._observe(done, self._clock() - started)

    def _parts(self, batch: list[Ticket], *, closing: bool) -> Iterator[list[Ticket]]:
        """All updates, then each other job; those wait where something new has come meanwhile, so
        that a callback waits for one of them at most. Nobody waits for one that is late.
        """
        updates = [ticket for ticket in batch if isinstance(ticket.job, StatusUpdate)]
        if updates:
            yield updates
        others = [ticket for ticket in batch if not isinstance(ticket.job, StatusUpdate)]
        for number, ticket in enumerate(others):
            if number and not closing and not ticket.queue.empty():
                for later in others[number:]:
                    later.queue.put(later)
                return
            if self._clock() < ticket.until:
                yield [ticket]
            else:
                _fail([ticket], "TimeoutError: other work took too long")


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


def commit_together(committer: Committer, batch: list[Ticket]) -> None:
    """In one transaction; if one job is at fault, each in its own. Raises StoreUnavailable."""
    try:
        answers = committer.commit([ticket.job for ticket in batch])
    except WorkRefused:
        for ticket in batch:
            _commit_alone(committer, ticket)
        return
    for ticket, answer in zip(batch, answers, strict=True):
        _finish(ticket, answer)


def _finish(ticket: Ticket, answer: object) -> None:
    if isinstance(answer, StoreUnavailable):
        ticket.finish(error=answer)
    else:
        ticket.finish(answer)


def _commit_alone(committer: Committer, ticket: Ticket) -> None:
    try:
        (answer,) = committer.commit([ticket.job])
    except WorkRefused as error:
        if isinstance(error, Mistake):
            log.error("store: a mistake in the program, %s", error)
        ticket.finish(error=error)
    else:
        _finish(ticket, answer)


def _fail(batch: list[Ticket], reason: str) -> None:
    for ticket in batch:
        ticket.finish(error=StoreUnavailable(reason))
    _wake(batch)


def _wake(batch: list[Ticket]) -> None:
    for wake in {ticket.wake for ticket in batch}:
        if wake is not None:
            with contextlib.suppress(OSError):  # whoever waited is gone
                wake()
