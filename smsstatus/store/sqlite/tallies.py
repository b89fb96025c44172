"""Messages counted by what they have in common, quickly: hours that are over are summed up once.

An hour is summed up in three steps, since callbacks keep coming: it is noted, its messages are
read with a connection of its own, and the sums are put in if the note is still there. Whatever
changes a message removes the note of its hour (triggers of schema.sql see to that, and nothing
changes what a message cost alone), so the sums that count are those of its rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..contract import Group, Tally
from .connection import reading

HOUR = len("2026-11-01T12")
SETTLING = timedelta(hours=1)
"""An hour is summed up once it has been over for that long: few callbacks come any later."""

SUMMED, LEFT = "", "-"
"""What summed_hours says of an hour instead of who reads it; what is left is read row by row."""
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
class NoteHour:
    hour: str
    reader: str


@dataclass(frozen=True, slots=True)
class PutHour:
    hour: str
    reader: str
    rows: tuple[tuple[Any, ...], ...]


def read_tally(
    path: Path, since: str, until: str, by: Sequence[str], first_hour: str
) -> list[Tally]:
    """The sums of the hours that have them, and of the rows for what is between those."""
    counted: Counter[tuple[Any, ...]] = Counter()
    units: Counter[tuple[Any, ...]] = Counter()
    amounts: Counter[tuple[Any, ...]] = Counter()
    with reading(path) as connection:
        connection.execute("BEGIN")
        for row in _parts(connection, since, until, by, first_hour):
            key, (messages, some_units, amount) = tuple(row[:-3]), row[-3:]
            counted[key] += messages
            units[key] += some_units
            amounts[key] += amount
    return [_tally(key, count, units[key], amounts[key]) for key, count in counted.items()]


def _tally(key: tuple[Any, ...], messages: int, units: int, amount: int) -> Tally:
    *group, country, status, hour = key
    return Tally(tuple(group), country, status, hour, messages, units, amount)


def _parts(
    connection: sqlite3.Connection, since: str, until: str, by: Sequence[str], first_hour: str
) -> Iterator[sqlite3.Row]:
    done = [
        row[0]
        for row in connection.execute(
            f"""SELECT hour FROM summed_hours WHERE reader = '{SUMMED}' AND hour >= ? AND hour < ?
               ORDER BY hour""",
            (_hour_from(since), until[:HOUR]),
        ).fetchall()
    ]
    columns = [*by, "country", "status", "iif(status = 'sent', max(t.hour, ?), '')"]
    if done:
        yield from connection.execute(
            f"""SELECT {", ".join(columns)}, {_SUMS}
                FROM summed_hours AS h CROSS JOIN tallies AS t ON t.hour = h.hour
                WHERE h.reader = '{SUMMED}' AND h.hour >= ? AND h.hour <= ?
                GROUP BY {_numbers(columns)}""",
            (first_hour, done[0], done[-1]),
        ).fetchall()
    columns = [COLUMNS[name] for name in (*by, "country", "status")]
    columns.append(f"iif(m.current_status = 'sent', max(substr(m.created_at, 1, {HOUR}), ?), '')")
    for start, end in _between(since, until, done):
        yield from connection.execute(
            f"""SELECT {", ".join(columns)}, {_ROW_SUMS} {FROM_ROWS}
                GROUP BY {_numbers(columns)}""",
            (first_hour, start, end),
        ).fetchall()


def _numbers(columns: Sequence[str]) -> str:
    return ", ".join(str(number) for number in range(1, len(columns) + 1))


def _between(since: str, until: str, done: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What these hours leave of a window."""
    edges = [since, *(edge for hour in done for edge in (hour, _next_hour(hour))), until]
    yield from ((start, end) for start, end in list(pairwise(edges))[::2] if start < end)


def _hour_from(since: str) -> str:
    """The first whole hour of a window."""
    hour = since[:HOUR]
    return hour if since[HOUR:].strip(":0.Z") == "" else _next_hour(hour)


def _next_hour(hour: str) -> str:
    try:
        return (datetime.fromisoformat(f"{hour}:00") + timedelta(hours=1)).isoformat()[:HOUR]
    except OverflowError:
        return "~"


def next_hour(path: Path, now: str) -> NoteHour | None:
    """The newest hour that is over and not summed up; None if there is none."""
    over = (datetime.fromisoformat(now) - SETTLING).isoformat()[:HOUR]
    with reading(path) as connection:
        oldest = connection.execute("SELECT min(created_at) FROM messages").fetchall()[0][0]
        if oldest is None:
            return None
        before = over
        for (hour,) in connection.execute(
            """SELECT hour FROM summed_hours WHERE reader IN (?, ?) AND hour < ?
               ORDER BY hour DESC""",
            (SUMMED, LEFT, over),
        ):
            if _next_hour(hour) < before and (found := _newest(connection, hour, before)):
                return NoteHour(found, uuid4().hex)
            before = hour
        found = _newest(connection, oldest[:HOUR], before, included=True)
    return NoteHour(found, uuid4().hex) if found else None


def _newest(
    connection: sqlite3.Connection, after: str, before: str, *, included: bool = False
) -> str | None:
    """The hour of the newest message between two hours."""
    since = after if included else _next_hour(after)
    newest = connection.execute(
        "SELECT max(created_at) FROM messages WHERE created_at >= ? AND created_at < ?",
        (since, before),
    ).fetchall()[0][0]
    return None if newest is None else newest[:HOUR]


def note_hour(connection: sqlite3.Connection, job: NoteHour) -> None:
    """From now on a change of its messages is noticed."""
    connection.execute(
        """INSERT INTO summed_hours (hour, reader) VALUES (?, ?)
           ON CONFLICT (hour) DO UPDATE SET reader = excluded.reader WHERE reader NOT IN (?, ?)""",
        (job.hour, job.reader, SUMMED, LEFT),
    )


def sum_up(path: Path, noted: NoteHour) -> PutHour:
    """Read what there is of an hour that was noted."""
    columns = ", ".join(COLUMNS[name] for name in _STORED)
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT {columns}, {_ROW_SUMS} {FROM_ROWS} GROUP BY {_numbers(_STORED)}",
            (noted.hour, _next_hour(noted.hour)),
        ).fetchall()
    return PutHour(noted.hour, noted.reader, tuple([tuple(row) for row in rows]))


_STORED = ("country", "network", "sender", "status", "error_code")


def put_hour(connection: sqlite3.Connection, job: PutHour) -> None:
    """Put the sums in where that pays, unless a message has changed since the hour was noted."""
    pays = PAYS * len(job.rows) <= sum([row[len(_STORED)] for row in job.rows])
    noted = connection.execute(
        "UPDATE summed_hours SET reader = ? WHERE hour = ? AND reader = ?",
        (SUMMED if pays else LEFT, job.hour, job.reader),
    )
    if noted.rowcount == 1:
        connection.execute("DELETE FROM tallies WHERE hour = ?", (job.hour,))
    if noted.rowcount == 1 and pays:
        connection.executemany(
            """INSERT INTO tallies (hour, number, country, network, sender, status, error_code,
                   messages, units, amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            [(job.hour, number, *row) for number, row in enumerate(job.rows)],
        )


def groups_of(rows: Sequence[sqlite3.Row]) -> dict[Group, list[float]]:
    """Rows of a group's values and seconds, by group."""
    found: dict[Group, list[float]] = {}
    for *group, seconds in rows:
        found.setdefault(tuple(group), []).append(max(seconds, 0.0))
    return {group: sorted(times) for group, times in found.items()}
