"""`prune --older-than`: old messages go with their events, young ones stay, callbacks flow."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from smsstatus import create_app
from smsstatus.commands import prune
from smsstatus.model import utc_timestamp
from smsstatus.settings import Settings
from smsstatus.settings.database_url import read_database_url
from smsstatus.store.contract import PRUNE_BATCH, Outcome, StoreUnavailable
from smsstatus.store.postgres.store import PostgresStore
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Deliver, Query, Receive
from ..live import live_service, wait_until
from ..postgres import as_role, ask, backends
from ..rows import insert, row
from ..signed import Plivo, send
from ..store.updates import at, update_of
from .conftest import Run, refused, started_beside

ADD_EVENTS = """
    INSERT INTO status_events (message_id, digest, status, status_timestamp, sequence, rank,
        is_final, received_at, source, parameters)
    SELECT id, x'00', 'sent', '', 0, 2, 0, created_at, 'callback', x'00' FROM messages
    """


def aged(number: int, days: float) -> dict[str, Any]:
    return row(number, utc_timestamp(str(datetime.now(UTC) - timedelta(days=days))))


@pytest.fixture
def aged_ones(writable: sqlite3.Connection) -> list[str]:
    """Messages of 0, 10, 20, ... 90 days, each with an event; their UUIDs, youngest first."""
    rows = [aged(number, 10 * number) for number in range(10)]
    insert(writable, rows)
    writable.execute(ADD_EVENTS)
    return [values["message_uuid"] for values in rows]


def test_a_database_that_is_full_is_pruned_over_one_connection_with_the_right_to_delete(
    postgres: str, settings: Settings
) -> None:
    """As Heroku leaves it: DELETE and SELECT, and no second connection."""
    owner = PostgresStore(postgres)
    owner.prepare()
    for number, days in enumerate((0, 40, 50)):
        received_at = utc_timestamp(str(datetime.now(UTC) - timedelta(days=days)))
        update = update_of(at("sent", MessageUUID=f"message-{number}"), received_at)
        assert owner.record(update) is Outcome.APPLIED
    owner.close()
    with as_role(postgres, "SELECT, DELETE ON ALL TABLES IN SCHEMA public") as url:
        full = replace(settings, database=read_database_url(url), database_connections=1)
        app = create_app(full)
        done = app.test_cli_runner().invoke(args=["prune", "--older-than", "30d"])
        assert (done.exit_code, done.stdout, done.stderr) == (0, "2 messages removed.\n", "")
        service_of(app).store.close()
        wait_until(lambda: backends(postgres) == 0, what="its connection is closed")
    assert ask(postgres, "SELECT message_uuid FROM messages") == [("message-0",)]
    assert ask(postgres, "SELECT count(*) FROM status_events") == [(1,)]


def test_old_messages_go_with_their_events_and_young_ones_stay(
    run: Run, aged_ones: list[str], query: Query
) -> None:
    done = run("prune", "--older-than", "45d")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "5 messages removed.\n", "")
    assert [m["message_uuid"] for m in query("SELECT * FROM messages ORDER BY id")] == aged_ones[:5]
    assert query(
        """SELECT (SELECT count(*) FROM status_events) AS events,
           (SELECT count(*) FROM status_events WHERE message_id NOT IN (SELECT id FROM messages))
           AS orphans"""
    ) == [{"events": 5, "orphans": 0}]


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_count_that_takes_too_long_keeps_nothing_from_being_removed(
    run: Run, aged_ones: list[str], monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    """It is for the progress bar; with one connection to PostgreSQL it has 2 s."""

    def take_long(store: SqliteStore, created_before: str) -> int:
        raise StoreUnavailable("it takes longer than 2 s")

    monkeypatch.setattr(SqliteStore, "count_older", take_long)
    terminal = SimpleNamespace(isatty=lambda: on_terminal)
    monkeypatch.setattr(prune, "sys", SimpleNamespace(stderr=terminal))
    done = run("prune", "--older-than", "45d")
    assert (done.exit_code, done.stdout) == (0, "5 messages removed.\n")


def test_what_belongs_to_a_message_goes_with_it_and_no_more(
    run: Run, deliver: Deliver, plivo: Plivo, query: Query, writable: sqlite3.Connection
) -> None:
    for name in ("old", "young"):
        fields = plivo.fields("sent", name)
        assert deliver(plivo.post(fields, query=f"app=crm&order={name}")).status_code == 200
    writable.execute(
        "UPDATE messages SET created_at = '2001-01-01T00:00:00.000000Z' WHERE message_uuid = 'old'"
    )
    assert run("prune", "--older-than", "45d").stdout == "1 messages removed.\n"
    assert query("SELECT query FROM message_references") == [{"query": "app=crm&order=young"}]
    assert query("SELECT pair FROM reference_pairs ORDER BY pair") == [
        {"pair": "app=crm"},
        {"pair": "order=young"},
    ]
    assert query(
        "SELECT count(*) AS n FROM signed_texts JOIN status_events AS e"
        " ON signed_texts.digest = substr(e.digest, 1, 18)"
    ) == query("SELECT count(*) AS n FROM signed_texts")
    assert query("SELECT count(*) AS n FROM signed_texts") == [{"n": 1}]


@pytest.mark.usefixtures("aged_ones")
def test_sums_of_a_time_that_no_message_is_left_of_go_too(
    run: Run, query: Query, writable: sqlite3.Connection
) -> None:
    days = [utc_timestamp(str(datetime.now(UTC) - timedelta(days=days)))[:10] for days in (90, 10)]
    writable.execute("INSERT INTO kinds (id, status) VALUES (1, 'delivered')")
    writable.executemany(
        """INSERT INTO sums (span, kind, messages, units, amount) VALUES (?, 1, 1, 1, 1)""",
        [(span,) for day in days for span in (day[:9], day, f"{day}T12")],
    )
    assert run("prune", "--older-than", "45d").stdout == "5 messages removed.\n"
    assert {row["span"][:9] for row in query("SELECT span FROM sums")} == {days[1][:9]}


def test_a_dry_run_counts_and_removes_nothing(run: Run, aged_ones: list[str], query: Query) -> None:
    done = run("prune", "--older-than", "45d", "--dry-run")
    assert (done.exit_code, done.stdout) == (0, "5 messages would be removed.\n")
    assert query("SELECT count(*) AS n FROM messages") == [{"n": 10}]


def test_doing_it_again_removes_nothing(run: Run, aged_ones: list[str]) -> None:
    run("prune", "--older-than", "45d")
    assert run("prune", "--older-than", "45d").stdout == "0 messages removed.\n"


def test_a_callback_about_a_pruned_message_makes_a_new_row(
    run: Run, aged_ones: list[str], receive: Receive, query: Query
) -> None:
    run("prune", "--older-than", "45d")
    receive("delivered", aged_ones[9])
    (message,) = query("SELECT * FROM messages WHERE message_uuid = ?", aged_ones[9])
    assert message["current_status"] == "delivered"
    (event,) = query("SELECT * FROM status_events WHERE message_id = ?", message["id"])
    assert event["status"] == "delivered"


def test_a_callback_of_before_the_cut_does_not_bring_a_pruned_message_back(
    run: Run, aged_ones: list[str], receive: Receive, query: Query
) -> None:
    """As who captured it could send it. It is answered 200, and writes nothing."""
    run("prune", "--older-than", "45d")

    def ago(days: int) -> str:
        return str(datetime.now(UTC) - timedelta(days=days))

    receive("delivered", aged_ones[9], Timestamp=ago(90))
    assert query("SELECT * FROM messages WHERE message_uuid = ?", aged_ones[9]) == []
    receive("read", aged_ones[9], Timestamp=ago(1))  # no captured one: it happened since
    receive("delivered", aged_ones[1], Timestamp=ago(60))  # its message is there
    assert query("SELECT status FROM status_events WHERE parameters <> x'00'") == [
        {"status": "read"},
        {"status": "delivered"},
    ]


def test_nothing_is_removed_if_that_would_be_all_as_with_a_clock_that_jumped(
    run: Run, clock: HandClock, aged_ones: list[str], receive: Receive, query: Query
) -> None:
    clock.turn(timedelta(days=3650).total_seconds())
    assert "clock" in refused(run("prune", "--older-than", "90d"))
    assert query("SELECT count(*) AS n FROM messages") == [{"n": 10}]
    assert run("prune", "--older-than", "90d", "--force").stdout == "10 messages removed.\n"
    receive("sent", Timestamp=str(datetime.now(UTC)))  # such a clock's cut keeps nothing out
    assert query("SELECT count(*) AS n FROM messages") == [{"n": 1}]


def test_of_an_empty_database_nothing_is_removed_and_no_clock_suspected(run: Run) -> None:
    done = run("prune", "--older-than", "90d")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "0 messages removed.\n", "")


@pytest.mark.parametrize("arguments", [(), ("--older-than", "90"), ("--older-than", "0d")])
def test_how_old_has_to_be_said(run: Run, aged_ones: list[str], arguments: tuple[str, ...]) -> None:
    done = run("prune", *arguments)
    assert done.exit_code == 2
    assert "--older-than" in done.stderr


def test_a_span_longer_than_the_calendar_is_no_traceback(run: Run) -> None:
    done = run("prune", "--older-than", "999999d")
    assert done.exit_code in (0, 1, 2)
    assert "Traceback" not in done.output


def test_a_database_that_cannot_be_read_is_one_line(run: Run, settings: Settings) -> None:
    settings.database_path.unlink()
    settings.database_path.mkdir()
    assert "stays for the next run" in refused(run("prune", "--older-than", "1d"))


def test_between_two_batches_callbacks_are_written(
    run: Run,
    clock: HandClock,
    writable: sqlite3.Connection,
    receive: Receive,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert(writable, [aged(number, 100) for number in range(2 * PRUNE_BATCH + 1)])
    receive("delivered")
    left: list[int] = []

    def pause(seconds: float) -> None:
        receive("sent")
        (counted,) = query("SELECT count(*) AS n FROM messages WHERE is_final = 0")
        left.append(counted["n"])

    monkeypatch.setattr(clock, "sleep", pause)
    assert (
        run("prune", "--older-than", "90d").stdout == f"{2 * PRUNE_BATCH + 1} messages removed.\n"
    )
    assert left == [PRUNE_BATCH + 2, 1 + 2, 0 + 3]


def test_beside_a_running_service_it_loses_no_callback(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    answers: list[int] = []
    with live_service(tmp_path / "service") as service:
        with closing(sqlite3.connect(service.database, isolation_level=None)) as connection:
            insert(connection, [aged(number, 100) for number in range(3000)])
            connection.execute(ADD_EVENTS)
        plivo = service.plivo
        answers.append(send(plivo.post(plivo.fields("sent")), service.address)[0])
        with started_beside(service, "prune", "--older-than", "90d") as pruning:
            while pruning.poll() is None:
                answers.append(send(plivo.post(plivo.fields("sent")), service.address)[0])
            said, complained = pruning.communicate()
        assert (pruning.returncode, said, complained) == (0, "3000 messages removed.\n", "")
        assert set(answers) == {200}

        def left() -> tuple[int, int]:
            with closing(sqlite3.connect(service.database)) as connection:
                sql = "SELECT count(*), (SELECT count(*) FROM status_events) FROM messages"
                messages, events = connection.execute(sql).fetchall()[0]
                return messages, events

        # One may wait in the spool.
        wait_until(lambda: left() == (len(answers), len(answers)))


def test_a_later_run_removes_nothing_while_one_is_at_work(
    app: Flask, run: Run, aged_ones: list[str]
) -> None:
    with service_of(app).store.hold("prune"):
        done = run("prune", "--older-than", "45d")
        assert done.exit_code == 3
        assert done.stdout == "another prune is at work, so nothing was removed.\n"
    assert run("prune", "--older-than", "45d").stdout == "5 messages removed.\n"
