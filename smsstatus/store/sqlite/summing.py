"""Makes the sums that `tallies` reads.

It is done in three steps, since callbacks keep coming: a span is noted, its messages are read with
a connection of its own, and the sums are put in, some at a time, while the note is still there.
Whatever changes a message removes the notes of its spans (triggers of schema.sql see to that, and
nothing changes what a message cost alone), so the sums that count are those of its rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import add
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from ..contract import HOUR
from .connection import marks, reading
from .tallies import (
    COLUMNS,
    DAY,
    FROM_ROWS,
    KIND,
    READING,
    ROW_SUMS,
    SUMS,
    TEN,
    done_spans,
    gaps_between,
    next_to,
)

SETTLING = timedelta(hours=1)
"""An hour is summed up once it has been over for that long: few callbacks come any later."""
OLD = timedelta(hours=12)
"""The same of longer spans."""

PUT = 500
"""So many sums are put in at a time: callbacks wait for that long."""

T = TypeVar("T")

_IS_SAME = " AND ".join([f"kinds.{name} IS {{}}" for name in KIND])


@dataclass(frozen=True, slots=True)
class NoteSpan:
    span: str
    reader: str


def next_span(path: Path, now: str) -> NoteSpan | None:
    """The newest hour that is over and not summed up, else day, else ten days; None if none is."""
    moment = datetime.fromisoformat(now)
    over, old = (moment - SETTLING).isoformat()[:HOUR], (moment - OLD).isoformat()[:DAY]
    with reading(path) as connection:
        ((oldest,),) = connection.execute("SELECT min(created_at) FROM messages").fetchall()
        if oldest is None:
            return None
        for end, length in ((over, HOUR), (old, DAY), (old, TEN)):
            if span := _newest_of(connection, oldest[:length], end[:length], length):
                return NoteSpan(span, f"{READING}{uuid4().hex}")
    return None


def _newest_of(connection: sqlite3.Connection, first: str, end: str, length: int) -> str | None:
    """The newest span of this length with messages that is not summed up; `first` is the first."""
    before = end
    for (span,) in connection.execute(
        """SELECT span FROM summed_spans
           WHERE reader < ? AND length(span) = ? AND span >= ? AND span < ?
           ORDER BY span DESC""",
        (READING, length, first, end),
    ).fetchall():
        if next_to(span) < before and (found := _newest(connection, next_to(span), before)):
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


def note_span(connection: sqlite3.Connection, noted: NoteSpan) -> None:
    """From now on a change of its messages is noticed."""
    connection.execute(
        """INSERT INTO summed_spans (span, reader) VALUES (?, ?)
           ON CONFLICT (span) DO UPDATE SET reader = excluded.reader WHERE reader >= ?""",
        (noted.span, noted.reader, READING),
    )


def sum_up(path: Path, noted: NoteSpan, submit: Callable[[object], Any]) -> None:
    """Read what there is of a span that was noted, and put the sums in."""
    names = ", ".join(KIND)
    columns = ", ".join([f"{COLUMNS[name]} AS {name}" for name in KIND])
    is_same = _IS_SAME.format(*[f"found.{name}" for name in KIND])
    start, end = noted.span, next_to(noted.span)
    with reading(path) as connection:
        connection.execute("BEGIN")
        done = tuple([s for s in done_spans(connection, start, end) if len(s[0]) > len(noted.span)])
        rows = connection.execute(
            f"""SELECT kind, {SUMS} FROM sums
                WHERE span IN (SELECT value FROM json_each(?)) GROUP BY kind""",
            (json.dumps([span for span, _ in done]),),
        ).fetchall()
        for first, last in sorted(gaps_between(start, end, done)):
            rows += connection.execute(
                f"""SELECT id, messages, units, amount, {", ".join([f"found.{n}" for n in KIND])}
                    FROM (SELECT {columns}, {ROW_SUMS} {FROM_ROWS} GROUP BY {names}) AS found
                    LEFT JOIN kinds ON {is_same}""",
                {"start": first, "end": last},
            ).fetchall()
    sums: dict[int, tuple[int, ...]] = {}
    new = [row for row in rows if row[0] is None]
    found = [(row[0], *row[1:4]) for row in rows if row[0] is not None]
    for some in _some(new):
        ids = submit(partial(find_kinds, kinds=[row[4:] for row in some]))
        found += [(kind, *row[1:4]) for kind, row in zip(ids, some, strict=True)]
    for kind, *counts in found:
        sums[kind] = tuple(map(add, sums.get(kind, (0, 0, 0)), counts))
    parts = list(_some([(kind, *sums[kind]) for kind in sorted(sums)])) or [[]]
    for number, part in enumerate(parts, 1):
        is_last = number == len(parts)
        submit(partial(put_sums, noted=noted, sums=part, is_first=number == 1, is_last=is_last))


def _some(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    yield from (rows[start : start + PUT] for start in range(0, len(rows), PUT))


def find_kinds(
    connection: sqlite3.Connection, kinds: Sequence[tuple[str | None, ...]]
) -> list[int]:
    """The ids of these kinds; those that are not there are added."""
    return [_id_of(connection, kind) for kind in kinds]


def _id_of(connection: sqlite3.Connection, kind: tuple[str | None, ...]) -> int:
    marked = _IS_SAME.format(*"?" * len(KIND))
    found = connection.execute(f"SELECT id FROM kinds WHERE {marked}", kind).fetchall()
    if found:
        return int(found[0][0])
    is_sent = kind[KIND.index("status")] == "sent"
    next_id = "min(id, 0) - 1" if is_sent else "max(id, 0) + 1"
    last = "min(id)" if is_sent else "max(id)"
    cursor = connection.execute(
        f"""INSERT INTO kinds (id, {", ".join(KIND)})
            SELECT {next_id}, {marks(KIND)} FROM (
                SELECT coalesce({last}, 0) AS id FROM kinds)""",
        kind,
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def put_sums(
    connection: sqlite3.Connection,
    noted: NoteSpan,
    sums: Sequence[tuple[int, ...]],
    *,
    is_first: bool,
    is_last: bool,
) -> None:
    """Put some sums in, unless a message has changed since the span was noted."""
    if not connection.execute(
        "SELECT 1 FROM summed_spans WHERE span = ? AND reader = ?", (noted.span, noted.reader)
    ).fetchall():
        return
    if is_first:
        connection.execute("DELETE FROM sums WHERE span = ?", (noted.span,))
    connection.executemany(
        "INSERT INTO sums (span, kind, messages, units, amount) VALUES (?, ?, ?, ?, ?)",
        [(noted.span, *row) for row in sums],
    )
    if is_last:
        connection.execute(
            "UPDATE summed_spans SET reader = ? WHERE span = ?",
            (noted.reader.removeprefix(READING), noted.span),
        )
