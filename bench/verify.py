"""Looks in a service's database for every callback that it has answered with 200."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.callbacks import RANKS, Callback
from bench.postgres import Database

_STORED = """
    SELECT m.message_uuid, m.current_status, e.status FROM messages m
    JOIN status_events e ON e.message_id = m.id WHERE m.message_uuid"""


@dataclass(frozen=True)
class Verdict:
    """`lost` updates have no event; `behind` messages show an older status than was answered."""

    distinct: int
    lost: int
    behind: int
    intact: bool

    @property
    def good(self) -> bool:
        """Whether the database holds all that was promised."""
        return self.intact and not self.lost and not self.behind


def verify(database: Database, answered: Iterable[Callback], *, whole: bool = True) -> Verdict:
    """Look up each answered callback. Opening SQLite's file replays what its log (WAL) holds.

    `whole` also lets SQLite check the file, which takes minutes for a filled one.
    """
    promised: dict[str, set[str]] = defaultdict(set)
    for callback in answered:
        promised[callback.message_uuid].add(callback.status)
    intact = True
    if isinstance(database, Path):
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            rows = [
                row for uuid in promised for row in connection.execute(f"{_STORED} = ?", (uuid,))
            ]
            intact = not whole or _is_intact(connection)
    else:
        with psycopg.connect(database.url) as server:
            rows = server.execute(f"{_STORED} = ANY (%s)".encode(), ([*promised],)).fetchall()
    current: dict[str, str] = {}
    stored: dict[str, set[str]] = defaultdict(set)
    for uuid, current[uuid], status in rows:
        stored[uuid].add(status)
    lost = sum(len(statuses - stored[uuid]) for uuid, statuses in promised.items())
    behind = sum(
        RANKS.get(current.get(uuid, ""), 0) < max(RANKS[status] for status in statuses)
        for uuid, statuses in promised.items()
    )
    return Verdict(sum(map(len, promised.values())), lost, behind, intact)


def _is_intact(connection: sqlite3.Connection) -> bool:
    row = connection.execute("PRAGMA quick_check(1)").fetchone()
    return bool(row == ("ok",))
