"""Fills a database with messages as 90 days of callbacks would leave them, only faster.

Straight SQL on the tables of schema.sql, with its indexes in place: building them afterwards would
pack them more tightly than a service's own inserts do, and flatter the bytes per message.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from bench.callbacks import CARRIER_ERRORS, NETWORKS, RANKS, SENDERS, random_uuid
from bench.paths import REPOSITORY
from smsstatus.model import TEXT_DIGEST_SIZE, utc_timestamp
from smsstatus.plivo.countries import country_of
from smsstatus.store.packing import pack
from smsstatus.store.sqlite.store import SqliteStore

DAYS = 90
BATCH = 5000  # messages under way at once: events of all of them go in status by status
RECIPIENTS = 1_000_000

AHEAD = 4

Row = tuple[object, ...]
T = TypeVar("T")


_INSERT_MESSAGE = """
    INSERT INTO messages (
        id, message_uuid, sender_number, recipient_number, initial_status, current_status,
        status_timestamp, error_code, created_at, updated_at, queued_at,
        is_final, sequence, rank, digest)
    VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_EVENT = """
    INSERT INTO status_events (
        message_id, digest, status, status_timestamp, error_code, sequence, rank, is_final,
        received_at, source, parameters)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'callback', ?)
"""
_INSERT_FACTS = """
    INSERT INTO message_facts (message_id, filed_at, country, network, units, amount, told_rank)
    VALUES (?, ?, ?, ?, 1, 5500, ?)
"""
_CLAIM_TEXT = "INSERT INTO signed_texts (digest) VALUES (?)"


class Step(NamedTuple):
    status: str
    at: str
    error_code: str | None
    digest: bytes


class Message(NamedTuple):
    id: int
    uuid: str
    sender: str
    recipient: str
    network: tuple[str, str]
    steps: tuple[Step, ...]


class Filled(NamedTuple):
    """What is in a filled database."""

    messages: int
    events: int
    bytes: int


class _Rows(NamedTuple):
    """What one batch puts into the tables; events in the order in which they came in."""

    messages: list[Row]
    facts: list[Row]
    events: list[Row]
    texts: list[Row]


def fill(database: Path, messages: int) -> Filled:
    """Make `database` with this many messages, and about three events for each. Shows progress.

    Another process makes the rows while this one inserts them.
    """
    start = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=DAYS)
    batches = [
        range(first, min(first + BATCH, messages + 1)) for first in range(1, messages + 1, BATCH)
    ]
    make = partial(_make_rows, start, DAYS * 86400 / messages)
    with closing(_open_for_filling(database)) as connection:
        with click.progressbar(length=messages, label=f"Filling {messages:,} messages") as bar:
            for rows in made_ahead(make, batches):
                _insert(connection, rows)
                bar.update(len(rows.messages))
        events = connection.execute("SELECT count(*) FROM status_events").fetchone()[0]
    _hand_over(database)
    return Filled(messages, events, database.stat().st_size)


def made_ahead(make: Callable[[range], T], batches: Sequence[range]) -> Iterator[T]:
    """The rows of each batch in turn; a few batches ahead, not all: they would fill the memory."""
    with ProcessPoolExecutor(max_workers=1) as pool:
        waiting = deque(pool.submit(make, numbers) for numbers in batches[:AHEAD])
        for index in range(len(batches)):
            rows = waiting.popleft().result()
            if index + AHEAD < len(batches):
                waiting.append(pool.submit(make, batches[index + AHEAD]))
            yield rows


def make_messages(start: datetime, apart: float, numbers: range) -> list[Message]:
    """Those of a batch, so many seconds apart."""
    rng = random.Random(numbers.start)
    return [_message(rng, n, start + timedelta(seconds=n * apart)) for n in numbers]


def _make_rows(start: datetime, apart: float, numbers: range) -> _Rows:
    batch = make_messages(start, apart, numbers)
    events = [
        event_row(message, step)
        for step in range(3)
        for message in batch
        if len(message.steps) > step
    ]
    texts = [
        (message.steps[step].digest[:TEXT_DIGEST_SIZE],)
        for step in range(3)
        for message in batch
        if len(message.steps) > step
    ]
    rows = [_message_row(message) for message in batch]
    return _Rows(rows, [_facts_row(message) for message in batch], events, texts)


def _open_for_filling(database: Path) -> sqlite3.Connection:
    """Nothing here is durable: a fill that is cut short begins again."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA cache_size = -2000000")
    connection.executescript((REPOSITORY / "schema.sql").read_text())
    return connection


def _hand_over(database: Path) -> None:
    """Leave the file as the service keeps it: WAL, no log left, hours summed up, all of it on disk.

    What is not yet on disk would be written during the measurement, and slow its fsyncs.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    with closing(SqliteStore(database)) as store:
        store.prepare()
        while store.sum_up_some(utc_timestamp(str(datetime.now(UTC)))):
            pass
    with database.open("rb") as file:
        os.fsync(file.fileno())


def _insert(connection: sqlite3.Connection, rows: _Rows) -> None:
    connection.execute("BEGIN")
    connection.executemany(_INSERT_MESSAGE, rows.messages)
    connection.executemany(_INSERT_FACTS, rows.facts)
    connection.executemany(_INSERT_EVENT, rows.events)
    connection.executemany(_CLAIM_TEXT, rows.texts)
    connection.execute("COMMIT")


def _message(rng: random.Random, number: int, queued: datetime) -> Message:
    sent = queued + timedelta(seconds=0.05 + rng.expovariate(3))
    final = sent + timedelta(seconds=rng.lognormvariate(0.2, 0.7))
    return Message(
        number,
        random_uuid(rng),
        rng.choice(SENDERS),
        str(12012000000 + rng.randrange(RECIPIENTS) * 7),
        rng.choice(NETWORKS),
        _steps(rng, queued, sent, final),
    )


def _steps(
    rng: random.Random, queued: datetime, sent: datetime, final: datetime
) -> tuple[Step, ...]:
    dice = rng.random()
    steps = [Step("queued", _text(queued), None, _digest(rng, queued))]
    if dice < 0.002:
        return tuple(steps)
    if dice > 0.985:
        return (*steps, Step("failed", _text(sent), "420", _digest(rng, queued)))
    steps.append(Step("sent", _text(sent), None, _digest(rng, queued)))
    if dice < 0.01:
        return tuple(steps)
    status, error = (
        ("undelivered", rng.choice(CARRIER_ERRORS)) if dice < 0.05 else ("delivered", None)
    )
    return (*steps, Step(status, _text(final), error, _digest(rng, final)))


def _digest(rng: random.Random, first_time: datetime) -> bytes:
    """As long as the service's, and as near to those of other updates of this time."""
    near = int(first_time.strftime("%Y%m%d%H%M%S"))
    return near.to_bytes(6, "big") + rng.randbytes(20)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"


def _message_row(message: Message) -> Row:
    first, last = message.steps[0], message.steps[-1]
    rank = RANKS[last.status]
    return (
        message.id,
        message.uuid,
        message.sender,
        message.recipient,
        last.status,
        last.at,
        last.error_code,
        first.at,
        last.at,
        first.at,
        rank > 2,
        len(message.steps),
        rank,
        last.digest,
    )


def _facts_row(message: Message) -> Row:
    first, last = message.steps[0], message.steps[-1]
    network = "-".join(message.network)
    filed_at = int(datetime.fromisoformat(first.at).timestamp())
    country = country_of(network, message.recipient)
    return message.id, filed_at, country, network, RANKS[last.status]


def event_row(message: Message, number: int) -> Row:
    step = message.steps[number]
    rank = RANKS[step.status]
    return (
        message.id,
        step.digest,
        step.status,
        step.at,
        step.error_code,
        number + 1,
        rank,
        rank > 2,
        step.at,
        pack(
            _parameters(message, number),
            message.uuid,
            step.status,
            step.at,
            step.error_code,
            number + 1,
        ),
    )


def _parameters(message: Message, number: int) -> str:
    """The form as Plivo would have sent it; as long as a real one, since it fills most pages."""
    step = message.steps[number]
    mcc, mnc = message.network
    text = (
        f"Status={step.status}&From={message.sender}&ParentMessageUUID={message.uuid}"
        f"&TotalRate=0.00550&MCC={mcc}&PartInfo=1+of+1&ErrorCode={step.error_code or ''}"
        f"&To={message.recipient}&Units=1&TotalAmount=0.00550&MNC={mnc}"
        f"&MessageUUID={message.uuid}&Type=sms&Sequence={number + 1}"
        f"&MessageTime={_form_time(message.steps[0])}&QueuedTime={_form_time(message.steps[0])}"
    )
    if step.status == "queued":
        return text
    if step.status != "failed":
        text += f"&SentTime={_form_time(message.steps[1])}"
    return text if number == 1 else f"{text}&DeliveryReportTime={_form_time(step)}"


def _form_time(step: Step) -> str:
    return f"{step.at[:10]}+{step.at[11:13]}%3A{step.at[14:16]}%3A{step.at[17:26]}"
