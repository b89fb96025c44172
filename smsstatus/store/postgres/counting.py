"""What is true of many messages: counts, delivery times, what waits, whether anything changed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ...model import CALLBACKS, EARLIEST, SIMULATED
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
from .columns import as_text, bucket
from .connection import Connection, count
from .tallies import COLUMNS
from .upkeep import MAY_NOTE

COUNTED = (
    "messages",
    "status_events",
    "changed_hours",
    "summed_hours",
    "summed_days",
    "summed_tens",
    "tallies",
    "day_tallies",
    "ten_tallies",
)
"""What is read for figures of a window."""
LATE_COMMITS = 1000
"""Of two transactions the one that began later can end first: so many ids are looked at again."""


def count_by_status(connection: Connection) -> dict[str, int]:
    """All messages by current_status. It reads the whole table: not for a request."""
    return dict(
        connection.execute(
            "SELECT current_status, count(*) FROM messages GROUP BY current_status"
        ).fetchall()
    )


def read_delivery_times(
    connection: Connection, since: str, until: str, by: Sequence[str], deliveries: int
) -> dict[Group, list[float]]:
    """By group, from queued to delivered, sorted; of what was read, by the event that says so. Of
    many deliveries of the window a sample.
    """
    names = "".join([f"{name}, " for name in by])
    columns = "".join([f"{COLUMNS[name]} AS {name}, " for name in by])
    query = f"""SELECT {names}
            string_agg(float8send(greatest(date_part('epoch', delivered_at - queued_at), 0)), '')
        FROM ({(_SOME if deliveries > DELIVERIES_TIMED else _ALL).format(columns)}) AS delivered
        WHERE queued_at >= '{EARLIEST}-01-01Z' AND delivered_at >= '{EARLIEST}-01-01Z'
        GROUP BY {", ".join(["()", *by])}"""
    values = {
        "since": since,
        "until": until,
        "deliveries": deliveries,
        "sample": SAMPLE,
        "places": PARTS,
        "most": MOST_READ,
    }
    rows = count(connection, query, values)
    return {tuple(group): sorted(_seconds(times)) for *group, times in rows if times}


def _seconds(times: bytes) -> tuple[float, ...]:
    """Of eight bytes each: as text, thousands of numbers take as long as it takes to find them."""
    return struct.unpack(f">{len(times) // 8}d", times)


_OF_WINDOW = "created_at >= %(since)s AND created_at < %(until)s"
_OF_EVENT = """(SELECT max(e.status_timestamp) FROM status_events AS e
    WHERE e.message_id = m.id AND e.status = 'delivered')"""

_DELIVERED = f"""
    SELECT {{0}} CASE outcome WHEN 'delivered' THEN status_timestamp ELSE {_OF_EVENT} END
        AS delivered_at, queued_at"""
_ALL = f"""{_DELIVERED}
    FROM messages AS m
    WHERE {_OF_WINDOW} AND outcome IN ('delivered', 'read')
        AND {bucket("created_at")} >= {bucket("%(since)s::timestamptz")}
        AND {bucket("created_at")} <= {bucket("%(until)s::timestamptz")}"""
"""By the index of outcomes, where few of the window's messages were delivered."""

_SOME = f"""
    WITH ids AS (
        SELECT (SELECT id FROM messages WHERE created_at >= time AND created_at < %(until)s
            ORDER BY created_at LIMIT 1) AS id
        FROM generate_series(0, %(places)s - 1) AS n, LATERAL (
            SELECT %(since)s::timestamptz + (%(until)s::timestamptz - %(since)s) * n / %(places)s
                AS time) AS times
        UNION ALL
        (SELECT id FROM messages WHERE {_OF_WINDOW} ORDER BY created_at DESC LIMIT 1)
    ),
    ends AS MATERIALIZED (SELECT min(id) AS first, max(id) AS last FROM ids),
    places AS MATERIALIZED (
        SELECT DISTINCT first + (last - first + 1) * n / %(places)s AS place, ceil(least(
                %(sample)s::float8 * (last - first + 1) / %(deliveries)s, %(most)s
            ) / %(places)s)::bigint AS in_each
        FROM ends, generate_series(0, %(places)s - 1) AS n
    ){_DELIVERED}
    FROM places, LATERAL (
        SELECT * FROM messages WHERE id >= place AND id < place + in_each OFFSET 0) AS m
    WHERE {_OF_WINDOW} AND outcome IN ('delivered', 'read')"""
"""What was delivered among messages that follow one another, in places all over the window. They
are found by their ids alone: where the server expects few messages of the window, it would look
through all of it for each place.
"""


def waiting_messages(
    connection: Connection,
    *,
    silent_since: str,
    created_since: str,
    steps: Sequence[Step] = (),
    limit: int | None = None,
) -> list[str]:
    """UUIDs of messages that are not final, were updated last before `silent_since` and first seen
    after `created_since`; those that Plivo was not asked about for longest come first.
    """
    passed = " OR ".join(["(updated_at < %s AND checked_at < updated_at + %s)" for _ in steps])
    is_due = f"AND (checked_at IS NULL OR {passed})" if steps else ""
    of_steps = [value for step in steps for value in (step.updated_before, step.age)]
    rows = connection.execute(
        f"""SELECT message_uuid FROM messages
            WHERE outcome IS NULL AND created_at >= %s AND updated_at < %s {is_due}
                AND NOT %s = ANY (coalesce(reference_pairs, '{{}}'))
            ORDER BY checked_at NULLS FIRST, created_at, id LIMIT %s""".encode(),
        (created_since, silent_since, *of_steps, SIMULATED, limit),
    ).fetchall()
    return [row[0] for row in rows]


def reach(connection: Connection) -> None:
    """Ends at once, unless the server hangs or somebody has locked one of COUNTED."""
    nothing = " UNION ALL ".join([f"SELECT FROM {table} WHERE false" for table in COUNTED])
    connection.execute(nothing.encode())


def change_marker(connection: Connection) -> str:
    """A word that differs once a message or an event was added, or messages were removed.

    A repeated callback alone does not change it. Where it cannot be noted that messages are
    removed, it is another word each time.
    """
    found = connection.execute(
        f"""SELECT last, (SELECT count(*) FROM status_events WHERE id > last - %s),
               (SELECT min(id) FROM messages), (SELECT sum(looked_at) FROM upgrades),
               (SELECT xmin::text FROM prunings),
               CASE WHEN NOT {MAY_NOTE} THEN date_part('epoch', clock_timestamp()) END
           FROM (SELECT max(id) AS last FROM status_events) AS newest""".encode(),
        (LATE_COMMITS,),
    ).fetchall()[0]
    return "-".join(str(value or 0) for value in found)


def read_pulse(connection: Connection, *, since: str, before: str, newest: int) -> Pulse:
    """Messages first seen in the window that still wait, and when callbacks came lately."""
    ((waiting,),) = connection.execute(
        """SELECT count(*) FROM (
               SELECT FROM messages WHERE outcome IS NULL AND created_at >= %s AND created_at < %s
               LIMIT %s) AS found""",
        (since, before, WAITING_COUNTED),
    ).fetchall()
    events = connection.execute(
        f"""SELECT {as_text("received_at")}, source FROM status_events
            ORDER BY id DESC LIMIT %s""".encode(),
        (newest,),
    ).fetchall()
    return Pulse(waiting, sorted(at for at, source in events if source in CALLBACKS))
