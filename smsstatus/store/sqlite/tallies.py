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
from itertools import chain, pairwise
from operator import add, itemgetter
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

READING = "~"
"""What the name of a span's reader begins with until the span is summed up."""
PUT = 500
"""So many sums are put in at a time: callbacks wait for that long."""

T = TypeVar("T")
_Spans = tuple[tuple[str, str], ...]
"""Each with its reader."""
_Gaps = set[tuple[str, str]]
_Sums = tuple[Any, ...]

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


class Kept:
    """What the days and tens of days of the latest window came to, by kind of message.

    They change rarely, and adding them up is most of the work of a window of weeks. Each time that
    a span is summed up it has another name, so what was found by these names is still right.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[_Spans, Sequence[_Sums]]] = {}

    def sums(self, connection: sqlite3.Connection, sign: str, spans: _Spans) -> Sequence[_Sums]:
        """Of the kinds whose ids have this sign."""
        found = self._found.get(sign)
        if found is None or found[0] != spans:
            found = spans, _by_kind(connection, sign, spans, "")
            self._found[sign] = found
        return found[1]


def read_tally(
    path: Path, since: str, until: str, by: Sequence[str], first_hour: str, kept: Kept
) -> list[Tally]:
    """The sums of the spans that have them, and of the rows for what is between those."""
    keys = (*by, "country", "status")
    found: dict[tuple[Any, ...], list[int]] = {}
    with reading(path) as connection:
        connection.row_factory = None
        connection.execute("BEGIN")
        others = _done(connection, since, until)
        sent = _done(connection, since, until, first_hour)
        for key, messages, units, amount in chain(
            _of_sums(connection, others, sent, keys, first_hour, kept),
            _of_rows(
                connection,
                _between(since, until, others),
                _between(since, until, sent),
                keys,
                first_hour,
            ),
        ):
            sums = found.get(key)
            if sums is None:
                found[key] = [messages, units, amount]
            else:
                sums[0] += messages
                sums[1] += units
                sums[2] += amount
    return [Tally(key[:-3], *key[-3:], *sums) for key, sums in found.items()]


def _of_sums(
    connection: sqlite3.Connection,
    others: _Spans,
    sent: _Spans,
    keys: Sequence[str],
    first_hour: str,
    kept: Kept,
) -> Iterator[tuple[tuple[Any, ...], int, int, int]]:
    key_of = itemgetter(*map(_KIND.index, keys))
    for sign, first, done in ((">", "", others), ("<", first_hour, sent)):
        whole = tuple([span for span in done if len(span[0]) < HOUR])
        hours = tuple([span for span in done if len(span[0]) == HOUR])
        for *kind, hour, messages, units, amount in chain(
            kept.sums(connection, sign, whole) if whole else (),
            _by_kind(connection, sign, hours, first),
        ):
            yield (*key_of(kind), hour or first), messages, units, amount


def _by_kind(
    connection: sqlite3.Connection, sign: str, spans: _Spans, first_hour: str
) -> Sequence[_Sums]:
    """Country, network, sender, status, error code; the hour, if there is a first one; sums."""
    hour = "max(span, :first)" if first_hour else "''"
    return connection.execute(
        f"""SELECT {", ".join(_KIND)}, hour, messages, units, amount FROM (
                SELECT kind, {hour} AS hour, {_SUMS} FROM sums
                WHERE span IN (SELECT value FROM json_each(:spans)) AND kind {sign} 0
                GROUP BY kind, {hour}
            ) JOIN kinds ON kinds.id = kind""",
        {"spans": json.dumps([span for span, _ in spans]), "first": first_hour},
    ).fetchall()


def _of_rows(
    connection: sqlite3.Connection,
    others: _Gaps,
    sent: _Gaps,
    keys: Sequence[str],
    first_hour: str,
) -> Iterator[tuple[tuple[Any, ...], int, int, int]]:
    hour = f"iif(m.current_status = 'sent', max(substr(m.created_at, 1, {HOUR}), :first), '')"
    columns = [*[COLUMNS[name] for name in keys], hour]
    for which, gaps in (
        ("", others & sent),
        ("AND m.current_status <> 'sent'", others - sent),
        ("AND m.current_status = 'sent'", sent - others),
    ):
        for start, end in sorted(gaps):
            for *key, messages, units, amount in connection.execute(
                f"""SELECT {", ".join(columns)}, {_ROW_SUMS} {FROM_ROWS} {which}
                    GROUP BY {_numbers(columns)}""",
                {"start": start, "end": end, "first": first_hour},
            ).fetchall():
                yield tuple(key), messages, units, amount


def _done(
    connection: sqlite3.Connection, since: str, until: str, whole_before: str = "~"
) -> _Spans:
    """The spans of a window that are summed up, in their order; none within another.

    Of those that end later than `whole_before` the hours alone.
    """
    firsts = {length: _first(since, length) for length in (HOUR, DAY, TEN)}
    found: list[tuple[str, str]] = []
    for span, reader in connection.execute(
        """SELECT span, reader FROM summed_spans
           WHERE reader < ? AND span >= ? AND span < ? ORDER BY span""",
        (READING, since[:TEN], until),
    ).fetchall():
        length = len(span)
        if (
            firsts[length] <= span < until[:length]
            and not (found and span.startswith(found[-1][0]))  # a day stands before its hours
            and (length == HOUR or _next(span) <= whole_before)
        ):
            found.append((span, reader))
    return tuple(found)


def _numbers(columns: Sequence[str]) -> str:
    return ", ".join(str(number) for number in range(1, len(columns) + 1))


def _between(since: str, until: str, done: _Spans) -> _Gaps:
    """What these spans leave of a window."""
    edges = [since, *(edge for span, _ in done for edge in (span, _next(span))), until]
    return {(start, end) for start, end in list(pairwise(edges))[::2] if start < end}


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
           ON CONFLICT (span) DO UPDATE SET reader = excluded.reader WHERE reader >= ?""",
        (noted.span, noted.reader, READING),
    )


def sum_up(path: Path, noted: NoteSpan, submit: Callable[[object], Any]) -> None:
    """Read what there is of a span that was noted, and put the sums in."""
    names = ", ".join(_KIND)
    columns = ", ".join([f"{COLUMNS[name]} AS {name}" for name in _KIND])
    is_same = _IS_SAME.format(*[f"found.{name}" for name in _KIND])
    start, end = noted.span, _next(noted.span)
    with reading(path) as connection:
        connection.execute("BEGIN")
        done = tuple([s for s in _done(connection, start, end) if len(s[0]) > len(noted.span)])
        rows = connection.execute(
            f"""SELECT kind, {_SUMS} FROM sums
                WHERE span IN (SELECT value FROM json_each(?)) GROUP BY kind""",
            (json.dumps([span for span, _ in done]),),
        ).fetchall()
        for first, last in sorted(_between(start, end, done)):
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
            "UPDATE summed_spans SET reader = ? WHERE span = ?",
            (noted.reader.removeprefix(READING), noted.span),
        )
