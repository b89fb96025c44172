"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

So are days that are some days ago, since the hours of weeks are many. A span, an hour or a day, is
written as what its times begin with.

It is summed up in three steps, since callbacks keep coming: it is noted, its messages are read with
a connection of its own, and the sums are put in if the note is still there. Whatever changes a
message removes the notes of its spans (triggers of schema.sql see to that, and nothing changes what
a message cost alone), so the sums that count are those of its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..contract import Tally
from .connection import marks, reading

HOUR, DAY = len("2026-11-01T12"), len("2026-11-01")
SETTLING = timedelta(hours=1)
"""An hour is summed up once it has been over for that long: few callbacks come any later."""
OLD = timedelta(days=4)
"""Days before that are summed up whole: by then nobody asks for what is `sent` by the hour."""

SUMMED, LEFT = "", "-"
"""What summed_spans says of a span instead of who reads it; what is left is read row by row."""
PAYS = 4
"""Where a sum stands for fewer messages than that on average, reading those is as quick."""

SENDER = "ltrim(m.sender_number, '+')"
COLUMNS: Mapping[str, str] = {
    "country": "f.country",
    "network": "f.network",
    "sender": SENDER,
    "error_code": "m.error_code",
    "status": "m.current_status",
}
"""What stands for each of contract.GROUPS in a query of messages m and their facts f."""

FROM_ROWS = """
    FROM messages AS m INDEXED BY messages_by_time
    LEFT JOIN message_facts AS f ON f.message_id = m.id
    WHERE m.created_at >= ? AND m.created_at < ?
    """
_SUMS = "sum(messages), sum(units), sum(amount)"
_ROW_SUMS = "count(*), sum(coalesce(f.units, 0)), sum(coalesce(f.amount, 0))"


@dataclass(frozen=True, slots=True)
class NoteSpan:
    span: str
    reader: str


@dataclass(frozen=True, slots=True)
class PutSpan:
    span: str
    reader: str
    rows: tuple[tuple[Any, ...], ...]


def read_tally(
    path: Path, since: str, until: str, by: Sequence[str], first_hour: str
) -> list[Tally]:
    """The sums of the spans that have them, and of the rows for what is between those."""
    found: dict[tuple[Any, ...], list[int]] = {}
    with reading(path) as connection:
        connection.execute("BEGIN")
        for *key, messages, units, amount in _parts(connection, since, until, by, first_hour):
            sums = found.setdefault(tuple(key), [0, 0, 0])
            sums[0] += messages
            sums[1] += units
            sums[2] += amount
    return [
        Tally(tuple(group), country, status, hour, *sums)
        for (*group, country, status, hour), sums in found.items()
    ]


def _parts(
    connection: sqlite3.Connection, since: str, until: str, by: Sequence[str], first_hour: str
) -> Iterator[sqlite3.Row]:
    done = _done(connection, since, until)
    columns = [*by, "country", "status", "iif(status = 'sent', max(span, ?), '')"]
    yield from connection.execute(
        f"""SELECT {", ".join(columns)}, {_SUMS} FROM tallies
            WHERE span IN ({marks(done)}) GROUP BY {_numbers(columns)}""",
        (first_hour, *done),
    ).fetchall()
    columns = [COLUMNS[name] for name in (*by, "country", "status")]
    columns.append(f"iif(m.current_status = 'sent', max(substr(m.created_at, 1, {HOUR}), ?), '')")
    for start, end in _between(since, until, done):
        yield from connection.execute(
            f"""SELECT {", ".join(columns)}, {_ROW_SUMS} {FROM_ROWS}
                GROUP BY {_numbers(columns)}""",
            (first_hour, start, end),
        ).fetchall()


def _done(connection: sqlite3.Connection, since: str, until: str) -> list[str]:
    """The spans of a window that are summed up, in their order; none within another."""
    found: list[str] = []
    for (span,) in connection.execute(
        "SELECT span FROM summed_spans WHERE reader = ? AND span >= ? AND span < ? ORDER BY span",
        (SUMMED, since[:DAY], until),
    ).fetchall():
        is_whole = _first(since, len(span)) <= span < until[: len(span)]
        if is_whole and not (found and span.startswith(found[-1])):  # a day stands before its hours
            found.append(span)
    return found


def _numbers(columns: Sequence[str]) -> str:
    return ", ".join(str(number) for number in range(1, len(columns) + 1))


def _between(since: str, until: str, done: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What these spans leave of a window."""
    edges = [since, *(edge for span in done for edge in (span, _next(span))), until]
    yield from ((start, end) for start, end in list(pairwise(edges))[::2] if start < end)


def _first(since: str, length: int) -> str:
    """The first whole span of a window."""
    span = since[:length]
    return span if since[length:].strip("T:0.Z") == "" else _next(span)


def _next(span: str) -> str:
    length = len(span)
    step = timedelta(hours=1) if length == HOUR else timedelta(days=1)
    try:
        return (datetime.fromisoformat(f"{span}:00"[:16]) + step).isoformat()[:length]
    except OverflowError:
        return "~"


def next_span(path: Path, now: str) -> NoteSpan | None:
    """The newest hour that is over and not summed up, else the newest such day; None if all are."""
    moment = datetime.fromisoformat(now)
    over, old = (moment - SETTLING).isoformat()[:HOUR], (moment - OLD).isoformat()[:DAY]
    with reading(path) as connection:
        ((oldest,),) = connection.execute("SELECT min(created_at) FROM messages").fetchall()
        if oldest is None:
            return None
        span = _newest_of(connection, oldest[:HOUR], over, HOUR)
        span = span or _newest_of(connection, oldest[:DAY], old, DAY)
    return NoteSpan(span, uuid4().hex) if span else None


def _newest_of(connection: sqlite3.Connection, first: str, end: str, length: int) -> str | None:
    """The newest span of this length with messages that is not summed up; `first` is the first."""
    before = end
    for (span,) in connection.execute(
        """SELECT span FROM summed_spans
           WHERE reader IN (?, ?) AND length(span) = ? AND span >= ? AND span < ?
           ORDER BY span DESC""",
        (SUMMED, LEFT, length, first, end),
    ).fetchall():
        if _next(span) < before and (found := _newest(connection, _next(span), before)):
            return found[:length]
        before = span
    found = _newest(connection, first, before)
    return None if found is None else found[:length]


def _newest(connection: sqlite3.Connection, since: str, before: str) -> str | None:
    ((newest,),) = connection.execute(
        "SELECT max(created_at) FROM messages WHERE created_at >= ? AND created_at < ?",
        (since, before),
    ).fetchall()
    return newest  # type: ignore[no-any-return]


def note_span(connection: sqlite3.Connection, job: NoteSpan) -> None:
    """From now on a change of its messages is noticed."""
    connection.execute(
        """INSERT INTO summed_spans (span, reader) VALUES (?, ?)
           ON CONFLICT (span) DO UPDATE SET reader = excluded.reader WHERE reader NOT IN (?, ?)""",
        (job.span, job.reader, SUMMED, LEFT),
    )


def sum_up(path: Path, noted: NoteSpan) -> PutSpan:
    """Read what there is of a span that was noted."""
    columns = ", ".join(COLUMNS[name] for name in _STORED)
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT {columns}, {_ROW_SUMS} {FROM_ROWS} GROUP BY {_numbers(_STORED)}",
            (noted.span, _next(noted.span)),
        ).fetchall()
    return PutSpan(noted.span, noted.reader, tuple([tuple(row) for row in rows]))


_STORED = ("country", "network", "sender", "status", "error_code")


def put_span(connection: sqlite3.Connection, job: PutSpan) -> None:
    """Put the sums in where that pays, unless a message has changed since the span was noted."""
    pays = PAYS * len(job.rows) <= sum([row[len(_STORED)] for row in job.rows])
    noted = connection.execute(
        "UPDATE summed_spans SET reader = ? WHERE span = ? AND reader = ?",
        (SUMMED if pays else LEFT, job.span, job.reader),
    )
    if noted.rowcount == 1:
        connection.execute("DELETE FROM tallies WHERE span = ?", (job.span,))
    if noted.rowcount == 1 and pays:
        connection.executemany(
            """INSERT INTO tallies (span, number, country, network, sender, status, error_code,
                   messages, units, amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            [(job.span, number, *row) for number, row in enumerate(job.rows)],
        )
