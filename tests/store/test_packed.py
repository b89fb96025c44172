"""Events of a file of version 4, and of one of version 3: read alike, byte for byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from smsstatus import create_app
from smsstatus.model import StatusUpdate
from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.settings import Settings
from smsstatus.settings.database_url import sqlite_file
from smsstatus.store.contract import Outcome, StoreUnavailable
from smsstatus.store.sqlite.schema import SCHEMA_VERSION
from smsstatus.store.sqlite.store import SqliteStore

from ..conftest import Query
from ..live import API_TOKEN

SCHEMA_3 = Path(__file__).parent.with_name("schema_3.sql")
BY_VERSION_3 = """
    INSERT INTO status_events (
        message_id, digest, status, status_timestamp, error_code, sequence, rank, is_final,
        received_at, source, parameters)
    SELECT id, ?, 'read', '', NULL, 4, 5, 1, '2026-11-01T00:00:09.000000Z', 'callback', ?
    FROM messages WHERE message_uuid = 'a'
    ON CONFLICT (message_id, digest) DO NOTHING
    """


def update(second: int = 3, query: str = "", **fields: str) -> StatusUpdate:
    """One of message a."""
    at = f"2026-11-01 00:00:0{second}.250000"
    body = {"MessageUUID": "a", "Status": "delivered", "DeliveryReportTime": at, **fields}
    received_at = f"2026-11-01T00:00:0{second}.500000Z"
    callback = Callback("POST", query, urlencode(body), received_at)
    return read_callback(callback, source="callback")


UPDATES = [
    update(),
    update(),
    update(1, Status="queued", Unknown="ü" * 50, Blank=""),
    update(2, "order=42&%C3%BC=1", Status="sent", To="14155550123"),
    update(4, ErrorCode="30", Status="undelivered"),
]


def ask(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A file that version 3 made."""
    path = tmp_path / "former.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.executescript(SCHEMA_3.read_text())
    return path


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteStore]:
    store = SqliteStore(settings.database_path)
    yield store
    store.close()


def record(path: Path) -> list[Outcome]:
    with closing(SqliteStore(path)) as store:
        return [store.record(update) for update in UPDATES]


def test_json_is_the_same_byte_for_byte_whichever_version_made_the_file(
    settings: Settings, former: Path
) -> None:
    answers = []
    for path in (settings.database_path, former):
        outcomes = record(path)
        app = create_app(replace(settings, database=sqlite_file(path)))
        answer = app.test_client().get(
            "/messages/a", headers={"Authorization": f"Bearer {API_TOKEN}"}
        )
        with closing(SqliteStore(path)) as store:
            answers.append((outcomes, answer.status_code, answer.data, store.find("a")))
    assert answers[0][1] == 200
    assert answers[0] == answers[1]


def test_parameters_come_back_as_they_were_received(store: SqliteStore) -> None:
    for each in UPDATES:
        store.record(each)
    message = store.find("a")
    assert message is not None
    assert message.events is not None
    distinct = [UPDATES[2], UPDATES[3], UPDATES[0], UPDATES[4]]
    assert [event.parameters for event in message.events] == [each.parameters for each in distinct]


def test_a_file_of_version_3_is_opened_without_writing_its_events_again(former: Path) -> None:
    trees = "SELECT name, rootpage FROM sqlite_master WHERE tbl_name = 'status_events'"
    before = ask(former, trees)
    record(former)
    assert ask(former, trees) == before
    assert ask(former, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert ask(former, "SELECT DISTINCT typeof(parameters) FROM status_events") == [("text",)]
    assert ask(former, "PRAGMA integrity_check") == [("ok",)]


def test_a_program_of_version_3_that_still_has_the_file_open_goes_on(former: Path) -> None:
    with closing(sqlite3.connect(former, isolation_level=None)) as before:
        before.execute("SELECT * FROM status_events").fetchall()
        record(former)
        late = update(9, Status="read")
        before.execute("INSERT INTO signed_texts VALUES (?)", (late.digest[:18],))
        assert before.execute(BY_VERSION_3, (late.digest, late.parameters)).rowcount == 1
    with closing(SqliteStore(former)) as store:
        assert store.record(late) is Outcome.DUPLICATE
        message = store.find("a")
    assert message is not None
    assert message.events is not None
    assert message.events[-1].parameters == late.parameters


def test_events_are_told_apart_though_signed_texts_was_removed(
    settings: Settings, store: SqliteStore, query: Query
) -> None:
    for each in UPDATES:
        store.record(each)
    store.close()
    events = query("SELECT * FROM status_events")
    texts = query("SELECT * FROM signed_texts")
    ask(settings.database_path, "DROP TABLE signed_texts")
    assert {store.record(each) for each in UPDATES} == {Outcome.DUPLICATE}
    assert query("SELECT * FROM signed_texts") == texts
    assert len(query("SELECT * FROM status_events")) == len(events)


def test_an_event_whose_parameters_are_damaged_is_reported(
    settings: Settings, store: SqliteStore
) -> None:
    store.record(UPDATES[0])
    ask(settings.database_path, "UPDATE status_events SET parameters = x'7f'")
    with pytest.raises(StoreUnavailable, match="an event cannot be read: packed"):
        store.find("a")


def test_ids_of_events_rise_as_they_arrive(store: SqliteStore, query: Query) -> None:
    for each in UPDATES:
        store.record(each)
    statuses = [row["status"] for row in query("SELECT status FROM status_events ORDER BY id")]
    assert statuses == ["delivered", "queued", "sent", "undelivered"]
