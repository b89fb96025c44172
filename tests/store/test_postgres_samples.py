"""What PostgreSQL reads for a sample of delivery times. What it is of is tested for both stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg
import pytest

from smsstatus.store.postgres import counting
from smsstatus.store.postgres.connection import Connection, count
from smsstatus.store.postgres.store import PostgresStore

from ..postgres import ask
from .updates import DAY, at, update_of

COLUMNS = """status_timestamp, first_status_timestamp, sequence, first_sequence, rank,
    first_rank, is_final, digest, first_digest, initial_status, current_status, updated_at"""


ADD = f"""INSERT INTO messages ({COLUMNS}, message_uuid, created_at)
    SELECT {COLUMNS}, message_uuid || {{0}} || n, created_at + n * interval {{0}}
    FROM messages, generate_series({{1}}, {{2}}) AS n WHERE message_uuid = {{3}}"""


def fill(postgres: str) -> None:
    """With what was sent and what was delivered, a message each."""
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
        for status in ("sent", "delivered"):
            store.record(update_of(at(status, MessageUUID=status), f"{DAY}T00:00:00.000000Z"))


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is counted from now on is explained only; here is how it was done."""
    found: list[dict[str, Any]] = []

    def explain(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
        ((plans,),) = count(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values)
        found.extend(plans)
        return []

    monkeypatch.setattr(counting, "count", explain)
    return found


def of_messages(plan: dict[str, Any]) -> tuple[int, int]:
    """How many the server read for it, and how many of those in vain."""
    read = [step for step in steps_of(plan["Plan"]) if step.get("Relation Name") == "messages"]
    return (
        sum(step["Actual Rows"] * step["Actual Loops"] for step in read),
        sum(step.get("Rows Removed by Filter", 0) * step["Actual Loops"] for step in read),
    )


def test_a_sample_is_read_in_its_places_where_the_server_expects_no_message(
    postgres: str, plans: list[dict[str, Any]]
) -> None:
    """As where many have just come. It would look through all of them for each place."""
    fill(postgres)
    ask(postgres, ADD.format("'1 second'", 1, 20_000, "'delivered'"))
    ask(postgres, "ANALYZE messages")
    ask(postgres, ADD.format("'1 millisecond'", 20_001_000, 20_006_000, "'delivered'"))
    window = f"{DAY}T05:33:21.000000Z", f"{DAY}T05:33:27.000000Z"
    with psycopg.connect(postgres) as connection:
        counting.read_delivery_times(connection, *window, (), 10_001)
    read, in_vain = of_messages(plans[0])
    assert 500 < read < 5000
    assert not in_vain


def test_of_a_window_in_which_few_were_delivered_no_others_are_read(
    postgres: str, plans: list[dict[str, Any]]
) -> None:
    fill(postgres)
    ask(postgres, ADD.format("'1 second'", 1, 20_000, "'sent'"))
    ask(postgres, ADD.format("'1 second'", 40_000, 60_000, "'delivered'"))
    ask(postgres, ADD.format("'1 minute'", 1, 100, "'delivered'"))
    ask(postgres, "ANALYZE messages")
    window = f"{DAY}T00:00:00.000000Z", f"{DAY}T06:00:00.000000Z"
    with psycopg.connect(postgres) as connection:
        counting.read_delivery_times(connection, *window, (), 101)
    assert sum(of_messages(plans[0])) == 101


def test_what_is_counted_is_not_compiled_and_nothing_else_is_told_so(postgres: str) -> None:
    how = "SELECT current_setting('jit')"
    with psycopg.connect(postgres, autocommit=True) as connection:
        before = connection.execute(how.encode()).fetchall()
        assert count(connection, f"{how}, %(asked)s", {"asked": "it's"}) == [("off", "it's")]
        assert connection.execute(how.encode()).fetchall() == before == [("on",)]


def steps_of(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield part
    for each in part.get("Plans", ()):
        yield from steps_of(each)
