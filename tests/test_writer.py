"""Which callbacks share a commit, and what is said of a file that takes none."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from smsstatus.store import Store, StoreUnavailable
from smsstatus.store.writer import MAX_BATCH, _Job, _next_batch

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
