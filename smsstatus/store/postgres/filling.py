"""Where messages went that this program has not written: read from the events that were kept.

Of those that were there when the columns came, and of what a program of an earlier version writes
beside this one, which triggers note (see the schema). Some at a time, while callbacks come.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from ...plivo.callback import facts_of
from ..packing import unpack
from . import facts
from .batch import FOR_TRANSACTION
from .columns import as_text
from .connection import Connection

log = logging.getLogger(__name__)

LOCK = 7_305_431_969_000_003
"""An advisory lock's number: one process at a time fills in."""

BATCH = 200
"""Messages of a transaction, which keeps callbacks from their rows for that long."""

_FILL = f"""
    UPDATE messages AS m SET {facts.kept("told")}
    FROM json_to_recordset(%s::json) AS g (id bigint, {facts.GIVEN}),
        LATERAL (SELECT {facts.values("place", "price")}) AS told ({", ".join(facts.COLUMNS)})
    WHERE m.id = g.id
    """


def fill_some(connection: Connection) -> bool:
    """Fill in some messages, in a transaction of its own: it locks rows before those of a batch.

    False if none is left, or another process does it.
    """
    with connection.transaction():
        connection.execute(FOR_TRANSACTION.encode())
        ((is_held,),) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
        ids = [*_noted(connection), *_former(connection)] if is_held else []
        # Locked in the order in which callbacks lock them, and read only then.
        rows = connection.execute(
            """SELECT id, recipient_number FROM messages WHERE id = ANY (%s)
               ORDER BY message_uuid FOR NO KEY UPDATE""",
            (ids,),
        ).fetchall()
        connection.execute(_FILL.encode(), (json.dumps(_told(connection, rows)),))
    return bool(ids)


def is_left(connection: Connection) -> bool:
    ((is_left,),) = connection.execute(
        """SELECT EXISTS (SELECT FROM unread_facts)
               OR EXISTS (SELECT FROM upgrades WHERE version = 3 AND looked_at < last_message)"""
    ).fetchall()
    return bool(is_left)


def _noted(connection: Connection) -> Sequence[int]:
    """What programs of earlier versions have written since."""
    rows = connection.execute(
        """DELETE FROM unread_facts WHERE ctid = ANY (ARRAY(
               SELECT ctid FROM unread_facts LIMIT %s FOR UPDATE SKIP LOCKED))
           RETURNING message_id""",
        (BATCH,),
    ).fetchall()
    return [row[0] for row in rows]


def _former(connection: Connection) -> Sequence[int]:
    """The next of those that were there."""
    rows = connection.execute(
        """SELECT m.id FROM messages AS m, upgrades AS u
           WHERE u.version = 3 AND m.id > u.looked_at AND m.id <= u.last_message
           ORDER BY m.id LIMIT %s""",
        (BATCH,),
    ).fetchall()
    connection.execute(
        """UPDATE upgrades SET looked_at = coalesce(%s, last_message)
           WHERE version = 3 AND looked_at < last_message""",
        (rows[-1][0] if rows else None,),
    )
    return [row[0] for row in rows]


def _told(connection: Connection, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """What the events of these messages say together, a row for each message."""
    numbers: dict[int, str | None] = {row[0]: row[1] for row in rows}
    events = connection.execute(
        f"""SELECT m.id, e.rank, m.reference, e.signed_text || e.reading, e.parameters,
                m.message_uuid, e.status, coalesce({as_text("e.status_timestamp")}, ''),
                NULLIF(e.error_code, ''), e.sequence
            FROM messages AS m JOIN status_events AS e ON e.message_id = m.id
            WHERE m.id = ANY (%s)""".encode(),
        (list(numbers),),
    ).fetchall()
    said: dict[int, list[dict[str, Any]]] = {}
    for message_id, rank, reference, digest, packed, *own in events:
        try:
            network, units, amount = facts_of(unpack(packed, *own), reference, digest)
        except ValueError as error:
            log.error("an event of message %s cannot be read: %s", own[0], error)
            network = units = amount = None
        told = facts.told(network, numbers[message_id], units, amount, rank)
        said.setdefault(message_id, []).append(told)
    return [{"id": message_id, **facts.least(each)} for message_id, each in said.items()]
