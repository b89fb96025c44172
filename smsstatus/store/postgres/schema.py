"""The schema in a database: creating what is missing, and what other versions may do with it."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from importlib.resources import files
from itertools import cycle

from psycopg.errors import LockNotAvailable
from psycopg.rows import scalar_row

from ..contract import SchemaTooNew, StoreUnavailable
from .connection import SILENCE, Connection

SCHEMA_VERSION = 3
OLDEST_READER = 1
"""Programs that know this version can work with what SCHEMA_VERSION makes."""

LOCK = 7_305_431_969_000_001
"""An advisory lock's number: one process at a time changes the schema."""

TABLE_WAITS = ("200ms", "200ms", "200ms", "1500ms")
"""For a table that others use, in turn. Whoever comes next waits behind us, so that a program of an
earlier version would write next to nothing while, say, a dump is at work. But autovacuum gives way
only to who has waited for a second. Each second it is tried again.
"""
PAUSE_SECONDS = 0.5
_table_waits = cycle(TABLE_WAITS)

_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+) \((.*?)^\);", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^    ([a-z_]+) ", re.MULTILINE)
_LATER = re.compile(r"ADD COLUMN IF NOT EXISTS (\w+)")
INDEX = re.compile(r"^CREATE INDEX IF NOT EXISTS (\w+) ON (\w+) [^;]*;", re.MULTILINE)


def schema_text() -> str:
    return files(__package__).joinpath("schema.sql").read_text()


def apply_schema(connection: Connection) -> None:
    """Create what is missing. Nothing is locked where nothing is.

    Raises SchemaTooNew, StoreUnavailable on a standby, where the database has an encoding that
    does not hold all text or where another program's tables are, or psycopg.Error.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ("UTF8", None):  # a pooler need not tell
        raise StoreUnavailable(
            f"the database has the encoding {encoding}: create it with ENCODING 'UTF8'"
        )
    text = schema_text()
    if _is_whole(connection, text):
        return
    if _value(connection, "SELECT pg_is_in_recovery()"):
        raise StoreUnavailable("the server is a standby, and its schema is not up to date")
    with connection.transaction():
        connection.execute(f"SELECT set_config('lock_timeout', '2s', true), {SILENCE}".encode())
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (next(_table_waits),))
        if not _is_whole(connection, text):  # meanwhile another process can have done it
            tables = _those_there(connection, text)
            connection.execute(INDEX.sub(partial(_unless, tables), text).encode())
            connection.execute(
                """INSERT INTO schema_version AS s (version, oldest_reader) VALUES (%s, %s)
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version,
                       oldest_reader = greatest(s.oldest_reader, excluded.oldest_reader)
                   WHERE s.version < excluded.version""",
                (SCHEMA_VERSION, OLDEST_READER),
            )


def apply_patiently(connection: Connection) -> None:
    """The same for who has some seconds: a table that others use is waited for several times."""
    for _ in TABLE_WAITS[1:]:
        with suppress(LockNotAvailable):
            return apply_schema(connection)
        time.sleep(PAUSE_SECONDS)
    return apply_schema(connection)


def _unless(tables: Collection[str], index: re.Match[str]) -> str:
    """Building it would keep out callbacks: see `upgrade`."""
    return "" if index[2] in tables else index[0]


def _those_there(connection: Connection, text: str) -> set[str]:
    """Which of the schema's tables are there. One that lacks a column, of those that were there
    from the first version on, is another program's, and left alone.
    """
    later = set(_LATER.findall(text))
    pairs = [
        (name, column)
        for name, columns in _TABLE.findall(text)
        for column in _COLUMN.findall(columns)
        if column not in later
    ]
    rows = connection.execute(
        """SELECT name, count(*) = count(attname),
               to_regclass(quote_ident(current_schema()) || '.' || name) IS NOT NULL
           FROM unnest(%s::text[], %s::text[]) AS t (name, wanted)
           LEFT JOIN pg_attribute ON attrelid = to_regclass(name) AND attname = wanted
           WHERE to_regclass(name) IS NOT NULL GROUP BY name""",
        ([name for name, _ in pairs], [column for _, column in pairs]),
    ).fetchall()
    for name, is_ours, is_in_the_way in rows:
        if not is_ours and is_in_the_way:  # else ours is made in a schema that is looked at first
            raise StoreUnavailable(
                f"the database has a table {name} of another program: give smsstatus a database, "
                "or a schema, of its own"
            )
    return {name for name, is_ours, _ in rows if is_ours}


def _is_whole(connection: Connection, text: str) -> bool:
    """Is everything there that this version needs? Somebody can have removed a table."""
    found = _those_there(connection, text)
    if "schema_version" not in found:
        return False
    rows = connection.execute("SELECT version, oldest_reader FROM schema_version").fetchall()
    if not rows:
        return False
    ((version, oldest_reader),) = rows
    if oldest_reader > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the database has schema version {version}, this program knows {SCHEMA_VERSION}: "
            f"install the version of smsstatus that wrote it"
        )
    return bool(version >= SCHEMA_VERSION and len(found) == len(_TABLE.findall(text)))


def _value(connection: Connection, query: str, *values: object) -> object:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query.encode(), values or None).fetchone()
