"""What a database of an earlier version still needs once its schema has been brought up to date.

Indexes of tables that were there already are built beside the callbacks, which `apply_schema` would
keep out for as long as that takes, and those that nobody uses any more are dropped then.
"""

from __future__ import annotations

from .connection import Connection
from .schema import INDEX, schema_text

INDEX_SECONDS = 3600.0
"""For building one index; what is left of a build that was cut is dropped before the next."""

RETIRED = ("messages_by_outcome", "messages_by_recipient", "messages_by_sender")
"""Names of indexes of earlier versions."""


def index_steps(connection: Connection) -> list[str]:
    """Statements that make the indexes those of the schema, each outside of a transaction. None
    may be under way.
    """
    wanted = {index[1]: index[0] for index in INDEX.finditer(schema_text())}
    found = dict(
        connection.execute(
            """SELECT name, (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(name))
               FROM unnest(%s::text[]) AS t (name) WHERE to_regclass(name) IS NOT NULL""",
            ([*wanted, *RETIRED],),
        ).fetchall()
    )
    steps = []
    for name, statement in wanted.items():
        if name in found and not found[name]:
            steps.append(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if not found.get(name):
            steps.append(statement.replace("INDEX", "INDEX CONCURRENTLY", 1))
    return steps + [f"DROP INDEX CONCURRENTLY IF EXISTS {n}" for n in RETIRED if n in found]
