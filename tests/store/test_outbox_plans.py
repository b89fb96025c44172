"""What the outbox is asked costs the same however many changes wait or were handed on.

As in tests/api/test_plans.py the steps of SQLite's machine are counted, which do not depend on the
computer.
"""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smsstatus.store.outbox import COUNTED, Fate, Settlement, Wanted
from smsstatus.store.sqlite import changes, connection
from smsstatus.store.sqlite.store import SqliteStore

from ..api.test_plans import (
    STATISTICS,
    Watched,
    filling,
    full_scans,
    with_and_without_statistics,
)

MESSAGES = 30_000
NOW = "2026-11-02T00:00:00.000000Z"
STEPS_COUNTED = 8
"""Of SQLite's machine, for each row that is counted. Eight times as many wait as are counted."""

FILL_MESSAGES = f"""
    INSERT INTO messages (id, message_uuid, initial_status, current_status, status_timestamp,
        created_at, updated_at, is_final, sequence, rank, digest)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MESSAGES})
    SELECT i, printf('%08d-0000-4000-8000-000000000000', i), 'queued', 'delivered', '',
        '2026-11-01', '2026-11-01', 1, 0, 4, zeroblob(24) FROM n
    """
FILL_EVENTS = """
    INSERT INTO status_events (message_id, digest, status, status_timestamp, sequence, rank,
        is_final, received_at, source, parameters)
    SELECT m.id, CAST(printf('%012d%012d', m.id, step) AS BLOB), status, '', 0, s.rank, s.rank = 4,
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2026-11-01', (m.id + 1000 * step) || ' seconds'),
        'callback', x'00'
    FROM messages AS m JOIN (
        SELECT 0 AS step, 'queued' AS status, 1 AS rank
        UNION ALL SELECT 1, 'sent', 2 UNION ALL SELECT 2, 'delivered', 4) AS s
    ORDER BY m.id + 1000 * step
    """
FILL_FORWARDS = """
    INSERT INTO forwards (event_id, message_id, due_at, state)
    SELECT id, message_id, iif(id % 10, received_at, NULL), iif(id % 10, 'waiting', 'dead')
    FROM status_events
    """


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Many changes wait and many are dead."""
    path = tmp_path_factory.mktemp("outbox") / "sms.db"
    SqliteStore(path).prepare()
    with filling(path) as connection:
        for statement in (FILL_MESSAGES, FILL_EVENTS, FILL_FORWARDS):
            connection.execute(statement)
    return with_and_without_statistics(path)


@pytest.fixture(params=STATISTICS)
def full(filled: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return filled[request.param]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr(connection, "open_readonly", watched.open)
    return watched


def due(path: Path, *, newest_first: bool, but: range = range(0)) -> object:
    return changes.read_due(path, NOW, 16, newest_first=newest_first, but=but, some=len(but))


READS: dict[str, Callable[[Path], object]] = {
    "read_due": lambda path: due(path, newest_first=False),
    "read_due, while some are on their way": lambda path: due(
        path, newest_first=False, but=range(1, 101)
    ),
    "read_due, newest first": lambda path: due(path, newest_first=True),
    "read_state": lambda path: changes.read_state(path, NOW),
    "read_dead": lambda path: changes.read_dead(path, 20),
    "read_news": lambda path: changes.read_news(path, None, 50),
    "read_end": changes.read_end,
}


@pytest.mark.parametrize("name", READS)
def test_what_is_read_does_not_depend_on_how_many_there_are(
    full: Path, watched: Watched, name: str
) -> None:
    assert READS[name](full)
    assert watched.steps < (2 * COUNTED * STEPS_COUNTED if name == "read_state" else 20_000)
    for plan, statement in watched.plans(full):
        assert full_scans(plan, statement) == [], plan


def test_no_read_was_left_out() -> None:
    reads = {
        name
        for name, function in inspect.getmembers(changes, inspect.isfunction)
        if function.__module__ == changes.__name__
        and "path" in inspect.signature(function).parameters
    }
    assert reads == {name.partition(",")[0] for name in READS}


@pytest.fixture
def store(full: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(full, wanted=Wanted())
    yield store
    store.outbox.release()
    store.close()


def steps_of(store: SqliteStore, write: Callable[[], object]) -> int:
    """After how many steps the writer has done it."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 10

    def watch(writable: sqlite3.Connection) -> None:
        writable.set_progress_handler(count, 10)

    store.writer.submit(watch)
    write()
    return counted


UUID = f"{7:08}-0000-4000-8000-000000000000"


def test_what_is_written_does_not_depend_on_how_many_there_are(store: SqliteStore) -> None:
    (claimed,) = store.outbox.claim(NOW, 1)
    failed = Settlement(claimed=claimed, fate=Fate.WAITING, at=NOW, answer="503", due_at="2027")
    writes: dict[str, Callable[[], object]] = {
        "settle": lambda: store.outbox.settle([failed]),
        "retry one": lambda: store.outbox.retry(NOW, UUID),
        "skip one": lambda: store.outbox.skip(NOW, UUID),
        "hasten": lambda: store.outbox.hasten(NOW, NOW),
        "retry some": lambda: store.outbox.retry(NOW),
        "skip some": lambda: store.outbox.skip(NOW),
    }
    for name, write in writes.items():
        few = not name.endswith("some") and name != "hasten"
        assert 0 < steps_of(store, write) < (2_000 if few else 200_000), name


def test_what_failed_long_ago_is_looked_at_within_a_bound(store: SqliteStore) -> None:
    """However many are due later, and none of them to be hastened."""
    store.writer.submit(
        lambda writable: writable.execute("UPDATE forwards SET failing_since = '2026'").rowcount
    )
    found: list[int] = []
    steps = steps_of(store, lambda: found.append(store.outbox.hasten("2026-11-01", "2027")))
    assert found == [0]
    assert 0 < steps < 200_000
