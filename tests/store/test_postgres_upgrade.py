"""What becomes of a PostgreSQL database of version 1, and of its program while that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from smsstatus.model import StatusUpdate, utc_now
from smsstatus.store.contract import Filters, Message, Outcome
from smsstatus.store.postgres import batch, facts
from smsstatus.store.postgres.store import PostgresStore

from ..postgres import ask
from .updates import THEIRS, at, update_of

VERSION_1 = Path(__file__).parents[1] / "postgres_1.sql"
HOUR = "2025-11-01T00"
NOON = "2025-11-01T12:00:00.000000Z"
WINDOW = ("2025-11-01T00:00:00.000000Z", "2025-11-02T00:00:00.000000Z")

FORMER = (
    batch.RECORD.replace(", set_config('smsstatus.facts', 'told', true)", "")
    .replace(f", {', '.join(facts.COLUMNS)})", ")")
    .replace(f",\n            {facts.values('least_place', 'greatest_price')}", "")
    .replace(f",\n            {facts.kept('excluded')}", "")
)
"""The statement of version 1, which knows nothing of where messages went."""


def write_as_version_1(url: str, *updates: StatusUpdate) -> None:
    assert not [column for column in facts.COLUMNS if f" {column}" in FORMER]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FORMER.encode(), (batch.document(updates),))


def update(status: str, message_uuid: str = "one", **more: str) -> StatusUpdate:
    fields = {"MCC": "404", "MNC": "01", "Units": "2", "TotalAmount": "0.0055", **more}
    return update_of(at(status, MessageUUID=message_uuid, **fields), NOON)


@pytest.fixture
def former(postgres: str) -> str:
    """A database of version 1 with two messages of two updates each."""
    ask(postgres, VERSION_1.read_text())
    life = [update(status, uuid) for uuid in ("one", "two") for status in ("queued", "delivered")]
    write_as_version_1(postgres, *life)
    return postgres


@pytest.fixture
def store(former: str) -> Iterator[PostgresStore]:
    """This version's, on that database."""
    with closing(PostgresStore(former)) as store:
        store.prepare()
        yield store


def fill_in(store: PostgresStore) -> None:
    store._fills_from = 0.0
    while store.correct_some(utc_now()):
        pass


def found(store: PostgresStore, message_uuid: str = "one") -> tuple[object, ...]:
    message = store.find(message_uuid)
    assert isinstance(message, Message)
    return message.country, message.network, message.units, message.amount


def test_where_the_messages_went_that_were_there_is_filled_in(store: PostgresStore) -> None:
    assert found(store) == (None, None, None, None)
    marker = store.change_marker()
    fill_in(store)
    assert found(store) == found(store, "two") == ("IN", "404-01", 2, 5500)
    assert store.change_marker() != marker
    assert not store.correct_some(utc_now())


def test_a_query_of_the_senders_own_is_not_read(store: PostgresStore, former: str) -> None:
    theirs = update_of(at("read", MessageUUID="three", **{"?": THEIRS}), NOON)
    write_as_version_1(former, theirs, update("queued", "three", **{"?": "order=2"}))
    fill_in(store)
    assert found(store, "three") == ("IN", "404-01", 2, 5500)


def test_a_callback_that_comes_meanwhile_counts_as_well(store: PostgresStore) -> None:
    assert store.record(update("read", MCC="310", MNC="260", Units="1")) is Outcome.APPLIED
    fill_in(store)
    assert found(store) == ("US", "310-260", 1, 5500)


def test_a_program_of_version_1_goes_on_beside_this_one(store: PostgresStore, former: str) -> None:
    fill_in(store)
    while store.sum_up_some("2999-01-01T00:00:00.000000Z"):
        pass
    write_as_version_1(former, update("queued", "three"), update("read", MCC="310", Units="7"))
    counted = {tally.status: tally.messages for tally in store.tallies(WINDOW, (), HOUR)[0]}
    assert counted == {"queued": 1, "delivered": 1, "read": 1}
    fill_in(store)
    assert found(store, "three") == ("IN", "404-01", 2, 5500)
    assert found(store) == ("US", "310-01", 7, 5500)


def test_its_indexes_are_built_afterwards(store: PostgresStore, former: str) -> None:
    schema = files("smsstatus.store.postgres").joinpath("schema.sql").read_text()
    names = "SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid"
    assert ("messages_by_country",) not in ask(former, names)
    while store.sum_up_some("2999-01-01T00:00:00.000000Z"):
        pass
    built = {name for (name,) in ask(former, names)}
    assert {"messages_by_country", "messages_by_network"} <= built
    assert {line.split()[5] for line in schema.splitlines() if line[:12] == "CREATE INDEX"} <= built


def test_an_event_that_cannot_be_read_keeps_nothing_else_from_it(
    store: PostgresStore, former: str, caplog: pytest.LogCaptureFixture
) -> None:
    ask(former, "UPDATE status_events SET parameters = 'damaged' WHERE status = 'queued'")
    fill_in(store)
    assert [m.network for m in store.walk(Filters())] == ["404-01", "404-01"]
    assert "an event of message one cannot be read" in caplog.text


def test_who_may_only_delete_prunes_and_the_sums_go_with_it(
    store: PostgresStore, former: str
) -> None:
    fill_in(store)
    while store.sum_up_some("2999-01-01T00:00:00.000000Z"):
        pass
    ask(former, "CREATE ROLE pruner_only LOGIN")
    try:
        ask(former, "GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO pruner_only")
        scheme, _, rest = former.partition("://")
        with closing(PostgresStore(f"{scheme}://pruner_only@{rest.partition('@')[2]}")) as pruner:
            assert pruner.prune_batch(WINDOW[1]) == 2
        assert [*store.tallies(WINDOW, ("country",), HOUR)[0]] == []
    finally:
        ask(former, "DROP OWNED BY pruner_only")
        ask(former, "DROP ROLE pruner_only")
