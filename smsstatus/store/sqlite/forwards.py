"""What is written of the changes that are handed on, inside the caller's transaction.

All of a message that wait are due no earlier than its first one. So what is due is not blocked by
more than what is on its way, and a claim looks at few rows however many wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ...model import StatusUpdate
from ..outbox import AT_ONCE, LOOKED_AT, Condition, Fate, Settlement, Wanted
from ..rules import before, is_change

_ADD = f"""
    INSERT INTO forwards (event_id, message_id, due_at)
    SELECT e.id, e.message_id, max(e.received_at, coalesce((
        SELECT max(due_at) FROM forwards
        WHERE message_id = e.message_id AND due_at IS NOT NULL AND NOT ?2), ''))
    FROM status_events AS e LEFT JOIN status_events AS b ON b.id = {before("e")}
    WHERE e.id = ?1 AND {is_change("e", "b")}
    """
"""What replaces all that wait (?2) is not put off because one of them failed."""

_SUPERSEDE = """
    UPDATE forwards SET state = 'superseded', due_at = NULL, settled_at = n.due_at
    FROM (SELECT event_id, message_id, due_at FROM forwards WHERE event_id = ?) AS n
    WHERE forwards.message_id = n.message_id AND forwards.due_at IS NOT NULL
        AND forwards.event_id < n.event_id
    """

_SETTLE = """
    UPDATE forwards SET
        state = :state, due_at = :due_at, attempts = attempts + :tried, answer = :answer,
        failing_since = iif(:state = 'taken', failing_since, coalesce(failing_since, :at)),
        settled_at = iif(:due_at IS NULL, :at, NULL)
    WHERE event_id = :event_id AND attempts = :attempts
        AND (due_at IS NOT NULL OR (:state = 'taken' AND state IN ('skipped', 'superseded')))
        AND EXISTS (SELECT 1 FROM status_events WHERE id = event_id AND digest = :digest)
    RETURNING message_id
    """

_RETRY = """
    UPDATE forwards SET
        state = 'waiting', due_at = :now, attempts = 0, failing_since = NULL, settled_at = NULL
    WHERE event_id IN (
        SELECT f.event_id FROM forwards AS f JOIN status_events AS e ON e.id = f.event_id
        WHERE f.state = 'dead' AND {of_message} AND (:overtaken OR NOT EXISTS (
            SELECT 1 FROM status_events AS n JOIN forwards AS t ON t.event_id = n.id
            WHERE n.message_id = e.message_id AND n.id > e.id AND t.state = 'taken'))
        ORDER BY f.event_id LIMIT {limit})
    """

_SKIP = """
    UPDATE forwards SET state = 'skipped', due_at = NULL, settled_at = :now
    WHERE event_id IN (
        SELECT event_id FROM (
            SELECT event_id, message_id FROM forwards WHERE due_at IS NOT NULL
            UNION ALL SELECT event_id, message_id FROM forwards WHERE state = 'dead') AS f
        WHERE {of_message} LIMIT {limit})
    """

_ALL = "true"
_ONE = """f.event_id IN (SELECT id FROM status_events WHERE message_id = (
    SELECT id FROM messages WHERE message_uuid = :message_uuid))"""


class Adding:
    """Adds the changes that are wanted, those of a transaction together at its end."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._events: list[tuple[int | None]] = []

    def begin(self) -> None:
        """A transaction begins; what another one noted was rolled back."""
        self._events.clear()

    def note(self, update: StatusUpdate, event_id: int | None) -> None:
        """This update stands, and is this event: is it a change, and wanted?"""
        if update.source != "send" and self._wanted.includes(update.status):
            self._events.append((event_id,))

    def add(self, connection: sqlite3.Connection) -> bool:
        """Add those of what was noted that are changes; were there any?"""
        if not self._events:
            return False
        latest_only = self._wanted.latest_only
        added = connection.executemany(
            _ADD, [(*event, latest_only) for event in self._events]
        ).rowcount
        if added and latest_only:
            connection.executemany(_SUPERSEDE, self._events)
        return added > 0


def settle(connection: sqlite3.Connection, settlements: Sequence[Settlement]) -> int:
    """Write what attempts came to; how many changes were still there and not settled so."""
    return sum(_settle(connection, settlement) for settlement in settlements)


def _settle(connection: sqlite3.Connection, settlement: Settlement) -> bool:
    waits = settlement.fate is Fate.WAITING
    due_at = (settlement.due_at or settlement.at) if waits else None
    found = connection.execute(
        _SETTLE,
        {
            "event_id": settlement.claimed.change.event_id,
            "digest": settlement.claimed.change.digest,
            "attempts": settlement.claimed.attempts,
            "state": settlement.fate.value,
            "tried": settlement.fate is not Fate.SKIPPED,
            "answer": settlement.answer,
            "at": settlement.at,
            "due_at": due_at,
        },
    ).fetchall()
    if found and waits:
        connection.execute(
            "UPDATE forwards SET due_at = ? WHERE message_id = ? AND due_at IS NOT NULL",
            (due_at, found[0][0]),
        )
    return bool(found)


def retry(
    connection: sqlite3.Connection, now: str, message_uuid: str | None, *, overtaken: bool
) -> int:
    """Let dead changes wait again; how many."""
    values = {"now": now, "message_uuid": message_uuid, "overtaken": overtaken}
    return connection.execute(_of(_RETRY, message_uuid), values).rowcount


def skip(connection: sqlite3.Connection, now: str, message_uuid: str | None) -> int:
    """Give up changes that wait or are dead; how many."""
    values = {"now": now, "message_uuid": message_uuid}
    return connection.execute(_of(_SKIP, message_uuid), values).rowcount


def _of(statement: str, message_uuid: str | None) -> str:
    return statement.format(of_message=_ONE if message_uuid else _ALL, limit=AT_ONCE)


def hasten(connection: sqlite3.Connection, now: str, since: str) -> int:
    """Make some of those due that are due later; how many. A message's first before the others."""
    return connection.execute(
        f"""UPDATE forwards SET due_at = :now WHERE event_id IN (
                SELECT event_id FROM (
                    SELECT event_id, message_id, due_at FROM forwards
                    WHERE due_at IS NOT NULL AND due_at > :now
                    ORDER BY due_at, event_id LIMIT {LOOKED_AT}) AS f
                WHERE coalesce((
                    SELECT w.failing_since FROM forwards AS w INDEXED BY forwards_by_message
                    WHERE w.message_id = f.message_id AND w.due_at IS NOT NULL
                    ORDER BY w.event_id LIMIT 1), :since) >= :since
                ORDER BY due_at, event_id LIMIT {AT_ONCE})""",
        {"now": now, "since": since},
    ).rowcount


def pause(connection: sqlite3.Connection, at: str | None) -> None:
    """Note since when nothing may be claimed; None: it may."""
    connection.execute(
        """INSERT INTO forwarder (id, paused_at) VALUES (1, :at) ON CONFLICT (id) DO UPDATE
           SET paused_at = iif(:at IS NULL, NULL, coalesce(paused_at, :at))""",
        {"at": at},
    )


def note(connection: sqlite3.Connection, condition: Condition) -> None:
    """Note how it goes with the receiver."""
    connection.execute(
        """INSERT INTO forwarder (id, failing_since, last_failure, last_taken_at)
           VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
               failing_since = excluded.failing_since, last_failure = excluded.last_failure,
               last_taken_at = excluded.last_taken_at""",
        (condition.failing_since, condition.last_failure, condition.last_taken_at),
    )
