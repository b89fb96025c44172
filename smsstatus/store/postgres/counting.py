"""What is true of many messages: counts, delivery times, what waits, whether anything changed."""

from __future__ import annotations

from collections.abc import Sequence

from ...model import EARLIEST, SIMULATED
from ..contract import AT_ENDS, DELIVERIES_TIMED, PARTS, SAMPLE, WAITING_COUNTED, Group, Pulse
from ..runs import Step
from .batch import as_text, bucket
from .connection import Connection
from .tallies import COLUMNS

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
    connection: Connection,
    since: str,
    until: str,
    by: Sequence[str],
    deliveries: int | None = None,
) -> dict[Group, list[float]]:
    """By group, from queued to delivered, sorted; of what was read, by the event that says so. Of
    many deliveries of the window a sample.
    """
    values = {
        "since": since,
        "until": until,
        "timed": DELIVERIES_TIMED,
        "sample": SAMPLE,
        "parts": PARTS,
        "ends": AT_ENDS,
    }
    if deliveries is None:
        many = connection.execute(_TOO_MANY.encode(), values)
        deliveries = DELIVERIES_TIMED + len(many.fetchall())
    is_sampled = deliveries > DELIVERIES_TIMED
    names = "".join([f"{name}, " for name in by])
    columns = "".join([f"{COLUMNS[name]} AS {name}, " for name in by])
    of_event = """(SELECT max(e.status_timestamp) FROM status_events AS e
        WHERE e.message_id = m.id AND e.status = 'delivered')"""
    most = "part.most" if is_sampled else "%(timed)s"
    arms = " UNION ALL ".join(
        [
            f"""(SELECT {columns} {delivered_at} AS delivered_at, queued_at, {_TIME} AS time
                FROM messages AS m
                WHERE outcome = '{outcome}' AND {_OF_PART if is_sampled else _OF_WINDOW}
                ORDER BY {_TIME} DESC LIMIT {most})"""
            for outcome, delivered_at in (("delivered", "status_timestamp"), ("read", of_event))
        ]
    )
    query = f"""{_WITH_PARTS if is_sampled else ""}
            SELECT {names} array_agg(greatest(date_part('epoch', delivered_at - queued_at), 0))
            FROM {"parts AS part, LATERAL" if is_sampled else ""} (
                {arms} ORDER BY time DESC LIMIT {most}) AS delivered
            WHERE queued_at >= '{EARLIEST}-01-01Z' AND delivered_at >= '{EARLIEST}-01-01Z'
            GROUP BY {", ".join(["()", *by])}"""
    with connection.cursor(binary=True) as cursor:  # a number as text takes thrice as long
        rows = cursor.execute(query.encode(), values).fetchall()
    found = {tuple(group): sorted(times) for *group, times in rows if times}
    if is_sampled and not found:  # a window of hardly two minutes has no whole part
        return read_delivery_times(connection, since, until, by, DELIVERIES_TIMED)
    return found


_TIME = bucket("created_at")
"""In steps of two minutes, as the index of outcomes knows it. The server does not know the times of
a part when it chooses how to find its newest, so they are asked for as that index has them.
"""
_OF_PART = f"{_TIME} >= part.first AND {_TIME} < part.next"
_OF_WINDOW = "created_at >= %(since)s AND created_at < %(until)s"
_WAS_DELIVERED = "outcome IN ('delivered', 'read')"


_IDS = f"SELECT id FROM messages WHERE {_OF_WINDOW}"
_WITH_PARTS = f"""
    WITH ends AS (
        SELECT (SELECT min(id) FROM ({_IDS} ORDER BY created_at LIMIT %(ends)s) AS f) AS first,
            (SELECT max(id) FROM ({_IDS} ORDER BY created_at DESC LIMIT %(ends)s) AS l) AS last
    ),
    cuts AS (
        SELECT {bucket("%(since)s::timestamptz")} + 1 AS cut
        UNION SELECT {bucket("%(until)s::timestamptz")}
        UNION SELECT {_TIME} FROM ends, generate_series(1, %(parts)s - 1) AS n, LATERAL (
            SELECT created_at FROM messages WHERE id >= first + (last - first) * n / %(parts)s
            ORDER BY id LIMIT 1) AS found
        WHERE {_OF_WINDOW}
    ),
    parts AS (
        SELECT first, next, %(sample)s / count(*) OVER () AS most
        FROM (SELECT cut AS first, lead(cut) OVER (ORDER BY cut) AS next FROM cuts) AS part
        WHERE first > {bucket("%(since)s::timestamptz")}
            AND EXISTS (SELECT FROM messages WHERE {_WAS_DELIVERED} AND {_OF_PART})
    )"""
"""Those parts of the window, of equally many messages each, in which something was delivered, and
how many of each are timed; of the window's whole two minutes.
"""
_TOO_MANY = f"""SELECT FROM messages WHERE {_WAS_DELIVERED} AND {_OF_WINDOW}
    OFFSET %(timed)s LIMIT 1"""


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
    """A word that differs once a message or an event was added, or the oldest were pruned.

    A repeated callback alone does not change it.
    """
    ((last, lately, oldest, read),) = connection.execute(
        """SELECT last, (SELECT count(*) FROM status_events WHERE id > last - %s),
               (SELECT min(id) FROM messages), (SELECT sum(looked_at) FROM upgrades)
           FROM (SELECT max(id) AS last FROM status_events) AS newest""",
        (LATE_COMMITS,),
    ).fetchall()
    return f"{last or 0}-{lately}-{oldest or 0}-{read or 0}"


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
    return Pulse(waiting, sorted(at for at, source in events if source in ("callback", "replay")))
