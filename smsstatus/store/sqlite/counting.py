"""What is true of many messages: counts, delivery times, what waits, whether anything changed.

As in `listing`, each function reads all it needs at once.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from ...model import CALLBACKS, DELIVERED, EARLIEST, FINAL_STATUSES, SIMULATED, timestamp
from ..contract import (
    DELIVERIES_TIMED,
    MOST_READ,
    PARTS,
    SAMPLE,
    WAITING_COUNTED,
    Group,
    Pulse,
)
from ..runs import Step
from .connection import marks, reading, rows_of
from .tallies import ANY, COLUMNS, Kept, done_spans, gaps_between, of_sums


def count_by_status(path: Path) -> dict[str, int]:
    """Messages by current_status; from the index alone."""
    with reading(path) as connection:
        return _count_by_status(connection, "", "~", _statuses(connection))


def read_history(path: Path, edges: Sequence[str], kept: Kept) -> list[Counter[str]]:
    """Counts by current_status between each two neighbouring times: the sums of the spans that have
    them, and from the index alone for what is between those.
    """
    with reading(path) as connection:
        connection.row_factory = None
        connection.execute("BEGIN")
        statuses = _statuses(connection)
        return [
            _slice_by_status(connection, since, until, statuses, kept)
            for since, until in pairwise(edges)
        ]


def _slice_by_status(
    connection: sqlite3.Connection, since: str, until: str, statuses: Sequence[str], kept: Kept
) -> Counter[str]:
    counts = Counter[str]()
    done = done_spans(connection, since, until)
    for status, _, messages, _, _ in of_sums(connection, done, ANY, ("status",), "", kept):
        counts[status] += messages
    for start, end in gaps_between(since, until, done):
        counts.update(_count_by_status(connection, start, end, statuses))
    return counts


def read_delivery_times(
    path: Path, since: str, until: str, by: Sequence[str], deliveries: int
) -> dict[Group, list[float]]:
    """By group, from queued to delivered, sorted; of many deliveries of the window a sample."""
    names = "".join([f"{name}, " for name in by])
    values = "".join([f"{COLUMNS[name]} AS {name}, " for name in by])
    facts = "LEFT JOIN message_facts AS f ON f.message_id = m.id" if by else ""
    window: dict[str, str | int] = {"since": since, "until": until}
    messages = _ALL
    with reading(path) as connection:
        if deliveries > DELIVERIES_TIMED:
            window |= _places(connection, since, until, deliveries)
            messages = _SOME
        rows = connection.execute(  # one for each group: thousands keep others waiting, see rows_of
            f"""SELECT {names}
                    json_group_array((julianday(delivered_at) - julianday(queued_at)) * 86400)
                FROM (
                    SELECT {values} queued_at, iif(current_status = 'delivered', status_timestamp, (
                        SELECT max(e.status_timestamp) FROM status_events AS e
                        WHERE e.message_id = m.id AND e.status = 'delivered')) AS delivered_at
                    FROM {messages} {facts}
                    WHERE current_status IN ({", ".join(map(repr, DELIVERED))})
                        AND created_at >= :since AND created_at < :until)
                WHERE queued_at >= '{EARLIEST}' AND delivered_at >= '{EARLIEST}'
                GROUP BY {names} ''""",
            window,
        )
        found = {tuple(group): _sorted(json.loads(times)) for *group, times in rows_of(rows)}
    return {group: times for group, times in found.items() if times}


_ALL = "messages AS m INDEXED BY messages_by_status_and_sender"
_SOME = """json_each(:places) AS place
    CROSS JOIN messages AS m NOT INDEXED ON m.id >= place.value AND m.id < place.value + :in_each"""


def _places(
    connection: sqlite3.Connection, since: str, until: str, deliveries: int
) -> dict[str, str | int]:
    """Ids all over the window, and how many messages from each on have the sample together."""
    ((first, last),) = connection.execute(
        """SELECT min(id), max(id) FROM (
               SELECT (SELECT id FROM messages INDEXED BY messages_by_time
                   WHERE created_at >= value AND created_at < :until
                   ORDER BY created_at LIMIT 1) AS id
               FROM json_each(:times)
               UNION ALL
               SELECT max(id) FROM (SELECT id FROM messages INDEXED BY messages_by_time
                   WHERE created_at >= :since AND created_at < :until
                   ORDER BY created_at DESC LIMIT 1))""",
        {"since": since, "until": until, "times": json.dumps(_times_of(since, until))},
    ).fetchall()
    if first is None:  # pruned since somebody counted
        return {"places": "[]", "in_each": 0}
    messages = last - first + 1
    read = min(-(-SAMPLE * messages // deliveries), MOST_READ)
    places = {first + messages * number // PARTS for number in range(PARTS)}
    return {"places": json.dumps(sorted(places)), "in_each": -(-read // PARTS)}


def _times_of(since: str, until: str) -> list[str]:
    """As many times of a window as it has places, equally far apart."""
    start = datetime.fromisoformat(since)
    step = (datetime.fromisoformat(until) - start) / PARTS
    return [timestamp(start + number * step) for number in range(PARTS)]


def _sorted(times: Iterable[float | None]) -> list[float]:
    """None is of a time that cannot be read."""
    return sorted([max(time, 0.0) for time in times if time is not None])


def _count_by_status(
    connection: sqlite3.Connection, since: str, until: str, statuses: Sequence[str]
) -> dict[str, int]:
    counts = {
        status: connection.execute(
            """SELECT count(*) FROM messages INDEXED BY messages_by_status_and_sender
               WHERE current_status = ? AND created_at >= ? AND created_at < ?""",
            (status, since, until),
        ).fetchall()[0][0]
        for status in statuses
    }
    return {status: count for status, count in counts.items() if count}


def _statuses(connection: sqlite3.Connection) -> list[str]:
    """Those in the database, found by jumping in the index from one to the next."""
    statuses = [""]
    while found := connection.execute(
        """SELECT current_status FROM messages INDEXED BY messages_by_status_and_sender
           WHERE current_status > ? ORDER BY current_status LIMIT 1""",
        (statuses[-1],),
    ).fetchall():
        statuses.append(found[0][0])
    return statuses[1:]


def waiting_messages(
    path: Path,
    *,
    silent_since: str,
    created_since: str,
    steps: Sequence[Step] = (),
    limit: int | None = None,
) -> list[str]:
    """UUIDs of messages that are not final, were updated last before `silent_since` and first seen
    after `created_since`; those that Plivo was not asked about for longest come first.
    """
    passed = " OR ".join(
        [
            """(updated_at < ? AND
                (julianday(checked_at) - julianday(updated_at)) * 86400 < ?)"""
            for _ in steps
        ]
    )
    is_due = f"AND (checked_at IS NULL OR {passed})" if steps else ""
    of_steps = [v for step in steps for v in (step.updated_before, step.age.total_seconds())]
    with reading(path) as connection:
        statuses = _waiting_statuses(connection)
        rows = connection.execute(
            f"""SELECT message_uuid FROM messages INDEXED BY messages_by_status_and_sender
                WHERE current_status IN ({marks(statuses)}) AND created_at >= ? AND updated_at < ?
                    {is_due} AND id NOT IN (SELECT message_id FROM reference_pairs WHERE pair = ?)
                ORDER BY coalesce(checked_at, ''), created_at LIMIT ?""",
            (
                *statuses,
                created_since,
                silent_since,
                *of_steps,
                SIMULATED,
                -1 if limit is None else limit,
            ),
        ).fetchall()
    return [row[0] for row in rows]


def _waiting_statuses(connection: sqlite3.Connection) -> list[str]:
    """Those of the statuses in the database that are not final, the undocumented ones too."""
    return [status for status in _statuses(connection) if status not in FINAL_STATUSES]


def change_marker(path: Path) -> str:
    """A word that differs once a message or an event was added, messages were removed or rows of
    an earlier version corrected.

    A repeated callback alone does not change it. It costs six look-ups, whatever there is.
    """
    with reading(path) as connection:
        found = connection.execute(
            """SELECT (SELECT max(id) FROM status_events),
                      (SELECT max(id) FROM messages), (SELECT min(id) FROM messages),
                      (SELECT batches FROM removals),
                      (SELECT sum(looked_at) FROM upgrades),
                      (SELECT looked_at FROM events_beside)"""
        ).fetchall()[0]
    return "-".join(str(value or 0) for value in found)


def read_pulse(path: Path, *, since: str, before: str, newest: int) -> Pulse:
    """Messages first seen in the window that still wait, and when callbacks came lately."""
    with reading(path) as connection:
        statuses = _waiting_statuses(connection)
        waiting = connection.execute(
            f"""SELECT count(*) FROM (
                    SELECT 1 FROM messages INDEXED BY messages_by_status_and_sender
                    WHERE current_status IN ({marks(statuses)})
                        AND created_at >= ? AND created_at < ? LIMIT ?)""",
            (*statuses, since, before, WAITING_COUNTED),
        ).fetchall()[0][0]
        events = connection.execute(
            "SELECT received_at, source FROM status_events ORDER BY id DESC LIMIT ?", (newest,)
        ).fetchall()
    return Pulse(waiting, sorted(at for at, source in events if source in CALLBACKS))
