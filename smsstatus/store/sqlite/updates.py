"""How StatusUpdates change the tables: the guarded upsert and the event beside it."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from ...model import TEXT_DIGEST_SIZE, StatusUpdate
from ..contract import Outcome
from ..rules import first_seen, first_status, order_key, reference_pairs
from . import parameters
from .facts import file_facts
from .upgrade import FORMER_SIZE, former_digest, former_owner

log = logging.getLogger(__name__)

Bound = Callable[..., sqlite3.Cursor]
"""Called with a connection, an update, and a value for each ? in the statement."""


def _bind(sql: str) -> Bound:
    """A statement whose :names are StatusUpdate's fields, executed with positional values.

    What is a ? in it must stand before the names.
    """
    pick = itemgetter(*map(StatusUpdate._fields.index, re.findall(r":(\w+)", sql)))
    positional = re.sub(r":\w+", "?", sql)  # not ?1: Python 3.12.0 to 3.12.3 warn about it

    def execute(
        connection: sqlite3.Connection, update: StatusUpdate, *more: object
    ) -> sqlite3.Cursor:
        values: Any = pick(update)
        return connection.execute(positional, more + values)

    return execute


_INDEXED = ("sender_number", "recipient_number", "created_at")
_DETAILS = (*_INDEXED, "queued_at", "message_body")
"""What an update can say of a message beside its status."""


def _least(column: str, new: str) -> str:
    """What such a column holds after an update: the least of all values given, in any order."""
    return f"coalesce(min(m.{column}, {new}), m.{column}, {new})"


_FIRST_SEEN = first_seen(":")


def _given(column: str) -> str:
    """What an update says of a column."""
    return _FIRST_SEEN if column == "created_at" else f":{column}"


def _set(columns: Iterable[str]) -> str:
    return "".join([f", {column} = {_least(column, f'excluded.{column}')}" for column in columns])


_UPSERT = """
    INSERT INTO messages AS m (
        message_uuid, sender_number, recipient_number, message_body,
        initial_status, current_status, status_timestamp, error_code,
        created_at, updated_at, queued_at, is_final, sequence, rank, digest)
    VALUES (
        :message_uuid, :sender_number, :recipient_number, :message_body,
        :status, :status, :status_timestamp, :error_code,
        {first_seen}, :received_at, :queued_at, :is_final, :sequence, :rank, :digest)
    ON CONFLICT (message_uuid) DO UPDATE SET
        current_status = excluded.current_status,
        status_timestamp = excluded.status_timestamp,
        error_code = excluded.error_code,
        updated_at = excluded.updated_at,
        is_final = excluded.is_final,
        sequence = excluded.sequence,
        rank = excluded.rank,
        digest = excluded.digest
        {details}
    WHERE ({new_key}) > ({key})
        {only_if}
    """

# SQLite writes the index of each column that is SET, even if the value stays the same: some pages
# more for nearly every callback. So first without those; it is refused if one would change.
_KEYS = {
    "new_key": order_key("excluded"),
    "key": order_key("m"),
    "first_seen": _FIRST_SEEN,
}
_upsert_status = _bind(
    _UPSERT.format(
        **_KEYS,
        details=_set(column for column in _DETAILS if column not in _INDEXED),
        only_if="".join([f"AND m.{c} IS {_least(c, f'excluded.{c}')} " for c in _INDEXED]),
    )
)
_upsert_whole = _bind(_UPSERT.format(**_KEYS, details=_set(_DETAILS), only_if=""))

_insert_event = _bind("""
    INSERT INTO status_events (
        parameters, message_id, digest, status, status_timestamp, error_code, sequence, rank,
        is_final, received_at, source)
    SELECT ?, id, :digest, :status, :status_timestamp, :error_code, :sequence, :rank,
        :is_final, :received_at, :source
    FROM messages WHERE message_uuid = :message_uuid
    """)

_fill_in = _bind(f"""
    UPDATE messages AS m SET
        {"".join([f"{c} = {_least(c, _given(c))}, " for c in _DETAILS])}
        initial_status = {first_status("m.id")}
    WHERE message_uuid = :message_uuid
    RETURNING current_status, status_timestamp
    """)

_has_lost = _bind("""
    SELECT 1 FROM messages AS m WHERE message_uuid = :message_uuid AND (
        m.sender_number IS NULL AND :sender_number IS NOT NULL
        OR m.recipient_number IS NULL AND :recipient_number IS NOT NULL
        OR m.message_body IS NULL AND :message_body IS NOT NULL
        OR :reference IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM message_references WHERE message_id = m.id))
    """)

_count_repeat = _bind("""
    UPDATE status_events SET
        repeats = repeats + (:source = 'callback'), received_at = min(received_at, :received_at)
    WHERE digest = :digest
        AND message_id = (SELECT id FROM messages WHERE message_uuid = :message_uuid)
    """)

# One that waited in the spool while its repetition was stored was received first.
_set_back = _bind(f"""
    UPDATE messages SET
        created_at = min(created_at, {_FIRST_SEEN}),
        updated_at = iif(digest = :digest, min(updated_at, :received_at), updated_at)
    WHERE message_uuid = :message_uuid
        AND (created_at > {_FIRST_SEEN} OR (digest = :digest AND updated_at > :received_at))
    """)


def apply_updates(
    connection: sqlite3.Connection,
    updates: Sequence[StatusUpdate],
    note_standing: Callable[[StatusUpdate, int | None], None] | None = None,
) -> list[Outcome]:
    """Write these inside the caller's transaction; what became of each. Again, it changes no row.

    `note_standing` is called for each one that stands, with its event's id.

    Whatever the order in which a message's updates come, its row ends the same: the guard in the
    statement keeps the greatest order key, the least of differing numbers and times is kept, and
    an update that comes late still fills in what only it says. (Not the history of a message whose
    first updates come in one commit, some of before a pruning: those are left out then.)
    """
    pruned_before = _pruned_before(connection)
    judged = [_judge(connection, update, pruned_before) for update in updates]
    new = [update for update, known in zip(updates, judged, strict=True) if known is None]
    written = iter(_write(connection, new, note_standing))
    outcomes = []
    for update, known in zip(updates, judged, strict=True):
        if known is None:
            outcomes.append(next(written))
        elif isinstance(known, Outcome):
            outcomes.append(known)
        else:
            outcomes.append(_repeat(connection, update._replace(digest=known)))
    return outcomes


def _judge(
    connection: sqlite3.Connection, update: StatusUpdate, pruned_before: str
) -> Outcome | bytes | None:
    """Why it is not to be written, or the digest with which it was; None if it is new."""
    if _is_pruned(connection, update, pruned_before):
        return Outcome.PRUNED
    if update.v2_nonce and not claim_nonce(
        connection, update.v2_nonce, update.digest, update.parameters
    ):
        return Outcome.NONCE_TAKEN
    if update.used_nonce:  # V3 vouches for this one, whoever owns the nonce
        claim_nonce(connection, update.used_nonce, update.digest, update.parameters)
    former = former_owner(connection, update)
    if former is not None:
        return former
    return None if _claim_text(connection, update.digest[:TEXT_DIGEST_SIZE]) else update.digest


def _write(
    connection: sqlite3.Connection,
    new: Sequence[StatusUpdate],
    note_standing: Callable[[StatusUpdate, int | None], None] | None,
) -> list[Outcome]:
    """Each step for all of them, then the next one: so its code stays in the processor's cache."""
    stood = [_stand(connection, update) for update in new]
    packed = [parameters.kept(connection, update) for update in new]
    events = [
        _insert_event(connection, update, kept).lastrowid
        for update, kept in zip(new, packed, strict=True)
    ]
    for update, (stands, _) in zip(new, stood, strict=True):
        if not stands:
            _fill_in_late(connection, update)
    for update, (_, is_filed) in zip(new, stood, strict=True):
        if update.reference is not None or not is_filed:
            _file_reference(connection, update)
    for update in new:
        file_facts(connection, update)
    if note_standing is not None:
        for update, (stands, _), event_id in zip(new, stood, events, strict=True):
            if stands:
                note_standing(update, event_id)
    return [Outcome.APPLIED if stands else Outcome.OLDER for stands, _ in stood]


def _stand(connection: sqlite3.Connection, update: StatusUpdate) -> tuple[bool, bool]:
    """Does it stand now? And is the message filed as it was?"""
    if _upsert_status(connection, update).rowcount == 1:
        return True, True
    return _upsert_whole(connection, update).rowcount == 1, False


def _fill_in_late(connection: sqlite3.Connection, update: StatusUpdate) -> None:
    """Add what only an update says that does not stand."""
    ((status, timestamp),) = _fill_in(connection, update).fetchall()
    log.info(
        "message %s: %s at %s came after %s at %s, which stands",
        update.message_uuid,
        update.status,
        update.status_timestamp or "unknown time",
        status,
        timestamp or "unknown time",
    )


def give_back(connection: sqlite3.Connection, update: StatusUpdate) -> None:
    """Add what the message of an update that is there has lost of the update's numbers and text."""
    if _has_lost(connection, update).fetchall():
        _fill_in(connection, update).fetchall()
        _file_reference(connection, update)


def _pruned_before(connection: sqlite3.Connection) -> str:
    """Messages first seen before that were pruned; empty if none were."""
    rows = connection.execute("SELECT created_before FROM prunings").fetchall()
    return rows[0][0] if rows else ""


def _is_pruned(connection: sqlite3.Connection, update: StatusUpdate, pruned_before: str) -> bool:
    """Would it bring back a message that was pruned? It does not where no time is given."""
    happened_at = max(update.status_timestamp, update.queued_at or "")
    return "" < happened_at < pruned_before and not (
        connection.execute(
            "SELECT 1 FROM messages WHERE message_uuid = ?", (update.message_uuid,)
        ).fetchall()
    )


def _claim_text(connection: sqlite3.Connection, digest: bytes) -> bool:
    """Let an update own the text Plivo signed; False if one owns it already."""
    claimed = connection.execute(
        "INSERT INTO signed_texts (digest) VALUES (?) ON CONFLICT DO NOTHING", (digest,)
    )
    return claimed.rowcount == 1


def knows_text(connection: sqlite3.Connection, digest: bytes) -> bool:
    """Does an update own the text of this digest?"""
    return bool(
        connection.execute(
            "SELECT 1 FROM signed_texts WHERE digest = ?", (digest[:TEXT_DIGEST_SIZE],)
        ).fetchall()
    )


def _repeat(connection: sqlite3.Connection, update: StatusUpdate) -> Outcome:
    """The text is known: is it the same reading of it?"""
    if _count_repeat(connection, update).rowcount == 0:
        return Outcome.TEXT_TAKEN
    if _set_back(connection, update).rowcount == 1:
        _file_reference(connection, update)
        file_facts(connection, update)
    return Outcome.DUPLICATE


def _file_reference(connection: sqlite3.Connection, update: StatusUpdate) -> None:
    """Keep the least of a message's references, as of its other details, and file its pairs under
    the message's created_at, which an update can have set back.
    """
    ((message_id, created_at, query, filed_at),) = connection.execute(
        """SELECT m.id, m.created_at, r.query, r.filed_at
           FROM messages AS m LEFT JOIN message_references AS r ON r.message_id = m.id
           WHERE m.message_uuid = ?""",
        (update.message_uuid,),
    ).fetchall()
    least = min(filter(None, (query, update.reference)), default=None)
    if least is None or (least, created_at) == (query, filed_at):
        return
    drop_reference(connection, message_id)
    connection.execute(
        "INSERT INTO message_references (message_id, query, filed_at) VALUES (?, ?, ?)",
        (message_id, least, created_at),
    )
    connection.executemany(
        """INSERT INTO reference_pairs (pair, filed_at, message_id) VALUES (?, ?, ?)
           ON CONFLICT DO NOTHING""",  # left of a reference that was lost
        [(pair, created_at, message_id) for pair in reference_pairs(least)],
    )


def drop_reference(connection: sqlite3.Connection, message_id: int) -> None:
    """Forget what the sender added to a message's URL."""
    dropped = connection.execute(
        "DELETE FROM message_references WHERE message_id = ? RETURNING query, filed_at",
        (message_id,),
    ).fetchall()
    connection.executemany(
        "DELETE FROM reference_pairs WHERE pair = ? AND filed_at = ? AND message_id = ?",
        [(pair, filed, message_id) for query, filed in dropped for pair in reference_pairs(query)],
    )


def claim_nonce(connection: sqlite3.Connection, nonce: str, digest: bytes, parameters: str) -> bool:
    """Let the callback with `digest` own a V2 nonce; False if another owns it already."""
    connection.execute(
        "INSERT INTO v2_nonces (nonce, digest) VALUES (?, ?) ON CONFLICT (nonce) DO NOTHING",
        (nonce, digest),
    )
    ((owner,),) = connection.execute(
        "SELECT digest FROM v2_nonces WHERE nonce = ?", (nonce,)
    ).fetchall()
    if len(owner) == FORMER_SIZE:
        return bool(owner == former_digest(parameters, "callback"))
    return bool(owner == digest)


def mark_checked(connection: sqlite3.Connection, message_uuid: str, checked_at: str) -> None:
    """Note when Plivo was last asked about a message."""
    connection.execute(
        "UPDATE messages SET checked_at = ? WHERE message_uuid = ?", (checked_at, message_uuid)
    )
