"""The memory of the upkeep in the SQLite file; `runs.Runs` says what each method promises."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path

from ..groupcommit import GroupCommit
from ..runs import Outage, Run
from .connection import reading

_RUN = "task, began_at, ended_at, next_at, is_ok, found"


class SqliteRuns:
    """The memory of the upkeep. Safe to use from any thread and after a fork."""

    def __init__(self, path: Path, writer: GroupCommit) -> None:
        self._path = path
        self._writer = writer

    def beat(self, now: str, *, down_before: str, first_since: str) -> None:
        self._writer.submit(
            partial(_beat, now=now, down_before=down_before, first_since=first_since)
        )

    def up_at(self) -> str:
        with reading(self._path) as connection:
            ((up_at,),) = connection.execute("SELECT max(up_at) FROM heartbeat").fetchall()
        return up_at or ""

    def outages(self, limit: int) -> Sequence[Outage]:
        return self._outages("WHERE since < until ORDER BY since DESC LIMIT ?", limit)

    def unlisted(self, after: str) -> Sequence[Outage]:
        return self._outages("WHERE listed_until < until AND until > ? ORDER BY since", after)

    def _outages(self, which: str, value: object) -> Sequence[Outage]:
        with reading(self._path) as connection:
            rows = connection.execute(
                f"SELECT since, until, listed_until, missed FROM outages {which}", (value,)
            ).fetchall()
        return [Outage(**dict(row)) for row in rows]

    def note_listed(
        self, since: str, listed_until: str, missed: int, short: Outage | None = None
    ) -> None:
        self._writer.submit(
            partial(
                _note_listed, since=since, listed_until=listed_until, missed=missed, short=short
            )
        )

    def note_short(self, short: Outage, since: str) -> None:
        self._writer.submit(partial(_note_short, short=short, since=since))

    def note(self, run: Run) -> None:
        self._writer.submit(partial(_note, run=run))

    def last(self) -> Sequence[Run]:
        with reading(self._path) as connection:
            rows = connection.execute(f"SELECT {_RUN} FROM upkeep ORDER BY task").fetchall()
        return [Run(**{**dict(row), "is_ok": bool(row["is_ok"])}) for row in rows]


def _beat(connection: sqlite3.Connection, now: str, down_before: str, first_since: str) -> None:
    ((up_at,),) = connection.execute("SELECT max(up_at) FROM heartbeat").fetchall()
    if up_at is None or up_at < down_before:
        connection.execute(
            """INSERT INTO outages (since, until) VALUES (?, ?)
               ON CONFLICT (since) DO UPDATE SET until = max(until, excluded.until)""",
            (up_at or first_since, now),
        )
    connection.execute(
        """INSERT INTO heartbeat (id, up_at) VALUES (1, ?)
           ON CONFLICT (id) DO UPDATE SET up_at = excluded.up_at""",
        (now,),
    )


def _note_listed(
    connection: sqlite3.Connection,
    since: str,
    listed_until: str,
    missed: int,
    short: Outage | None,
) -> None:
    """Noting the same again adds nothing."""
    connection.execute(
        """UPDATE outages SET listed_until = ?, missed = missed + ?
           WHERE since = ? AND listed_until < ?""",
        (listed_until, missed, since, listed_until),
    )
    if short is not None:
        connection.execute(
            """INSERT OR IGNORE INTO outages (since, until, listed_until, missed)
               VALUES (?, ?, ?, ?)""",
            astuple(short),
        )


def _note_short(connection: sqlite3.Connection, short: Outage, since: str) -> None:
    connection.execute(
        """UPDATE outages AS o SET missed = o.missed + ? - part.missed
           FROM outages AS part WHERE part.since = ? AND o.since = ?""",
        (short.missed, short.since, since),
    )
    connection.execute(
        "UPDATE outages SET listed_until = ?, missed = ? WHERE since = ?",
        (short.listed_until, short.missed, short.since),
    )
    connection.execute(
        "DELETE FROM outages WHERE since = ? AND listed_until >= until", (short.since,)
    )


def _note(connection: sqlite3.Connection, run: Run) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO upkeep ({_RUN}) VALUES (?, ?, ?, ?, ?, ?)", astuple(run)
    )
