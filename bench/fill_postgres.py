"""Fills a PostgreSQL database with the messages that `fill` makes, by COPY."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import click
import psycopg

from bench.callbacks import RANKS
from bench.fill import BATCH, DAYS, Filled, Message, event_row, made_ahead, make_messages
from smsstatus.model import TEXT_DIGEST_SIZE, utc_timestamp
from smsstatus.plivo.countries import country_of
from smsstatus.store.postgres.store import PostgresStore

_MESSAGES = """
    COPY messages (
        id, message_uuid, sender_number, recipient_number, initial_status, current_status,
        status_timestamp, error_code, created_at, updated_at, queued_at, is_final, sequence, rank,
        digest, first_status_timestamp, first_sequence, first_rank, first_digest, network, country,
        told_rank, units, amount)
    FROM STDIN"""
_EVENTS = """
    COPY status_events (
        message_id, signed_text, reading, status, status_timestamp, error_code, sequence, rank,
        received_at, source, parameters, repeats)
    FROM STDIN"""

_Lines = tuple[int, bytes, bytes]
"""Messages, and what COPY is given of them and of their events."""


def fill_postgres(url: str, messages: int) -> Filled:
    """Fill an empty database with so many messages, and sum their hours up, as a service would have
    done long since. Shows progress.
    """
    store = PostgresStore(url, connections=1)
    store.prepare()
    start = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=DAYS)
    make = partial(_make_lines, start, DAYS * 86400 / messages)
    batches = [
        range(first, min(first + BATCH, messages + 1)) for first in range(1, messages + 1, BATCH)
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers
        with click.progressbar(length=messages, label=f"Filling {messages:,} messages") as bar:
            for count, rows, events in made_ahead(make, batches):
                with connection.cursor() as cursor:
                    for command, lines in ((_MESSAGES, rows), (_EVENTS, events)):
                        with cursor.copy(command) as copy:
                            copy.write(lines)
                bar.update(count)
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('messages', 'id'), max(id)) FROM messages"
        )
        connection.execute("VACUUM (ANALYZE) messages")
        connection.execute("VACUUM (ANALYZE) status_events")
        while store.sum_up_some(utc_timestamp(str(datetime.now(UTC)))):
            pass
        store.close()
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
        ((events_count,),) = connection.execute("SELECT count(*) FROM status_events").fetchall()
    return Filled(messages, events_count, sum(relation_bytes(url).values()))


def relation_bytes(url: str) -> dict[str, int]:
    """Bytes of each table and index that is there, the largest first."""
    with psycopg.connect(url) as connection:
        return dict(
            connection.execute(
                """SELECT relname, pg_table_size(oid) FROM pg_class
                   WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
                   ORDER BY 2 DESC"""
            ).fetchall()
        )


def _make_lines(start: datetime, apart: float, numbers: range) -> _Lines:
    batch = make_messages(start, apart, numbers)
    events = [
        _event(message, step) for step in range(3) for message in batch if len(message.steps) > step
    ]
    return len(batch), _lines(map(_message, batch)), _lines(events)


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    return "".join(["\t".join(map(_word, row)) + "\n" for row in rows]).encode()


def _word(value: object) -> str:
    if value is None:
        return "\\N"
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _message(message: Message) -> tuple[object, ...]:
    first, last = message.steps[0], message.steps[-1]
    network = "-".join(message.network)
    return (
        message.id,
        message.uuid,
        message.sender,
        message.recipient,
        first.status,
        last.status,
        last.at,
        last.error_code,
        first.at,
        last.at,
        first.at,
        RANKS[last.status] > 2,
        len(message.steps),
        RANKS[last.status],
        last.digest,
        first.at,
        1,
        RANKS[first.status],
        first.digest,
        network,
        country_of(network, message.recipient),
        RANKS[last.status],
        1,
        5500,
    )


def _event(message: Message, number: int) -> tuple[object, ...]:
    step = message.steps[number]
    *_, parameters = event_row(message, number)
    return (
        message.id,
        step.digest[:TEXT_DIGEST_SIZE],
        step.digest[TEXT_DIGEST_SIZE:],
        step.status,
        step.at,
        step.error_code or "",
        number + 1,
        RANKS[step.status],
        step.at,
        "callback",
        parameters,
        0,
    )
