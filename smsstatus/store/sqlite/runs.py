"""The memory of the upkeep in the SQLite file; `runs.Runs` says what each method promises."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from ..groupcommit import GroupCommit
from ..runs import Outage, Run
from .connection import reading

_RUN = "task, began_at, ended_at, next_at, is_ok, found"


@dataclass(frozen=True, slots=True)
class Beat:
    now: str
    down_before: str
    first_since: str

    def do(self, connection: sqlite3.Connection) -> None:
        ((up_at,),) = connection.execute("SELECT max(up_at) FROM heartbeat").fetchall()
        if up_at is None or up_at < self.down_before:
            connection.execute(
                """INSERT INTO outages (since, until) VALUES (?, ?)
                   ON CONFLICT (since) DO UPDATE SET until = max(until, excluded.until)""",
                (up_at or self.first_since, self.now),
            )
        connection.execute(
            """INSERT INTO heartbeat (id, up_at) VALUES (1, ?)
               ON CONFLICT (id) DO UPDATE SET up_at = excluded.up_at""",
            (self.now,),
        )


@dataclass(frozen=True, slots=True)
class NoteListed:
    """Noting the same again adds nothing."""

    since: str
    listed_until: str
    missed: int

    def do(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            """UPDATE outages SET listed_until = ?, missed = missed + ?
               WHERE since = ? AND listed_until < ?""",
            (self.listed_until, self.missed, self.since, self.listed_until),
        )


@dataclass(frozen=True, slots=True)
class NoteRun:
    run: Run

    def do(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            f"INSERT OR REPLACE INTO upkeep ({_RUN}) VALUES (?, ?, ?, ?, ?, ?)", astuple(self.run)
        )


class SqliteRuns:
    """The memory of the upkeep. Safe to use from any thread and after a fork."""

    def __init__(self, path: Path, writer: GroupCommit) -> None:
        self._path = path
        self._writer = writer

    def beat(self, now: str, *, down_before: str, first_since: str) -> None:
        self._writer.submit(Beat(now, down_before, first_since))

    def up_at(self) -> str:
        with reading(self._path) as connection:
            ((up_at,),) = connection.execute("SELECT max(up_at) FROM heartbeat").fetchall()
        return up_at or ""

    def outages(self, limit: int = 100) -> Sequence[Outage]:
        with reading(self._path) as connection:
            rows = connection.execute(
                """SELECT since, until, listed_until, missed FROM outages
                   ORDER BY since DESC LIMIT ?""",
                (limit,),
            ).fetchall()
        return [Outage(**dict(row)) for row in rows]

    def note_listed(self, since: str, listed_until: str, missed: int) -> None:
        self._writer.submit(NoteListed(since, listed_until, missed))

    def note(self, run: Run) -> None:
        self._writer.submit(NoteRun(run))

    def last(self) -> Sequence[Run]:
        with reading(self._path) as connection:
            rows = connection.execute(f"SELECT {_RUN} FROM upkeep ORDER BY task").fetchall()
        return [Run(**{**dict(row), "is_ok": bool(row["is_ok"])}) for row in rows]
