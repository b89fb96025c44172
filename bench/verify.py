"""Looks in a service's database for every callback that it has answered with 200."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.callbacks import RANKS, Callback


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


def verify(database: Path, answered: Iterable[Callback], *, whole: bool = True) -> Verdict:
    """Look up each answered callback. Opening the database replays what its log (WAL) holds.

    `whole` also lets SQLite check the file, which takes minutes for a filled one.
    """
    promised: dict[str, set[str]] = defaultdict(set)
    for callback in answered:
        promised[callback.message_uuid].add(callback.status)
    lost = behind = 0
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        for uuid, statuses in promised.items():
            current, stored = _stored(connection, uuid)
            lost += len(statuses - stored)
            behind += RANKS.get(current, 0) < max(RANKS[status] for status in statuses)
        intact = not whole or _is_intact(connection)
    return Verdict(sum(map(len, promised.values())), lost, behind, intact)


def _stored(connection: sqlite3.Connection, uuid: str) -> tuple[str, set[str]]:
    rows = connection.execute(
        "SELECT m.current_status, e.status FROM messages m"
        " JOIN status_events e ON e.message_id = m.id WHERE m.message_uuid = ?",
        (uuid,),
    ).fetchall()
    return (rows[0][0] if rows else ""), {row[1] for row in rows}


def _is_intact(connection: sqlite3.Connection) -> bool:
    row = connection.execute("PRAGMA quick_check(1)").fetchone()
    return bool(row == ("ok",))
