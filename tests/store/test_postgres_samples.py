"""What PostgreSQL reads for a sample of delivery times. What it is of is tested for both stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from smsstatus.store.postgres import counting
from smsstatus.store.postgres.store import PostgresStore

from ..postgres import ask
from .updates import DAY, at, update_of

COLUMNS = """status_timestamp, first_status_timestamp, sequence, first_sequence, rank,
    first_rank, is_final, digest, first_digest, initial_status, current_status, updated_at"""


def test_it_reads_what_is_in_its_places_where_the_server_expects_no_message(postgres: str) -> None:
    """As where many have just come. It would look through all of them for each place."""
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
        store.record(update_of(at("delivered", MessageUUID="0"), f"{DAY}T00:00:00.000000Z"))
    add = f"""INSERT INTO messages ({COLUMNS}, message_uuid, created_at)
        SELECT {COLUMNS}, {{0}} || n, created_at + n * interval {{0}}
        FROM messages, generate_series({{1}}, {{2}}) AS n WHERE message_uuid = '0'"""
    ask(postgres, add.format("'1 second'", 1, 20_000))
    ask(postgres, "ANALYZE messages")
    ask(postgres, add.format("'1 millisecond'", 20_001_000, 20_006_000))
    window = f"{DAY}T05:33:21.000000Z", f"{DAY}T05:33:27.000000Z"
    with psycopg.connect(postgres) as connection:
        asked = Explaining(connection)
        counting.read_delivery_times(asked, *window, (), 10_001)  # type: ignore[arg-type]
    read = [step for step in asked.steps if step.get("Relation Name") == "messages"]
    assert 500 < sum(step["Actual Rows"] * step["Actual Loops"] for step in read) < 5000
    assert not sum(step.get("Rows Removed by Filter", 0) for step in read)


class Explaining:
    """A connection whose cursors note what steps the server took."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.steps: list[dict[str, Any]] = []

    @contextmanager
    def cursor(self, *, binary: bool) -> Iterator[Explaining]:
        yield self

    def execute(self, query: bytes, values: dict[str, Any]) -> psycopg.Cursor[Any]:
        explained = self.connection.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + query, values)
        ((plan,),) = explained.fetchall()
        self._note(plan[0]["Plan"])
        return self.connection.execute(query, values)

    def _note(self, step: dict[str, Any]) -> None:
        self.steps.append(step)
        for part in step.get("Plans", ()):
            self._note(part)
