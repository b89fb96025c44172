"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

So are days and tens of days, from the sums of their hours and days, since the hours of weeks are
many. A span, one of the three, is written as what its times begin with. What is `sent` counts by
the hour until it has no report (see `rates`), so kinds of messages with that status are kept apart.

It is summed up in three steps, since callbacks keep coming: it is noted, its messages are read with
a connection of its own, and the sums are put in, some at a time, while the note is still there.
Whatever changes a message removes the notes of its spans (triggers of schema.sql see to that, and
nothing changes what a message cost alone), so the sums that count are those of its rows.

Of many senders and networks a month has some hundred thousand sums. Grouping those by a number, the
kind of message, takes half as long as by five texts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from ..contract import Tally
from .connection import marks, reading

HOUR, DAY, TEN = len("2026-11-01T12"), len("2026-11-01"), len("2026-11-0")
SETTLING = timedelta(hours=1)
"""An hour is summed up once it has been over for that long: few callbacks come any later."""
OLD = timedelta(hours=12)
"""The same of longer spans."""

SUMMED = ""
"""What summed_spans says of a span instead of who reads it."""
PUT = 500
"""So many sums are put in at a time: callbacks wait for that long."""

T = TypeVar("T")

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
    WHERE m.created_at >= :start AND m.created_at < :end
    """
_SUMS = "sum(messages) AS messages, sum(units) AS units, sum(amount) AS amount"
_ROW_SUMS = """count(*) AS messages, sum(coalesce(f.units, 0)) AS units,
    sum(coalesce(f.amount, 0)) AS amount"""


@dataclass(frozen=True, slots=True)
class NoteSpan:
    span: str
    reader: str


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
    keys = [*by, "country", "status"]
    for equals, sign, hour, row_hour, suits in (
        ("<>", ">", "''", "''", lambda span: True),
        (
            "=",
            "<",
            "max(span, :first)",
            f"max(substr(m.created_at, 1, {HOUR}), :first)",
            lambda span: len(span) == HOUR or _next(span) <= first_hour,
        ),
    ):
        done = _done(connection, since, until, suits)
        yield from connection.execute(
            f"""SELECT {", ".join(keys)}, hour, {_SUMS} FROM (
                    SELECT kind, {hour} AS hour, {_SUMS} FROM sums
                    WHERE span IN (SELECT value FROM json_each(:spans)) AND kind {sign} 0
                    GROUP BY kind, {hour}
                ) JOIN kinds ON kinds.id = kind GROUP BY {_numbers(keys)}, hour""",
            {"spans": json.dumps(done), "first": first_hour},
        ).fetchall()
        columns = [*[COLUMNS[name] for name in keys], row_hour]
        for start, end in _between(since, until, done):
            yield from connection.execute(
                f"""SELECT {", ".join(columns)}, {_ROW_SUMS} {FROM_ROWS}
                        AND m.current_status {equals} 'sent'
                    GROUP BY {_numbers(columns)}""",
                {"start": start, "end": end, "first": first_hour},
            ).fetchall()


def _done(
    connection: sqlite3.Connection, since: str, until: str, suits: Callable[[str], bool]
) -> list[str]:
    """The spans of a window that are summed up, of those that suit, in their order; none within
    another.
    """
    found: list[str] = []
    for (span,) in connection.execute(
        "SELECT span FROM summed_spans WHERE reader = ? AND span >= ? AND span < ? ORDER BY span",
        (SUMMED, since[:TEN], until),
    ).fetchall():
        is_whole = _first(since, len(span)) <= span < until[: len(span)]
        if is_whole and suits(span) and not (found and span.startswith(found[-1])):
            found.append(span)  # a day stands before its hours
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
    if length == TEN and span[-1] < "3":
        return f"{span[:-1]}{int(span[-1]) + 1}"
    step = timedelta(hours=1) if length == HOUR else timedelta(days=1)
    try:
        if length == TEN:  # what begins with -3 ends before the month does, or with it
            return (datetime.fromisoformat(f"{span[:-1]}28") + 4 * step).isoformat()[:8] + "0"
        return (datetime.fromisoformat(f"{span}:00"[:16]) + step).isoformat()[:length]
    except OverflowError:
        return "~"


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
                return NoteSpan(span, uuid4().hex)
    return None


def _newest_of(connection: sqlite3.Connection, first: str, end: str, length: int) -> str | None:
    """The newest span of this length with messages that is not summed up; `first` is the first."""
    before = end
    for (span,) in connection.execute(
        """SELECT span FROM summed_spans
           WHERE reader = ? AND length(span) = ? AND span >= ? AND span < ?
           ORDER BY span DESC""",
        (SUMMED, length, first, end),
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


def note_span(connection: sqlite3.Connection, noted: NoteSpan) -> None:
    """From now on a change of its messages is noticed."""
    connection.execute(
        """INSERT INTO summed_spans (span, reader) VALUES (?, ?)
           ON CONFLICT (span) DO UPDATE SET reader = excluded.reader WHERE reader <> ?""",
        (noted.span, noted.reader, SUMMED),
    )


def sum_up(path: Path, noted: NoteSpan, submit: Callable[[object], Any]) -> None:
    """Read what there is of a span that was noted, and put the sums in."""
    names = ", ".join(_KIND)
    columns = ", ".join([f"{COLUMNS[name]} AS {name}" for name in _KIND])
    is_same = _IS_SAME.format(*[f"found.{name}" for name in _KIND])
    start, end = noted.span, _next(noted.span)
    with reading(path) as connection:
        connection.execute("BEGIN")
        done = _done(connection, start, end, lambda span: len(span) > len(noted.span))
        rows = connection.execute(
            f"""SELECT kind, {_SUMS} FROM sums
                WHERE span IN (SELECT value FROM json_each(?)) GROUP BY kind""",
            (json.dumps(done),),
        ).fetchall()
        for first, last in _between(start, end, done):
            rows += connection.execute(
                f"""SELECT id, messages, units, amount, {", ".join([f"found.{n}" for n in _KIND])}
                    FROM (SELECT {columns}, {_ROW_SUMS} {FROM_ROWS} GROUP BY {names}) AS found
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


_KIND = ("country", "network", "sender", "status", "error_code")
_IS_SAME = " AND ".join([f"kinds.{name} IS {{}}" for name in _KIND])


def find_kinds(
    connection: sqlite3.Connection, kinds: Sequence[tuple[str | None, ...]]
) -> list[int]:
    """The ids of these kinds; those that are not there are added."""
    return [_id_of(connection, kind) for kind in kinds]


def _id_of(connection: sqlite3.Connection, kind: tuple[str | None, ...]) -> int:
    marked = _IS_SAME.format(*"?" * len(_KIND))
    found = connection.execute(f"SELECT id FROM kinds WHERE {marked}", kind).fetchall()
    if found:
        return int(found[0][0])
    is_sent = kind[_KIND.index("status")] == "sent"
    next_id = "min(id, 0) - 1" if is_sent else "max(id, 0) + 1"
    last = "min(id)" if is_sent else "max(id)"
    cursor = connection.execute(
        f"""INSERT INTO kinds (id, {", ".join(_KIND)})
            SELECT {next_id}, {marks(_KIND)} FROM (
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
            "UPDATE summed_spans SET reader = ? WHERE span = ?", (SUMMED, noted.span)
        )
