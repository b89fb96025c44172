"""The schema in a database: creating what is missing, and what other versions may do with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import partial
from importlib.resources import files

from psycopg.rows import scalar_row

from ..contract import SchemaTooNew, StoreUnavailable
from .connection import SILENCE, Connection

SCHEMA_VERSION = 3
OLDEST_READER = 1
"""Programs that know this version can work with what SCHEMA_VERSION makes."""

LOCK = 7_305_431_969_000_001
"""An advisory lock's number: one process at a time changes the schema."""

_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
INDEX = re.compile(r"^CREATE INDEX IF NOT EXISTS (\w+) ON (\w+) [^;]*;", re.MULTILINE)


def schema_text() -> str:
    return files(__package__).joinpath("schema.sql").read_text()


def apply_schema(connection: Connection) -> None:
    """Create what is missing. Nothing is locked where nothing is.

    Raises SchemaTooNew, StoreUnavailable on a standby or where the database has an encoding that
    does not hold all text, or psycopg.Error.
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
        if not _is_whole(connection, text):  # meanwhile another process can have done it
            tables = _those_there(connection, _TABLE.findall(text))
            connection.execute(INDEX.sub(partial(_unless, tables), text).encode())
            connection.execute(
                """INSERT INTO schema_version AS s (version, oldest_reader) VALUES (%s, %s)
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version,
                       oldest_reader = greatest(s.oldest_reader, excluded.oldest_reader)
                   WHERE s.version < excluded.version""",
                (SCHEMA_VERSION, OLDEST_READER),
            )


def _unless(tables: Collection[str], index: re.Match[str]) -> str:
    """Building it would keep out callbacks: see `upgrade`."""
    return "" if index[2] in tables else index[0]


def _those_there(connection: Connection, tables: Sequence[str]) -> set[str]:
    rows = connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS t (name) WHERE to_regclass(name) IS NOT NULL",
        (tables,),
    ).fetchall()
    return {row[0] for row in rows}


def _is_whole(connection: Connection, text: str) -> bool:
    """Is everything there that this version needs? Somebody can have removed a table."""
    tables = _TABLE.findall(text)
    found = _those_there(connection, tables)
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
    return bool(version >= SCHEMA_VERSION and len(found) == len(tables))


def _value(connection: Connection, query: str, *values: object) -> object:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query.encode(), values or None).fetchone()
