"""The schema in a file: creating what is missing, and bringing an earlier version up to date."""

from __future__ import annotations

import re
import sqlite3

from ...model import TEXT_DIGEST_SIZE
from ...paths import SCHEMA
from ..contract import SchemaTooNew, StoreUnavailable
from ..rules import first_status, order_key
from .connection import Writable
from .upgrade import FORMER_SIZE

SCHEMA_VERSION = 6
BESIDE_MINUTES = 10
"""So long a program of an earlier version goes on at most once this one has opened its file."""

_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+) \((.*?)^\)", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^    ([a-z_]+) ", re.MULTILINE)


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Raises SchemaTooNew for a file of a later version, which may have other columns, and
    StoreUnavailable for one in which a table of ours is another program's.

    No version has added a column to a table, so one that lacks a column is not ours.
    """
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the database has schema version {version}, this program knows {SCHEMA_VERSION}: "
            "install the version of smsstatus that wrote it, or restore an older backup"
        )
    for name, columns in _TABLE.findall(SCHEMA.read_text()):
        rows = connection.execute(
            "SELECT lower(name) FROM pragma_table_info(?)", (name,)
        ).fetchall()
        there = {column for (column,) in rows}
        if there and not there.issuperset(_COLUMN.findall(columns)):
            raise StoreUnavailable(
                f"the database has a table {name} of another program: give smsstatus a database "
                "of its own"
            )


def apply_schema(connection: Writable) -> None:
    """Create what is missing, drop what only earlier versions had."""
    version = _version(connection)
    schema = SCHEMA.read_text()
    missing = _missing(connection, schema)
    if version < SCHEMA_VERSION or missing:
        before = _DROP_INDEXES if version == 1 else ""
        after = _NOTE_UPGRADE if 0 < version < 3 else ""
        if version >= 3 and "signed_texts" in missing:
            after = _CLAIM_TEXTS
        if version and "message_facts" in missing:
            after += _NOTE_FACTS
        if version and {"kinds", "sums"} & missing:
            after += _SUM_UP_AGAIN
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {before} {schema} {after} COMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    connection.was_upgraded = bool(
        connection.execute("SELECT 1 FROM upgrades WHERE version = 3").fetchall()
    )
    ((kind,),) = connection.execute(
        "SELECT type FROM pragma_table_info('status_events') WHERE name = 'parameters'"
    ).fetchall()
    connection.packs_parameters = kind == "BLOB"


_DROP_INDEXES = """
    DROP INDEX IF EXISTS messages_by_status;
    DROP INDEX IF EXISTS messages_waiting;
    DROP INDEX IF EXISTS messages_by_recipient;
    """
"""The first two are no longer needed; the third is another one now."""

_NOTE_UPGRADE = f"""
    INSERT OR IGNORE INTO upgrades (version, last_message, looked_at)
    VALUES (3, coalesce((SELECT max(id) FROM messages), 0), 0);
    CREATE TRIGGER IF NOT EXISTS standing_by_version_2 BEFORE UPDATE OF digest ON messages
    WHEN length(new.digest) = {FORMER_SIZE} AND ({order_key("new")}) < ({order_key("old")})
    BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER IF NOT EXISTS event_by_version_2 AFTER INSERT ON status_events
    WHEN length(new.digest) = {FORMER_SIZE}
    BEGIN
        UPDATE messages SET
            current_status = new.status, status_timestamp = new.status_timestamp,
            error_code = new.error_code, updated_at = new.received_at, is_final = new.is_final,
            sequence = new.sequence, rank = new.rank, digest = new.digest
        WHERE id = new.message_id AND ({order_key("new")}) > ({order_key("messages")});
    END;
    CREATE TRIGGER IF NOT EXISTS first_by_version_2 AFTER UPDATE OF initial_status ON messages
    WHEN new.initial_status <> {first_status("new.id")}
    BEGIN UPDATE messages SET initial_status = {first_status("new.id")} WHERE id = new.id; END;
    """
"""A program of version 2 that has the file open goes on writing by its own order key until it ends:
at a deploy, for a minute. The triggers hold it to the present key, in corrected rows too.
Whoever changes the key must drop them.
"""


_NOTE_FACTS = f"""
    INSERT OR REPLACE INTO upgrades (version, last_message, looked_at)
    SELECT 6, id, 0 FROM messages ORDER BY id DESC LIMIT 1;
    INSERT OR REPLACE INTO events_beside (id, until, looked_at)
    SELECT 1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+{BESIDE_MINUTES} minutes'),
        (SELECT coalesce(max(id), 0) FROM status_events);
    DELETE FROM summed_spans;
    """
"""What messages that are there already say is filled in afterwards: see `upgrade`."""

_SUM_UP_AGAIN = "DELETE FROM summed_spans; DELETE FROM sums;"

_CLAIM_TEXTS = f"""
    INSERT OR IGNORE INTO signed_texts (digest)
    SELECT substr(digest, 1, {TEXT_DIGEST_SIZE}) FROM status_events
    WHERE length(digest) > {FORMER_SIZE};
    """
"""Without its text, an update that comes again would be another event."""


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchall()[0][0])


def _missing(connection: sqlite3.Connection, schema: str) -> set[str]:
    """What the schema creates and is not there: somebody can have removed a table."""
    named = set(re.findall(r"^CREATE \w+ IF NOT EXISTS (\w+)", schema, re.MULTILINE))
    there = connection.execute("SELECT name FROM sqlite_master").fetchall()
    return named - {name for (name,) in there}
