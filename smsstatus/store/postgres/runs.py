"""The memory of the upkeep in PostgreSQL; `runs.Runs` says what each method promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

from ..groupcommit import GroupCommit
from ..runs import Outage, Run
from .columns import as_text
from .connection import Connection

Read = Callable[[Callable[[Connection], Any]], Any]


class PostgresRuns:
    """The memory of the upkeep. Safe to use from any thread and after a fork.

    All that is written says what is to be, so that doing it twice changes nothing.
    """

    def __init__(self, writer: GroupCommit, read: Read) -> None:
        self._writer = writer
        self._read = read

    def beat(self, now: str, *, down_before: str, first_since: str) -> None:
        self._write(
            """INSERT INTO outages AS o (since, until)
               SELECT coalesce(max(up_at), %s), %s FROM heartbeat
               HAVING coalesce(max(up_at) < %s, true)
               ON CONFLICT (since) DO UPDATE SET until = greatest(o.until, excluded.until)""",
            (first_since, now, down_before),
            """INSERT INTO heartbeat (up_at) VALUES (%s)
               ON CONFLICT (id) DO UPDATE SET up_at = excluded.up_at""",
            (now,),
        )

    def up_at(self) -> str:
        rows = self._rows(f"SELECT {as_text('max(up_at)')} FROM heartbeat")
        return rows[0][0] or ""

    def outages(self, limit: int) -> Sequence[Outage]:
        return self._outages("WHERE o.since < o.until ORDER BY o.since DESC LIMIT %s", limit)

    def unlisted(self, after: str) -> Sequence[Outage]:
        return self._outages(
            "WHERE coalesce(o.listed_until < o.until, true) AND o.until > %s ORDER BY o.since",
            after,
        )

    def _outages(self, which: str, value: object) -> Sequence[Outage]:
        rows = self._rows(
            f"""SELECT {as_text("since")}, {as_text("until")},
                    coalesce({as_text("listed_until")}, ''), missed
                FROM outages AS o {which}""",
            (value,),
        )
        return [
            Outage(since=since, until=until, listed_until=listed, missed=missed)
            for since, until, listed, missed in rows
        ]

    def note_listed(
        self, since: str, listed_until: str, missed: int, short: Outage | None = None
    ) -> None:
        statements: list[str | Sequence[object]] = [
            """UPDATE outages SET listed_until = %s, missed = missed + %s
               WHERE since = %s AND coalesce(listed_until < %s, true)""",
            (listed_until, missed, since, listed_until),
        ]
        if short is not None:
            statements += (
                """INSERT INTO outages (since, until, listed_until, missed)
                   VALUES (%s, %s, %s, %s) ON CONFLICT (since) DO NOTHING""",
                astuple(short),
            )
        self._write(*statements)

    def note_short(self, short: Outage, since: str) -> None:
        self._write(
            """UPDATE outages AS o SET missed = o.missed + %s - part.missed
               FROM outages AS part WHERE part.since = %s AND o.since = %s""",
            (short.missed, short.since, since or None),
            "UPDATE outages SET listed_until = %s, missed = %s WHERE since = %s",
            (short.listed_until, short.missed, short.since),
            "DELETE FROM outages WHERE since = %s AND listed_until >= until",
            (short.since,),
        )

    def note(self, run: Run) -> None:
        self._write(
            """INSERT INTO upkeep (task, began_at, ended_at, next_at, is_ok, found)
               VALUES (%s, %s, %s, %s, %s, %s)
               ON CONFLICT (task) DO UPDATE SET began_at = excluded.began_at,
                   ended_at = excluded.ended_at, next_at = excluded.next_at,
                   is_ok = excluded.is_ok, found = excluded.found""",
            astuple(run),
        )

    def last(self) -> Sequence[Run]:
        rows = self._rows(
            f"""SELECT task, {as_text("began_at")}, {as_text("ended_at")}, {as_text("next_at")},
                    is_ok, found FROM upkeep ORDER BY task"""
        )
        return [
            Run(task=task, began_at=began, ended_at=ended, next_at=next_at, is_ok=ok, found=found)
            for task, began, ended, next_at, ok, found in rows
        ]

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        rows: list[Any] = self._read(
            lambda connection: connection.execute(query.encode(), values or None).fetchall()
        )
        return rows

    def _write(self, *statements: str | Sequence[object]) -> None:
        """Pairs of a statement and its values, in one transaction."""
        pairs = list(zip(statements[::2], statements[1::2], strict=True))

        def work(connection: Connection) -> None:
            for query, values in pairs:
                assert isinstance(query, str)
                connection.execute(query.encode(), values)

        self._writer.submit(work)
