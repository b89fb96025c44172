"""What becomes of the jobs of one batch, whatever the database is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from queue import SimpleQueue

import pytest

from smsstatus.store.contract import StoreUnavailable, WorkRefused
from smsstatus.store.groupcommit import GroupCommit, Mistake, Ticket, commit_together

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
    """A committer that does its jobs."""

    def commit(self, jobs: Sequence[Callable[[], object]]) -> list[object]:
        return [job() if callable(job) else "written" for job in jobs]

    def close(self) -> None:
        pass


def test_who_waits_for_an_update_is_woken_before_what_came_with_it_is_done() -> None:
    are_queued, was_woken = threading.Event(), threading.Event()
    with closing(GroupCommit(Obedient, answer_seconds=60, apart=True)) as writer:
        writer.begin(lambda: are_queued.wait(60))
        update = writer.begin(update_of(at("sent", MessageUUID="m-1")), was_woken.set)
        later = writer.begin(lambda: was_woken.wait(20))
        are_queued.set()
        assert writer.finish(later), "the update was answered after all else of its batch"
        assert writer.finish(update) == "written"
