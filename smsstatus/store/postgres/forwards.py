"""What is written of the changes that are handed on, inside the caller's transaction.

As in SQLite all of a message that wait are due no earlier than its first one. Several rows are
locked by their ids, else two transactions could wait for each other; what else is asked of a row is
asked again once it is locked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...model import TEXT_DIGEST_SIZE, StatusUpdate
from ..contract import Outcome
from ..outbox import AT_ONCE, LOOKED_AT, Claimed, Condition, Fate, Settlement, Wanted
from ..rules import before, is_change
from .columns import EVENTS, as_text
from .connection import Connection

_ADD = f"""
    INSERT INTO forwards (event_id, message_id, due_at)
    SELECT e.id, e.message_id, max(greatest(e.received_at, (
            SELECT max(due_at) FROM forwards
            WHERE message_id = e.message_id AND due_at IS NOT NULL AND NOT %s)))
        OVER (PARTITION BY e.message_id ORDER BY e.id)
    FROM {EVENTS} AS e LEFT JOIN {EVENTS} AS b ON b.id = {before("e", EVENTS)}
    WHERE e.signed_text = ANY(%b) AND {is_change("e", "b")}
    RETURNING event_id
    """
"""What replaces all that wait (%s) is not put off because one of them failed."""

_SUPERSEDE = """
    UPDATE forwards SET state = 'superseded', due_at = NULL, settled_at = due_at
    WHERE due_at IS NOT NULL AND event_id IN (
        SELECT event_id FROM forwards WHERE event_id IN (
            SELECT w.event_id FROM forwards AS n JOIN forwards AS w
            ON w.message_id = n.message_id AND w.due_at IS NOT NULL AND w.event_id < n.event_id
            WHERE n.event_id = ANY(%s))
        ORDER BY event_id FOR UPDATE)
    """

_LOCK = """
    SELECT FROM forwards WHERE event_id IN (
        SELECT unnest(%(ids)s::bigint[]) UNION
        SELECT w.event_id FROM forwards AS f JOIN forwards AS w
        ON w.message_id = f.message_id AND w.due_at IS NOT NULL
        WHERE f.event_id = ANY(%(ids)s))
    ORDER BY event_id FOR UPDATE
    """

_SETTLE = f"""
    UPDATE forwards AS f SET
        state = g.state, due_at = g.due_at, attempts = f.attempts + g.tried, answer = g.answer,
        failing_since = CASE WHEN g.state = 'taken' THEN f.failing_since
            ELSE coalesce(f.failing_since, g.at) END,
        settled_at = CASE WHEN g.due_at IS NULL THEN g.at END,
        claim = NULL, claimed_until = NULL
    FROM json_to_recordset(%s::json) AS g (
        event_id bigint, claim uuid, state text, due_at timestamptz, tried integer, answer text,
        at timestamptz)
    WHERE f.event_id = g.event_id AND f.claim = g.claim AND (
        f.due_at IS NOT NULL OR (g.state = 'taken' AND f.state IN ('skipped', 'superseded')))
    RETURNING f.message_id, {as_text("f.due_at")}
    """

_PUT_OFF = """
    UPDATE forwards AS f SET due_at = g.due_at
    FROM (
        SELECT message_id, max(due_at) AS due_at
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS u (message_id, due_at) GROUP BY message_id
    ) AS g
    WHERE f.message_id = g.message_id AND f.due_at IS NOT NULL
    """

_FREE = """
    UPDATE forwards AS f SET claim = NULL, claimed_until = NULL
    FROM unnest(%s::bigint[], %s::uuid[]) AS g (event_id, claim)
    WHERE f.event_id = g.event_id AND f.claim = g.claim
    """

_RETRY = """
    UPDATE forwards SET
        state = 'waiting', due_at = %(now)s, attempts = 0, failing_since = NULL, settled_at = NULL
    WHERE state = 'dead' AND event_id IN (
        SELECT f.event_id FROM forwards AS f
        WHERE f.state = 'dead' AND {of_message} AND (%(overtaken)s OR NOT EXISTS (
            SELECT FROM status_events AS n JOIN forwards AS t ON t.event_id = n.id
            WHERE n.message_id = f.message_id AND n.id > f.event_id AND t.state = 'taken'))
        ORDER BY f.event_id LIMIT {limit} FOR UPDATE OF f)
    """

_SKIP = """
    UPDATE forwards SET state = 'skipped', due_at = NULL, settled_at = %(now)s
    WHERE (due_at IS NOT NULL OR state = 'dead') AND event_id IN (
        SELECT event_id FROM forwards WHERE event_id IN (
            SELECT event_id FROM (
                SELECT event_id, message_id FROM forwards WHERE due_at IS NOT NULL
                UNION ALL SELECT event_id, message_id FROM forwards WHERE state = 'dead') AS f
            WHERE {of_message} LIMIT {limit})
        ORDER BY event_id FOR UPDATE)
    """

_HASTEN = f"""
    UPDATE forwards SET due_at = %(now)s
    WHERE due_at > %(now)s AND event_id IN (
        SELECT event_id FROM forwards WHERE event_id IN (
            SELECT event_id FROM (
                SELECT event_id, message_id, due_at FROM forwards WHERE due_at > %(now)s
                ORDER BY due_at, event_id LIMIT {LOOKED_AT}) AS f
            WHERE coalesce((
                SELECT w.failing_since FROM forwards AS w
                WHERE w.message_id = f.message_id AND w.due_at IS NOT NULL
                ORDER BY w.event_id LIMIT 1), %(since)s) >= %(since)s
            ORDER BY due_at, event_id LIMIT {AT_ONCE})
        ORDER BY event_id FOR UPDATE)
    """

_ALL = "true"
_ONE = """f.event_id IN (SELECT e.id FROM status_events AS e WHERE e.message_id = (
    SELECT m.id FROM messages AS m WHERE m.message_uuid = %(message_uuid)s))"""


def add(
    connection: Connection,
    updates: Sequence[StatusUpdate],
    outcomes: Sequence[Outcome],
    wanted: Wanted,
) -> bool:
    """Add those of what was recorded just now that are changes, and wanted; were there any?

    A statement of its own, since only that sees what others had committed before the first one got
    the messages' rows. Those stay locked until the end.
    """
    texts = [
        update.digest[:TEXT_DIGEST_SIZE]
        for update, outcome in zip(updates, outcomes, strict=True)
        if outcome in (Outcome.APPLIED, Outcome.OLDER)  # what was older can have stood in between
        and update.source != "send"
        and wanted.includes(update.status)
    ]
    if not texts:
        return False
    added = [row[0] for row in connection.execute(_ADD, (wanted.latest_only, texts)).fetchall()]
    if added and wanted.latest_only:
        connection.execute(_SUPERSEDE, (added,))
    return bool(added)


def settle(connection: Connection, settlements: Sequence[Settlement]) -> int:
    """Write what attempts came to; how many changes were still there and claimed so."""
    claimed = [settlement.claimed for settlement in settlements]
    connection.execute(_LOCK, {"ids": [one.change.event_id for one in claimed]})
    given = json.dumps([_row(settlement) for settlement in settlements])
    found = connection.execute(_SETTLE.encode(), (given,)).fetchall()
    put_off = [row for row in found if row[1] is not None]
    if put_off:
        connection.execute(_PUT_OFF, ([row[0] for row in put_off], [row[1] for row in put_off]))
    if len(found) < len(settlements):  # skipped meanwhile, but no longer on their way
        free(connection, claimed)
    return len(found)


def _row(settlement: Settlement) -> dict[str, Any]:
    waits = settlement.fate is Fate.WAITING
    return {
        "event_id": settlement.claimed.change.event_id,
        "claim": settlement.claimed.claim,
        "state": settlement.fate.value,
        "due_at": (settlement.due_at or settlement.at) if waits else None,
        "tried": int(settlement.fate is not Fate.SKIPPED),
        "answer": settlement.answer,
        "at": settlement.at,
    }


def free(connection: Connection, claimed: Sequence[Claimed]) -> None:
    """Let others claim these."""
    ids = [one.change.event_id for one in claimed]
    connection.execute(_LOCK, {"ids": ids})
    connection.execute(_FREE, (ids, [one.claim for one in claimed]))


def retry(connection: Connection, now: str, message_uuid: str | None, *, overtaken: bool) -> int:
    """Let dead changes wait again; how many."""
    values = {"now": now, "message_uuid": message_uuid, "overtaken": overtaken}
    return connection.execute(_of(_RETRY, message_uuid), values).rowcount


def skip(connection: Connection, now: str, message_uuid: str | None) -> int:
    """Give up changes that wait or are dead; how many."""
    values = {"now": now, "message_uuid": message_uuid}
    return connection.execute(_of(_SKIP, message_uuid), values).rowcount


def _of(statement: str, message_uuid: str | None) -> bytes:
    return statement.format(of_message=_ONE if message_uuid else _ALL, limit=AT_ONCE).encode()


def hasten(connection: Connection, now: str, since: str) -> int:
    """Make some of those due that are due later; how many. A message's first before the others."""
    return connection.execute(_HASTEN, {"now": now, "since": since}).rowcount


def pause(connection: Connection, at: str | None) -> None:
    """Note since when nothing may be claimed; None: it may."""
    connection.execute(
        """INSERT INTO forwarder AS f (paused_at) VALUES (%(at)s) ON CONFLICT (id) DO UPDATE
           SET paused_at = CASE WHEN %(at)s::timestamptz IS NOT NULL
               THEN coalesce(f.paused_at, %(at)s) END""",
        {"at": at},
    )


def note(connection: Connection, condition: Condition) -> None:
    """Note how it goes with the receiver."""
    connection.execute(
        """INSERT INTO forwarder (failing_since, last_failure, last_taken_at)
           VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET
               failing_since = excluded.failing_since, last_failure = excluded.last_failure,
               last_taken_at = excluded.last_taken_at""",
        (condition.failing_since, condition.last_failure, condition.last_taken_at),
    )
