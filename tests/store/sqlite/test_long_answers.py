"""Answers of thousands of rows let other threads run meanwhile."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from smsstatus.store.sqlite import connection
from smsstatus.store.sqlite.connection import ROWS_AT_ONCE, rows_of

from ..updates import DAY, at, update_of
from .test_tallies import EDGES, FIRST_HOUR, make


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One for each pause: what it would have taken."""
    pauses: list[float] = []
    monkeypatch.setattr(connection.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, 0), (1, 0), (ROWS_AT_ONCE - 1, 0), (ROWS_AT_ONCE, 1), (5 * ROWS_AT_ONCE + 1, 5)],
)
def test_between_some_rows_and_the_next_ones_there_is_a_pause(
    pauses: list[float], count: int, expected: int
) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        numbers = database.execute("SELECT value FROM json_each(?)", (json.dumps([*range(count)]),))
        assert list(rows_of(numbers)) == [(number,) for number in range(count)]
    assert len(pauses) == expected


def test_sums_messages_and_deliveries_are_read_with_pauses(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    within_an_hour = (f"{DAY}T12:00:01.000000Z", f"{DAY}T12:59:00.000000Z")
    with closing(make(tmp_path / "sms.db")) as store:
        timed = at("delivered", "12:00:07", MessageUUID="timed", QueuedTime=f"{DAY} 12:00:00")
        store.record(update_of(timed, f"{DAY}T12:30:00.000000Z"))
        monkeypatch.setattr(connection, "ROWS_AT_ONCE", 1)
        seen = []
        for read in (
            partial(store.tallies, EDGES, (), FIRST_HOUR),
            partial(store.tallies, within_an_hour, (), FIRST_HOUR),
            partial(store.delivery_times, *within_an_hour, (), 0),
            partial(store.tallies, EDGES, (), FIRST_HOUR),
        ):
            pauses.clear()
            read()
            seen.append(len(pauses) > 0)
    assert seen == [True, True, True, False]  # sums that are kept in memory are not read
