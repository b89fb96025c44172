"""How StatusUpdates change the tables: a whole batch in one statement with one parameter.

It does what `sqlite.updates` does, and ends in the same rows whatever the order, the
batches and the number of connections. All that decides stands in the message's own row, which the
statement locks: a statement does not see what another one commits meanwhile. So the upsert has no
WHERE, which would keep the id of a row that stays as it is from coming back.
"""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg.errors import InvalidSqlStatementName

from ...model import TEXT_DIGEST_SIZE, StatusUpdate
from ..contract import Outcome
from ..packing import pack
from ..rules import first_seen, order_key, reference_pairs
from . import facts
from .columns import NOT_TOLD, as_text
from .connection import SILENCE, Connection

log = logging.getLogger(__name__)

FOR_TRANSACTION = f"""
    SELECT set_config('lock_timeout', '2s', true), set_config('smsstatus.facts', 'told', true),
        {SILENCE},
        CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END
    """
"""What holds for the transaction it is in: locks are waited for so long, and not held in silence, a
commit is on disk, and what it writes of messages says where they went (see the triggers of the
schema).
"""

_NEWER = f"({order_key('excluded')}) > ({order_key('m')})"
_EARLIER = f"({order_key('excluded', prefix='first_')}) < ({order_key('m', prefix='first_')})"

_STANDING = (
    "current_status",
    "status_timestamp",
    "error_code",
    "is_final",
    "sequence",
    "rank",
    "digest",
)
_FIRST = (
    "initial_status",
    "first_status_timestamp",
    "first_sequence",
    "first_rank",
    "first_digest",
)
_LEAST = ("sender_number", "recipient_number", "message_body", "created_at", "queued_at")
"""Of values that differ the least is kept, in any order of arrival; see also the reference."""


def _set(columns: Iterable[str], condition: str) -> str:
    return "".join(
        [f"{c} = CASE WHEN {condition} THEN excluded.{c} ELSE m.{c} END, " for c in columns]
    )


_OWN_REFERENCE = "excluded.reference < m.reference OR m.reference IS NULL"

RECORD = f"""
    WITH raised AS MATERIALIZED ({FOR_TRANSACTION}),
    given AS MATERIALIZED (
        SELECT g.*, decode(text_hex, 'hex') AS signed_text, decode(reading_hex, 'hex') AS reading,
            decode(text_hex || reading_hex, 'hex') AS digest,
            decode(packed, 'base64') AS parameters,
            coalesce(
                greatest(status_timestamp, queued_at) > '{NOT_TOLD}'
                AND greatest(status_timestamp, queued_at) < (SELECT created_before FROM prunings)
                AND (SELECT m.id FROM messages AS m WHERE m.message_uuid = g.message_uuid) IS NULL,
                false) AS is_pruned,
            (SELECT e.reading FROM status_events AS e
             WHERE e.signed_text = decode(text_hex, 'hex')) AS owner
        FROM raised, json_to_recordset(%s::json) AS g (
            n integer, message_uuid text COLLATE "C", status text COLLATE "C",
            status_timestamp timestamptz, error_code text COLLATE "C", is_final boolean,
            sequence bigint, rank smallint, text_hex text, reading_hex text,
            sender_number text COLLATE "C", recipient_number text COLLATE "C",
            message_body text COLLATE "C", queued_at timestamptz, received_at timestamptz,
            source text COLLATE "C", packed text, nonce text COLLATE "C", is_v2 boolean,
            reference text COLLATE "C", reference_pairs text[] COLLATE "C", is_again boolean,
            {facts.GIVEN})
    ),
    claimed AS (
        INSERT INTO v2_nonces AS v (nonce, digest)
        SELECT DISTINCT ON (nonce) nonce, digest FROM given
        WHERE nonce IS NOT NULL AND NOT is_pruned ORDER BY nonce, n
        ON CONFLICT (nonce) DO UPDATE SET digest = v.digest  -- so that the owner comes back
        RETURNING nonce, digest
    ),
    judged AS MATERIALIZED (
        SELECT g.*, judged.refused IS NULL AS is_allowed, judged.refused
        FROM given AS g LEFT JOIN claimed ON claimed.nonce = g.nonce, LATERAL (
            SELECT CASE WHEN is_pruned THEN 'pruned'
                WHEN is_v2 AND claimed.digest <> g.digest THEN 'nonce_taken'
                WHEN owner <> reading THEN 'text_taken' END AS refused
        ) AS judged
    ),
    allowed AS MATERIALIZED (
        SELECT g.*,
            row_number() OVER of_message = 1 AS is_newest,
            last_value(status) OVER of_message AS initial_status,
            last_value(status_timestamp) OVER of_message AS first_status_timestamp,
            last_value(sequence) OVER of_message AS first_sequence,
            last_value(rank) OVER of_message AS first_rank,
            last_value(digest) OVER of_message AS first_digest,
            min(sender_number) OVER of_message AS least_sender,
            min(recipient_number) OVER of_message AS least_recipient,
            min(message_body) OVER of_message AS least_body,
            min({first_seen("")}) OVER of_message AS created_at,
            min(queued_at) OVER of_message AS least_queued_at,
            min(reference) OVER of_message AS least_reference,
            {facts.FOLDED},
            row_number() OVER of_text = 1 AS is_first,
            count(*) FILTER (WHERE source = 'callback') OVER of_text
                - (first_value(source) OVER of_text = 'callback')::integer AS repeats,
            min(received_at) OVER of_text AS first_received_at
        FROM judged AS g WHERE is_allowed
        WINDOW of_message AS (
                PARTITION BY message_uuid ORDER BY {order_key("g", "DESC")}
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
            of_text AS (
                PARTITION BY signed_text ORDER BY n
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    ),
    stored AS (
        INSERT INTO messages AS m (
            message_uuid, sender_number, recipient_number, message_body, initial_status,
            current_status, status_timestamp, error_code, created_at, updated_at, queued_at,
            is_final, sequence, rank, digest, first_status_timestamp, first_sequence, first_rank,
            first_digest, reference, reference_pairs, {", ".join(facts.COLUMNS)})
        SELECT message_uuid, least_sender, least_recipient, least_body, initial_status,
            status, status_timestamp, error_code, created_at, first_received_at, least_queued_at,
            is_final, sequence, rank, digest, first_status_timestamp, first_sequence, first_rank,
            first_digest, least_reference, CASE WHEN least_reference IS NOT NULL THEN (
                SELECT r.reference_pairs FROM given AS r
                WHERE r.reference = least_reference LIMIT 1) END,
            {facts.values("least_place", "greatest_price")}
        FROM allowed WHERE is_newest ORDER BY message_uuid  -- else two batches could deadlock
        ON CONFLICT (message_uuid) DO UPDATE SET
            {_set(_STANDING, _NEWER)}
            updated_at = CASE WHEN {_NEWER} THEN excluded.updated_at
                WHEN excluded.digest = m.digest THEN least(m.updated_at, excluded.updated_at)
                ELSE m.updated_at END,
            {_set(_FIRST, _EARLIER)}
            {_set(["reference_pairs"], _OWN_REFERENCE)}
            reference = least(m.reference, excluded.reference),
            {", ".join([f"{c} = least(m.{c}, excluded.{c})" for c in _LEAST])},
            {facts.kept("excluded")}
        RETURNING id, message_uuid, digest, current_status, status_timestamp, created_at,
            reference_pairs
    ),
    filed AS (
        INSERT INTO reference_pairs (pair, created_at, message_id)
        SELECT pair, s.created_at, s.id FROM stored AS s, unnest(s.reference_pairs) AS pair
        ON CONFLICT DO NOTHING
    ),
    events AS (
        INSERT INTO status_events AS e (
            message_id, signed_text, reading, status, status_timestamp, error_code, sequence, rank,
            received_at, source, parameters, repeats)
        SELECT s.id, a.signed_text, a.reading, a.status, a.status_timestamp,
            coalesce(a.error_code, ''), a.sequence, a.rank, a.first_received_at, a.source,
            a.parameters, a.repeats
        FROM allowed AS a JOIN stored AS s ON s.message_uuid = a.message_uuid
        WHERE a.is_first ORDER BY a.n
        ON CONFLICT (signed_text) DO UPDATE SET
            repeats = e.repeats + CASE
                WHEN e.received_at = excluded.received_at AND (SELECT is_again FROM given LIMIT 1)
                THEN 0 ELSE excluded.repeats + (excluded.source = 'callback')::integer END,
            received_at = least(e.received_at, excluded.received_at)
        RETURNING signed_text, reading, repeats
    )
    SELECT a.n,
        CASE WHEN e.reading <> a.reading THEN (1 / (a.n - a.n))::text
            WHEN a.owner IS NOT NULL OR NOT a.is_first OR e.repeats > a.repeats THEN 'duplicate'
            WHEN s.digest = a.digest THEN 'applied' ELSE 'older' END,
        s.current_status, coalesce({as_text("s.status_timestamp")}, ''), s.digest
    FROM allowed AS a JOIN stored AS s ON s.message_uuid = a.message_uuid
        JOIN events AS e ON e.signed_text = a.signed_text
    UNION ALL
    SELECT n, refused, NULL, NULL, NULL FROM judged WHERE NOT is_allowed
    """
"""Another reading of a text that nobody owned when the statement began divides by zero: the batch
is undone, and each of its updates is written by itself, by when the owner is known.

Conditions on what a batch made are booleans: PostgreSQL expects half of the rows to meet such a
one, but a single row where a value is compared, and would join each row with all others.
"""


def record(
    connection: Connection, updates: Sequence[StatusUpdate], *, is_again: bool = False
) -> list[Outcome]:
    """Write these in the caller's transaction, or in one of their own; what became of each.

    Raises InvalidSqlStatementName, as a server does that does not know the statement, where it has
    done another one: a pooler that knows nothing of prepared statements lets processes share names.

    `is_again`: these may be written already, and only the answer was lost. Then one that is there
    with the very same time of arrival is no repeat of itself.

    Of several updates of a message only the last can be APPLIED; in SQLite each one that stands is,
    until the next one.
    """
    outcomes = [Outcome.OLDER] * len(updates)
    came = {update.digest: n for n, update in reversed([*enumerate(updates)])}
    rows = connection.execute(
        RECORD, (document(updates, is_again=is_again),), prepare=True
    ).fetchall()
    if len(rows) != len(updates):
        raise InvalidSqlStatementName(f"{len(rows)} answers for {len(updates)} updates")
    for n, word, status, time, standing in rows:
        outcomes[n] = outcome = Outcome(word)
        if outcome is Outcome.OLDER and came.get(standing, -1) < n:
            log.info(
                "message %s: %s at %s came after %s at %s, which stands",
                updates[n].message_uuid,
                updates[n].status,
                updates[n].status_timestamp or "unknown time",
                status,
                time or "unknown time",
            )
    return outcomes


def document(updates: Sequence[StatusUpdate], *, is_again: bool = False) -> str:
    """The batch as one JSON text: psycopg needs several times as long for a row of values."""
    more = {"is_again": True} if is_again else {}
    return json.dumps([_row(n, update) | more for n, update in enumerate(updates)])


def _row(n: int, update: StatusUpdate) -> dict[str, Any]:
    digest, reference = update.digest, update.reference
    own = (update.message_uuid, update.status, update.status_timestamp)
    packed = pack(update.parameters, *own, update.error_code, update.sequence)
    return {
        "n": n,
        "message_uuid": update.message_uuid,
        "status": update.status,
        "status_timestamp": update.status_timestamp or NOT_TOLD,
        "error_code": update.error_code,
        "is_final": update.is_final,
        "sequence": update.sequence,
        "rank": update.rank,
        "text_hex": digest[:TEXT_DIGEST_SIZE].hex(),
        "reading_hex": digest[TEXT_DIGEST_SIZE:].hex(),
        "sender_number": update.sender_number,
        "recipient_number": update.recipient_number,
        "message_body": update.message_body,
        "queued_at": update.queued_at,
        "received_at": update.received_at,
        "source": update.source,
        "packed": b64encode(packed).decode(),
        "nonce": update.v2_nonce or update.used_nonce,
        "is_v2": bool(update.v2_nonce),
        "reference": reference,
        "reference_pairs": reference_pairs(reference) if reference else None,
        **facts.told(
            update.network, update.recipient_number, update.units, update.amount, update.rank
        ),
    }
