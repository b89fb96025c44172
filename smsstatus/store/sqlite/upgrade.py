"""What a file of an earlier version still needs once this program has opened it.

Version 2 had another order key, (is_final, status_timestamp, ...), and another digest, of all
fields together. Bringing a file up to version 3 only adds empty tables. Rows that another update
should stand in are corrected afterwards, some at a time, while callbacks come: the guard uses the
new key from the start, and triggers (see `schema`) make a program of version 2 that still has the
file open use it too. Events keep their digests, so an update is looked for under its former digest
too.

Version 6 added where each message went and what it cost, which is read from the parameters that
were kept, some messages at a time as well; and, once a program of an earlier version that still
had the file open has ended, from all that came meanwhile: that may be its own.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from ...model import TEXT_DIGEST_SIZE, StatusUpdate
from ...plivo.callback import digest_of, domain_of, facts_of
from ...plivo.countries import country_of
from ...plivo.form import Malformed, parse_form
from ..contract import StoreUnavailable
from ..rules import first_status, order_key
from . import parameters
from .connection import marks, reading
from .facts import Row, add_facts, row_of, together

BATCH = 1000
FACTS_BATCH = 100
EVENTS_BATCH = 300
PIECE_SECONDS = 0.001
FORMER_SIZE = 16
"""Bytes of a digest of version 2."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_NO_SEPARATORS = dict.fromkeys(map(ord, "?&=."))  # what can stand between names and values

_HAS_GREATER = f"""EXISTS (
    SELECT 1 FROM status_events AS e
    WHERE e.message_id = m.id AND ({order_key("e")}) > ({order_key("m")}))"""
_FIRST_STATUS = first_status("m.id")


def former_digest(parameters: str, source: str) -> bytes:
    """What version 2 of the schema had for `digest`: of all fields together, sorted."""
    try:
        pairs = parse_form(parameters.encode())
    except Malformed:  # more fields than one form may have
        return b""
    if source in ("send", "reconcile"):
        pairs.append(("source", source))
    text = "\0".join(chain.from_iterable(sorted(pairs)))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def next_step(path: Path, now: str) -> Callable[[sqlite3.Connection], None] | None:
    """What writes what the next messages need; None if all were looked at.

    Raises StoreUnavailable. Looked for with a connection of its own, so that callbacks wait only
    while rows are written.
    """
    with reading(path) as connection:
        if step := _next_correction(connection):
            return step
        if ids := _without_facts(connection, FACTS_BATCH):
            return partial(_fill_in, last=ids[-1], told=_told(_events_of(connection, ids)))
        return _next_beside(connection, now)


def _next_correction(connection: sqlite3.Connection) -> Callable[[sqlite3.Connection], None] | None:
    ((first, last),) = connection.execute(
        f"""SELECT looked_at, (
                SELECT max(id) FROM (
                    SELECT id FROM messages
                    WHERE id > looked_at AND id <= last_message ORDER BY id LIMIT {BATCH}))
            FROM upgrades WHERE version = 3 AND looked_at < last_message"""
    ).fetchall() or [(0, None)]
    if last is None:
        return None
    wrong = connection.execute(
        f"""SELECT id FROM messages AS m WHERE id > ? AND id <= ?
            AND ({_HAS_GREATER} OR initial_status <> {_FIRST_STATUS})""",
        (first, last),
    ).fetchall()
    return partial(_correct, last=last, wrong=[row[0] for row in wrong])


def _next_beside(
    connection: sqlite3.Connection, now: str
) -> Callable[[sqlite3.Connection], None] | None:
    if not connection.execute("SELECT 1 FROM events_beside WHERE until <= ?", (now,)).fetchall():
        return None
    found = connection.execute(
        """SELECT e.id, e.message_id FROM events_beside AS b JOIN status_events AS e
           ON e.id > b.looked_at AND e.received_at < b.until ORDER BY e.id LIMIT ?""",
        (EVENTS_BATCH,),
    ).fetchall()
    ids = list({row["message_id"] for row in found})
    if not found:
        return _end_beside
    told = _told(_events_of(connection, ids))
    return partial(_fill_in_beside, last=found[-1]["id"], told=told)


def _without_facts(connection: sqlite3.Connection, limit: int) -> Sequence[int]:
    found = connection.execute(
        """SELECT m.id FROM upgrades AS u JOIN messages AS m
           ON m.id > u.looked_at AND m.id <= u.last_message
           WHERE u.version = 6 ORDER BY m.id LIMIT ?""",
        (limit,),
    ).fetchall()
    return [row[0] for row in found]


def _events_of(connection: sqlite3.Connection, ids: Sequence[int]) -> Sequence[sqlite3.Row]:
    return connection.execute(
        f"""SELECT m.message_uuid, m.recipient_number, e.message_id, e.status,
                e.status_timestamp, e.error_code, e.sequence, e.rank, e.parameters, e.digest,
                r.query
            FROM messages AS m JOIN status_events AS e ON e.message_id = m.id
            LEFT JOIN message_references AS r ON r.message_id = m.id
            WHERE m.id IN ({marks(ids)}) ORDER BY m.id""",
        ids,
    ).fetchall()


def _told(events: Iterable[sqlite3.Row]) -> Sequence[tuple[int, Row]]:
    """What the events of each message say together.

    One thread at a time runs Python, and one that works on is made to let go of it after 5 ms only,
    for which a callback would wait several times. So this rests after each millisecond, for as long
    as it worked.
    """
    told = []
    began = time.monotonic()
    for message_id, of_message in groupby(events, itemgetter("message_id")):
        if rows := list(_rows(of_message)):
            told.append((message_id, together(rows)))
        worked = time.monotonic() - began
        if worked > PIECE_SECONDS:
            time.sleep(worked)
            began = time.monotonic()
    return told


def _rows(events: Iterable[sqlite3.Row]) -> Iterator[Row]:
    for event in events:
        with suppress(StoreUnavailable):  # what is damaged says nothing
            kept = parameters.read(event, event["message_uuid"])
            facts = facts_of(kept, event["query"], event["digest"])
            yield row_of(facts, country_of(facts.network, event["recipient_number"]), event["rank"])


def lacks_facts(path: Path) -> bool:
    """Are there messages whose facts are yet to be filled in, or may there be some?"""
    with reading(path) as connection:
        beside = connection.execute("SELECT 1 FROM events_beside").fetchall()
        return bool(beside or _without_facts(connection, 1))


def _fill_in(connection: sqlite3.Connection, last: int, told: Sequence[tuple[int, Row]]) -> None:
    """Add these facts of the messages up to `last`, inside the caller's transaction; doing it again
    changes nothing.
    """
    add_facts(connection, told)
    connection.execute(
        "UPDATE upgrades SET looked_at = max(looked_at, ?) WHERE version = 6", (last,)
    )


def _fill_in_beside(
    connection: sqlite3.Connection, last: int, told: Sequence[tuple[int, Row]]
) -> None:
    """The same of what came while a program of an earlier version went on."""
    add_facts(connection, told)
    connection.execute("UPDATE events_beside SET looked_at = max(looked_at, ?)", (last,))


def _end_beside(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM events_beside")


def _correct(connection: sqlite3.Connection, last: int, wrong: Sequence[int]) -> None:
    """Let the update with the greatest key stand, of those of the messages up to `last` that are
    wrong, inside the caller's transaction.

    Made of what the events are now, so that doing it again or late is right too.
    """
    for message_id in wrong:
        connection.execute(
            f"""UPDATE messages AS m SET (
                    current_status, status_timestamp, error_code, updated_at, is_final, sequence,
                    rank, digest) = (
                    SELECT status, status_timestamp, error_code, received_at, is_final, sequence,
                        rank, digest FROM status_events AS e
                    WHERE e.message_id = m.id ORDER BY {order_key("e", "DESC")} LIMIT 1)
                WHERE id = ? AND {_HAS_GREATER}""",
            (message_id,),
        )
        connection.execute(
            f"UPDATE messages AS m SET initial_status = {_FIRST_STATUS} WHERE id = ?", (message_id,)
        )
    connection.execute(
        "UPDATE upgrades SET looked_at = max(looked_at, ?) WHERE version = 3",
        (last,),
    )


def former_owner(connection: sqlite3.Connection, update: StatusUpdate) -> bytes | None:
    """The digest under which version 2 stored this update; empty if it stored another reading of
    what Plivo signed; None if neither.

    Another reading can be of another message. Both are named in the text, so the messages of all
    UUIDs in it are looked at.
    """
    if not getattr(connection, "was_upgraded", False):
        return None
    uuids = {update.message_uuid, *_UUID.findall(unquote(update.parameters))}
    events = connection.execute(
        f"""SELECT m.message_uuid, e.digest, e.parameters
            FROM messages AS m JOIN status_events AS e ON e.message_id = m.id
            WHERE m.message_uuid IN ({marks(list(uuids))})
                AND length(e.digest) = {FORMER_SIZE}""",
        tuple(uuids),
    ).fetchall()
    if not events:
        return None
    former = former_digest(update.parameters, update.source)
    if (update.message_uuid, former) in [event[:2] for event in events]:
        return former
    letters = _letters(update.parameters)
    alike = [event[2] for event in events if _letters(event[2]) == letters]
    readings = (reading for parameters in alike for reading in _readings(parameters, update))
    return b"" if update.digest[:TEXT_DIGEST_SIZE] in readings else None


def _letters(parameters: str) -> list[str]:
    """What all readings of one signed text have in common; cheap, unlike their digests."""
    return sorted(unquote_plus(parameters).translate(_NO_SEPARATORS))


def _readings(parameters: str, update: StatusUpdate) -> Iterator[bytes]:
    """Digests of what Plivo can have signed for these parameters: a query, and a body after it."""
    fields = parameters.encode().split(b"&")
    domain = domain_of(update)
    for cut in range(len(fields) + 1):
        with suppress(Malformed):  # more fields than one form may have
            query, body = parse_form(b"&".join(fields[:cut])), parse_form(b"&".join(fields[cut:]))
            yield digest_of("POST", query, body, domain=domain)[:TEXT_DIGEST_SIZE]
