"""What becomes of the jobs of one batch, whatever the database is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from queue import SimpleQueue

import pytest

from smsstatus.model import StatusUpdate
from smsstatus.store.breaker import REST_SECONDS
from smsstatus.store.contract import StoreUnavailable, WorkRefused
from smsstatus.store.groupcommit import GroupCommit, Mistake, Ticket, commit_together

from ..clock import HandClock
from .updates import at, update_of


class Memory:
    """A committer that keeps words in a list. Some of them fail."""

    def __init__(self, failures: dict[str, Exception] | None = None) -> None:
        self.failures = failures or {}
        self.committed: list[list[str]] = []

    def commit(self, jobs: Sequence[str]) -> list[str]:
        for job in jobs:
            if job in self.failures:
                raise self.failures[job]
        self.committed.append(list(jobs))
        return [job.upper() for job in jobs]

    def close(self) -> None:
        pass


def tickets(*jobs: str) -> list[Ticket]:
    return [Ticket(job, SimpleQueue(), is_trial=False, until=0, wake=None) for job in jobs]


def test_jobs_that_share_a_commit_get_each_its_own_answer() -> None:
    memory, batch = Memory(), tickets("a", "b", "c")
    commit_together(memory, batch)
    assert memory.committed == [["a", "b", "c"]]
    assert [ticket.answer for ticket in batch] == ["A", "B", "C"]


def test_a_job_at_fault_is_refused_and_its_neighbours_are_committed_one_by_one() -> None:
    refusal = WorkRefused("too long")
    memory, batch = Memory({"b": refusal}), tickets("a", "b", "c")
    commit_together(memory, batch)
    assert memory.committed == [["a"], ["c"]]
    assert [ticket.error for ticket in batch] == [None, refusal, None]
    assert all(ticket.finished for ticket in batch)


def test_a_mistake_is_logged_once_and_a_refusal_is_not(caplog: pytest.LogCaptureFixture) -> None:
    failures = {"a": WorkRefused("too long"), "b": Mistake("KeyError at x.py:1")}
    commit_together(Memory(failures), tickets("a", "b"))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["store: a mistake in the program, KeyError at x.py:1"]


def test_where_the_store_fails_nobody_is_answered() -> None:
    memory, batch = Memory({"b": StoreUnavailable("full")}), tickets("a", "b")
    with pytest.raises(StoreUnavailable, match="full"):
        commit_together(memory, batch)
    assert not any(ticket.finished for ticket in batch)


def test_where_it_fails_between_two_that_are_committed_alone_the_first_keeps_its_answer() -> None:
    failures = {"b": WorkRefused("too long"), "c": StoreUnavailable("full")}
    memory, batch = Memory(failures), tickets("a", "b", "c")
    with pytest.raises(StoreUnavailable, match="full"):
        commit_together(memory, batch)
    assert [ticket.finished for ticket in batch] == [True, True, False]
    batch[0].finish(error=StoreUnavailable("full"))  # as for all of a batch that failed
    assert (batch[0].answer, batch[0].error) == ("A", None)


def test_whoever_sees_that_a_job_is_finished_sees_its_error_too() -> None:
    seen: list[Exception | None] = []

    class Watched(Ticket):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "finished" and value:
                seen.append(self.error)

    failure = StoreUnavailable("the disk is full")
    ticket = Watched("job", SimpleQueue(), is_trial=False, until=0, wake=None)
    ticket.finish(error=failure)
    assert seen == [failure]


class Obedient:
    """A committer that does its jobs; it writes updates unless the store is `full`."""

    def __init__(self) -> None:
        self.failure = ""
        self.done: list[str] = []

    def commit(self, jobs: Sequence[Callable[[], object] | StatusUpdate]) -> list[object]:
        return [self._write(job) if isinstance(job, StatusUpdate) else job() for job in jobs]

    def _write(self, update: StatusUpdate) -> str:
        self.done.append(update.message_uuid)
        if self.failure:
            raise StoreUnavailable(self.failure)
        return "written"

    def close(self) -> None:
        pass


def writer_of(committer: Obedient, clock: HandClock | None = None) -> GroupCommit:
    clock = clock or HandClock()
    return GroupCommit(lambda: committer, answer_seconds=60, apart=True, clock=clock.monotonic)


@contextmanager
def together(writer: GroupCommit) -> Iterator[None]:
    """What is begun within the block is done after it, in one batch."""
    are_begun = threading.Event()
    writer.begin(lambda: are_begun.wait(60))
    yield
    are_begun.set()


def update(uuid: str) -> StatusUpdate:
    return update_of(at("sent", MessageUUID=uuid))


def test_who_waits_for_an_update_is_woken_before_what_came_with_it_is_done() -> None:
    was_woken = threading.Event()
    with closing(writer_of(Obedient())) as writer:
        with together(writer):
            written = writer.begin(update("m-1"), was_woken.set)
            later = writer.begin(lambda: was_woken.wait(20))
        assert writer.finish(later), "the update was answered after all else of its batch"
        assert writer.finish(written) == "written"


def test_an_update_waits_for_one_other_job_at_most() -> None:
    committer = Obedient()
    with closing(writer_of(committer)) as writer:
        with together(writer):
            first = writer.begin(lambda: writer.begin(update("m-1")))
            second = writer.begin(lambda: committer.done.append("second"))
        writer.finish(first)
        writer.finish(second)
    assert committer.done == ["m-1", "second"]


def test_nobody_does_what_nobody_waits_for_any_more() -> None:
    committer, clock = Obedient(), HandClock()
    with closing(writer_of(committer, clock)) as writer:
        with together(writer):
            late = writer.begin(lambda: committer.done.append("late"))
            clock.turn(61)
        assert late.wait(60)
    assert isinstance(late.error, StoreUnavailable)
    assert committer.done == []


def test_that_one_job_has_no_answer_is_not_said_of_others_nor_that_they_have() -> None:
    committer, clock = Obedient(), HandClock()
    slow = StoreUnavailable("too slow")
    with closing(writer_of(committer, clock)) as writer:
        with pytest.raises(StoreUnavailable, match="too slow"):
            writer.submit(lambda: slow)
        assert writer.submit(update("m-1")) == "written"
        committer.failure = "full"
        with pytest.raises(StoreUnavailable, match="full"):
            writer.submit(update("m-2"))
        clock.turn(REST_SECONDS)
        with pytest.raises(StoreUnavailable, match="too slow"):
            writer.submit(lambda: slow)
        with pytest.raises(StoreUnavailable, match="full"):
            writer.submit(update("m-3"))
    assert committer.done == ["m-1", "m-2"], "an update was tried too soon"
