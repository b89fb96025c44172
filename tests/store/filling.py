"""Fills PostgreSQL with changes that wait, quickly, as `test_outbox_plans` fills SQLite."""

from __future__ import annotations

from contextlib import closing

import psycopg


def fill_postgres(url: str, messages: int) -> None:
    """Of so many messages three changes each wait, but for one change in ten, which is dead."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign key is looked up
        for statement in _FILL:
            connection.execute(statement.replace("{messages}", str(messages)).encode())


_FILL = (
    """INSERT INTO messages (
           status_timestamp, created_at, updated_at, first_status_timestamp, sequence,
           first_sequence, rank, first_rank, is_final, message_uuid, digest, first_digest,
           initial_status, current_status)
       SELECT '-infinity', '2026-11-01', '2026-11-01', '-infinity', 0, 0, 4, 1, true,
           lpad(i::text, 8, '0') || '-0000-4000-8000-000000000000', '', '', 'queued', 'delivered'
       FROM generate_series(1, {messages}) AS i""",
    """INSERT INTO status_events (
           message_id, status_timestamp, received_at, sequence, repeats, rank, signed_text,
           reading, status, error_code, source, parameters)
       SELECT m.id, '-infinity', '2026-11-01'::timestamptz + (m.id + 1000 * step) * interval '1 s',
           0, 0, s.rank, decode(lpad(m.id::text, 24, '0') || lpad(step::text, 8, '0'), 'hex'),
           decode(lpad('', 16, '0'), 'hex'), status, '', 'callback', '\\x00'
       FROM messages AS m, (
           VALUES (0, 'queued', 1), (1, 'sent', 2), (2, 'delivered', 4)) AS s (step, status, rank)
       ORDER BY m.id + 1000 * step""",
    """INSERT INTO forwards (event_id, message_id, due_at, state)
       SELECT id, message_id, CASE WHEN id % 10 > 0 THEN received_at END,
           CASE WHEN id % 10 > 0 THEN 'waiting' ELSE 'dead' END
       FROM status_events""",
    "ANALYZE",
)
