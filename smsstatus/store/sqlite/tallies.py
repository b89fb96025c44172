"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

So are days and tens of days, from the sums of their hours and days, since the hours of weeks are
many. A span, one of the three, is written as what its times begin with. What is `sent` counts by
the hour until it has no report (see `rates`), so kinds of messages with that status are kept apart.

`summing` makes the sums, and sees to it that those that count are those of the rows.

Of many senders and networks a month has some hundred thousand sums. Grouping those by a number, the
kind of message, takes half as long as by five texts.
"""

from __future__ import annotations

import json
import marshal
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ..contract import HOUR, Tally
from .connection import reading, rows_of

DAY, TEN = len("2026-11-01"), len("2026-11-0")
READING = "~"
"""What the name of a span's reader begins with until the span is summed up."""

_Spans = tuple[tuple[str, str], ...]
"""Each with its reader."""
_Gaps = set[tuple[str, str]]
_Sums = tuple[Any, ...]


SENT, NOT_SENT, ANY = "<", ">", "<>"
"""How the ids of kinds compare with 0."""


class _Question(NamedTuple):
    """Which sums of kinds whose ids have this sign."""

    sign: str
    spans: _Spans
    keys: tuple[str, ...]
    first_hour: str
    """Empty where hours do not count."""


SENDER = "ltrim(m.sender_number, '+')"
COLUMNS: Mapping[str, str] = {
    "country": "f.country",
    "network": "f.network",
    "sender": SENDER,
    "error_code": "m.error_code",
    "status": "m.current_status",
}
"""What stands for each of contract.GROUPS in a query of messages m and their facts f."""

KIND = ("country", "network", "sender", "status", "error_code")
"""What the messages of a kind have in common."""

FROM_ROWS = """
    FROM messages AS m INDEXED BY messages_by_time
    LEFT JOIN message_facts AS f ON f.message_id = m.id
    WHERE m.created_at >= :start AND m.created_at < :end
    """
SUMS = "sum(messages) AS messages, sum(units) AS units, sum(amount) AS amount"
ROW_SUMS = """count(*) AS messages, sum(coalesce(f.units, 0)) AS units,
    sum(coalesce(f.amount, 0)) AS amount"""


MOST_KEPT = 250_000
"""Groups and spans that are kept in memory, of all questions together: some 55 bytes each."""
AT_ONCE = 400
"""So many groups are packed together: unpacking keeps the interpreter."""


class Kept:
    """What the spans of the latest windows came to. Safe to use from any thread.

    Adding them up is most of the work of a window of weeks, and most of them do not change. Each
    time that a span is summed up its reader has another name, so what was found is still right.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[_Question, _Packed] = OrderedDict()
        self._lock = threading.Lock()

    def sums(self, connection: sqlite3.Connection, question: _Question) -> Iterator[_Sums]:
        """The answer to `question`, found or remembered."""
        with self._lock:
            packed = self._found.get(question)
            if packed is not None:
                self._found.move_to_end(question)
        if packed is None:
            packed = _Packed(_of_spans(connection, question))
            with self._lock:
                self._found[question] = packed
                while sum(map(_size, self._found.items())) > MOST_KEPT:
                    self._found.popitem(last=False)
        return packed.unpacked()


class _Packed:
    """Sums as bytes, a tenth of what they take as tuples."""

    def __init__(self, sums: Iterator[_Sums]) -> None:
        self.count = 0
        self._parts: list[bytes] = []
        while some := list(islice(sums, AT_ONCE)):
            self._parts.append(marshal.dumps(some))
            self.count += len(some)

    def unpacked(self) -> Iterator[_Sums]:
        return chain.from_iterable(map(marshal.loads, self._parts))


def _size(kept: tuple[_Question, _Packed]) -> int:
    question, packed = kept
    return len(question.spans) + packed.count


def read_tally(
    path: Path, since: str, until: str, by: Sequence[str], first_hour: str, kept: Kept
) -> list[Tally]:
    """The sums of the spans that have them, and of the rows for what is between those."""
    keys = tuple([name for name in KIND if name in {*by, "country", "status"}])
    status = keys.index("status")
    found: dict[tuple[Any, ...], list[int]] = {}
    with reading(path) as connection:
        connection.row_factory = None
        connection.execute("BEGIN")
        others = done_spans(connection, since, until)
        sent = done_spans(connection, since, until, first_hour)
        for *group, hour, messages, units, amount in chain(
            of_sums(connection, others, NOT_SENT, keys, "", kept),
            of_sums(connection, sent, SENT, keys, first_hour, kept),
            _of_rows(
                connection,
                gaps_between(since, until, others),
                gaps_between(since, until, sent),
                keys,
                first_hour,
            ),
        ):
            if group[status] == "sent" and not hour:  # of whole days, all before the first hour
                hour = first_hour
            key = (*group, hour)
            sums = found.get(key)
            if sums is None:
                found[key] = [messages, units, amount]
            else:
                sums[0] += messages
                sums[1] += units
                sums[2] += amount
    group_of = [keys.index(name) for name in by]
    country = keys.index("country")
    return [
        Tally(tuple([key[i] for i in group_of]), key[country], key[status], key[-1], *sums)
        for key, sums in found.items()
    ]


def of_sums(
    connection: sqlite3.Connection,
    done: _Spans,
    sign: str,
    keys: tuple[str, ...],
    first_hour: str,
    kept: Kept,
) -> Iterator[_Sums]:
    """Of the kinds whose ids have this sign. Hours change more often, so they are asked for apart.

    Where there is a first hour, whole days are before it.
    """
    for is_whole, first in ((True, ""), (False, first_hour)):
        spans = tuple([span for span in done if (len(span[0]) < HOUR) == is_whole])
        if spans:
            yield from kept.sums(connection, _Question(sign, spans, keys, first))


def _of_spans(connection: sqlite3.Connection, question: _Question) -> Iterator[_Sums]:
    """The keys, the hour if there is a first one, and the sums."""
    sign, spans, keys, first_hour = question
    hour = "max(span, :first)" if first_hour else "''"
    columns = [*keys, "hour"]
    found = connection.execute(
        f"""SELECT {", ".join(columns)}, {SUMS} FROM (
                SELECT kind, {hour} AS hour, {SUMS} FROM sums
                WHERE span IN (SELECT value FROM json_each(:spans)) AND kind {sign} 0
                GROUP BY kind, {hour}
            ) JOIN kinds ON kinds.id = kind
            GROUP BY {_numbers(columns)}""",
        {"spans": json.dumps([span for span, _ in spans]), "first": first_hour},
    )
    return rows_of(found)


def _of_rows(
    connection: sqlite3.Connection,
    others: _Gaps,
    sent: _Gaps,
    keys: tuple[str, ...],
    first_hour: str,
) -> Iterator[_Sums]:
    hour = f"iif(m.current_status = 'sent', max(substr(m.created_at, 1, {HOUR}), :first), '')"
    columns = [*[COLUMNS[name] for name in keys], hour]
    for which, gaps in (
        ("", others & sent),
        ("AND m.current_status <> 'sent'", others - sent),
        ("AND m.current_status = 'sent'", sent - others),
    ):
        for start, end in sorted(gaps):
            found = connection.execute(
                f"""SELECT {", ".join(columns)}, {ROW_SUMS} {FROM_ROWS} {which}
                    GROUP BY {_numbers(columns)}""",
                {"start": start, "end": end, "first": first_hour},
            )
            yield from rows_of(found)


def done_spans(
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
            and (length == HOUR or next_to(span) <= whole_before)
        ):
            found.append((span, reader))
    return tuple(found)


def _numbers(columns: Sequence[str]) -> str:
    return ", ".join(str(number) for number in range(1, len(columns) + 1))


def gaps_between(since: str, until: str, done: _Spans) -> _Gaps:
    """What these spans leave of a window."""
    edges = [since, *(edge for span, _ in done for edge in (span, next_to(span))), until]
    return {(start, end) for start, end in list(pairwise(edges))[::2] if start < end}


def _first(since: str, length: int) -> str:
    """The first whole span of a window."""
    span = since[:length]
    begins = f"{span}1" if length == TEN and span[-1] == "0" else span  # no day is the 0th
    return span if since.removeprefix(begins).strip("T:0.Z") == "" else next_to(span)


def next_to(span: str) -> str:
    """What the times of the next span of this length begin with."""
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
