"""Who hands on where there is one file: one process, and what it has claimed is in its memory."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smsstatus.store.outbox import CLAIM_SECONDS, CursorUnknown, Fate, Wanted
from smsstatus.store.sqlite.outbox import SqliteOutbox
from smsstatus.store.sqlite.store import SqliteStore

from ..handing_on import LATER, answered, come, fates, follow, live, statuses, take_all
from ..updates import at

Open = Callable[..., SqliteStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Open a store on one file; called again, another one on the same file."""
    opened = []

    def make(wanted: Wanted | None) -> SqliteStore:
        opened.append(SqliteStore(tmp_path / "sms.db", wanted=wanted))
        opened[-1].prepare()
        return opened[-1]

    yield make
    for store in opened:
        store.outbox.release()
        store.close()


@pytest.fixture
def store(open_store: Open) -> SqliteStore:
    """A store that hands every change on."""
    return open_store(Wanted())


def test_who_does_not_settle_in_time_loses_its_claim(open_store: Open) -> None:
    store = open_store(Wanted())
    moment = 0.0
    outbox = SqliteOutbox(store.path, store.writer, Wanted(), clock=lambda: moment)
    come(store, at("sent"))
    (lost,) = outbox.claim(LATER, 10)
    moment += CLAIM_SECONDS - 1
    assert outbox.claim(LATER, 10) == []
    moment += 2
    (again,) = outbox.claim(LATER, 10)
    assert again.claim != lost.claim
    assert outbox.settle([answered(lost, Fate.DEAD)]) == 0
    assert outbox.settle([answered(again, Fate.TAKEN)]) == 1
    outbox.release()


def test_one_process_hands_on_until_it_lets_another(open_store: Open) -> None:
    one, other = open_store(Wanted()), open_store(Wanted())
    live(one)
    (claimed,) = one.outbox.claim(LATER, 10)
    assert other.outbox.claim(LATER, 10) == []
    one.outbox.release()
    assert one.outbox.settle([answered(claimed, Fate.DEAD)]) == 0
    assert take_all(other.outbox) == ["queued", "sent", "delivered"]
    assert one.outbox.claim(LATER, 10) == []


CLAIM = """
import sys
from pathlib import Path
from smsstatus.store.outbox import Wanted
from smsstatus.store.sqlite.store import SqliteStore

print(len(SqliteStore(Path(sys.argv[1]), wanted=Wanted()).outbox.claim("9", 10)), flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_had_claimed_is_free_at_once(store: SqliteStore) -> None:
    live(store)
    command = [sys.executable, "-c", CLAIM, str(store.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        assert store.outbox.claim(LATER, 10) == []
        holder.kill()
    assert take_all(store.outbox) == ["queued", "sent", "delivered"]


def test_a_lock_that_somebody_deleted_is_taken_again(open_store: Open) -> None:
    store = open_store(Wanted())
    live(store)
    (claimed,) = store.outbox.claim(LATER, 10)
    store.path.with_name("sms.db.forward-lock").unlink()
    store.outbox.settle([answered(claimed, Fate.TAKEN)])
    assert statuses(store.outbox.claim(LATER, 10)) == ["sent"]
    assert open_store(Wanted()).outbox.claim(LATER, 10) == []


def test_nothing_of_another_database_is_settled(open_store: Open, tmp_path: Path) -> None:
    """A backup was put in place of the file: its ids mean other events."""
    store = open_store(Wanted())
    come(store, at("sent"), uuid="another")
    store.backup(tmp_path / "backup.db")
    fresh = SqliteStore(tmp_path / "other.db", wanted=Wanted())
    come(fresh, at("sent"), uuid="a-uuid")
    (claimed,) = fresh.outbox.claim(LATER, 10)
    shutil.copy(tmp_path / "backup.db", tmp_path / "incoming.db")
    (tmp_path / "incoming.db").rename(tmp_path / "other.db")
    assert fresh.outbox.settle([answered(claimed, Fate.DEAD)]) == 0
    assert take_all(fresh.outbox) == ["sent"]
    assert fates(fresh, "another") == ["taken"]
    fresh.close()
    fresh.outbox.release()


@pytest.mark.parametrize("more", [0, 1, 2], ids=["no more", "as many", "more"])
def test_a_cursor_of_a_database_that_was_replaced_is_said_to_be_unknown(
    open_store: Open, tmp_path: Path, more: int
) -> None:
    store = open_store(None)
    come(store, at("sent"), uuid="one")
    store.backup(tmp_path / "backup.db")
    come(store, at("sent"), uuid="two")
    _, cursor = follow(store.outbox, None)
    (tmp_path / "backup.db").rename(store.path)
    store.look()
    for number in range(more):
        come(store, at("sent"), uuid=f"more-{number}")
    with pytest.raises(CursorUnknown):
        store.outbox.news(cursor, 10)


def test_a_change_whose_parameters_are_damaged_is_handed_on_without_them(
    store: SqliteStore, writable: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """All that come after it would wait for it for good."""
    live(store)
    writable.execute("UPDATE status_events SET parameters = x'ff' WHERE status = 'queued'")
    (claimed,) = store.outbox.claim(LATER, 10)
    assert (claimed.change.status, claimed.change.parameters) == ("queued", "")
    assert "event 1 of message a-uuid: an event cannot be read" in caplog.text
    assert len(store.outbox.news(None, 10).changes) == 3
    store.outbox.settle([answered(claimed, Fate.TAKEN)])
    assert take_all(store.outbox) == ["sent", "delivered"]
