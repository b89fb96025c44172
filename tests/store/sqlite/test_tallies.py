"""What spans came to is kept in memory: of the latest windows, and where that is not much."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.store.sqlite import tallies
from smsstatus.store.sqlite.connection import reading
from smsstatus.store.sqlite.store import SqliteStore

from ..conftest import write
from ..updates import at, update_of

EDGES = [f"2025-11-{day}T00:00:00.000000Z" for day in (10, 20, 30)]
FIRST_HOUR = "2025-11-30T00"


def counted(store: SqliteStore) -> list[int]:
    """Messages of a window, after those of the time before it."""
    return [
        sum(tally.messages for tally in found) for found in store.tallies(EDGES, (), FIRST_HOUR)
    ]


def make(path: Path, days: Iterable[int] = range(10, 30)) -> SqliteStore:
    """Three kinds of messages on each of some days, summed up."""
    store = SqliteStore(path)
    store.prepare()
    write(
        store,
        [
            update_of(
                at(status, MessageUUID=f"{day}-{status}"), f"2025-11-{day:02}T05:06:07.000000Z"
            )
            for day in days
            for status in ("delivered", "failed", "sent")
        ],
    )
    while store.sum_up_some("2999-01-01T00:00:00.000000Z"):
        pass
    return store


@pytest.mark.parametrize(("most", "again"), [(tallies.MOST_KEPT, [30, 30]), (0, [300, 300])])
def test_of_two_windows_spans_are_added_up_once_unless_they_have_many_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, again: list[int]
) -> None:
    monkeypatch.setattr(tallies, "MOST_KEPT", most)
    with closing(make(tmp_path / "sms.db")) as store:
        assert counted(store) == [30, 30]
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE sums SET messages = 10 * messages")
        assert counted(store) == again


def test_bars_are_added_up_from_spans_and_their_ends_counted(tmp_path: Path) -> None:
    edges = [f"2025-11-{time}:00.000000Z" for time in ("10T00:00", "20T05:06", "21T05:07")]
    with closing(make(tmp_path / "sms.db")) as store:
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE sums SET messages = 10 * messages")
        *_, last = store.history(edges)
        assert last == {"delivered": 2, "failed": 2, "sent": 2}, "5:06 is in no whole hour"
        assert store.history(EDGES)[0] == {"delivered": 100, "failed": 100, "sent": 100}
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE sums SET messages = 10 * messages")
        assert store.history(EDGES)[0]["sent"] == 100, "what it came to is kept"


@pytest.mark.parametrize(
    ("since", "spans"),
    [
        ("2025-11-01T00", ["2025-11-0", "2025-11-1", "2025-11-2", "2025-11-3"]),
        ("2025-11-10T00", ["2025-11-1", "2025-11-2", "2025-11-3"]),
    ],
)
def test_a_window_that_begins_with_ten_days_counts_them_at_once(
    tmp_path: Path, since: str, spans: list[str]
) -> None:
    with closing(make(tmp_path / "sms.db", range(1, 31))) as store, reading(store.path) as found:
        done = tallies.done_spans(found, f"{since}:00:00.000000Z", "2025-12-01T00:00:00.000000Z")
        assert [span for span, _ in done] == spans


def test_what_was_not_asked_for_longest_is_forgotten_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each window of ten days has a span and two groups of what is no more `sent`, and a span and a
    # group of what is: five, and there is room for two windows.
    monkeypatch.setattr(tallies, "MOST_KEPT", 10)
    tens = [
        ("2025-11-01", "2025-11-10"),
        ("2025-11-10", "2025-11-20"),
        ("2025-11-20", "2025-11-30"),
    ]

    def count(ten: int) -> int:
        since, until = (f"{day}T00:00:00.000000Z" for day in tens[ten])
        ((*found,),) = store.tallies([since, until], (), "2025-12-30T00")
        return sum(tally.messages for tally in found)

    with closing(make(tmp_path / "sms.db", range(1, 31))) as store:
        assert [count(ten) for ten in (0, 1, 0, 2)] == [27, 30, 27, 30]
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE sums SET messages = 10 * messages")
        assert [count(ten) for ten in (0, 2, 1)] == [27, 30, 300]
