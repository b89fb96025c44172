"""The service around a PostgreSQL database: start, commands, monitoring, several processes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from smsstatus import create_app, promise
from smsstatus.commands.doctor import examine
from smsstatus.readiness import READY_SECONDS
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.settings.database_url import read_database_url
from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.postgres import tallies
from smsstatus.store.postgres.connection import Connection
from smsstatus.upkeep import alone
from smsstatus.upkeep.caretaker import beat
from smsstatus.web.current import service_of

from .clock import HandClock
from .faults.workers import Patient, serve_with
from .live import API_TOKEN, ROOT, LiveService, environment, free_port, wait_until
from .plivo_api import AUTH_ID, PlivoApi
from .postgres import PostgresServer, ask, end_who_holds, new_database, server_folder
from .signed import Plivo, Request, send
from .store.conftest import write
from .store.updates import at, update_of

PASSWORD = "hunter2-secret"
FSYNC_IS_OFF = "runs with fsync off, so what was answered 200 can be lost"
LONG_AGO = "2020-01-01T00:00:00.000000Z"
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
def url(postgres: str) -> str:
    """With a password, which that server does not ask for."""
    return postgres.replace("@", f":{PASSWORD}@")


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, database=read_database_url(url))


@pytest.fixture
def service(app: Flask) -> Service:
    return service_of(app)


@pytest.fixture
def beside(settings: Settings) -> Iterator[Flask]:
    """The same application once more, as another process has it."""
    other = create_app(settings)
    yield other
    service_of(other).stop()


def post(app: Flask, request: Request) -> int:
    return (
        app.test_client()
        .open(request.target, method=request.method, headers=request.headers, data=request.body)
        .status_code
    )


def on_postgres(folder: Path, url: str, **more: str) -> LiveService:
    spool = str(folder / "sms.db-spool")
    return LiveService(folder, DATABASE_URL=url, SPOOL_DIR=spool, **serve_with(Patient), **more)


def test_a_callback_is_kept_found_and_counted(app: Flask, url: str, plivo: Plivo) -> None:
    assert post(app, plivo.post(plivo.fields("delivered", "a-uuid"))) == 200
    assert ask(url, "SELECT message_uuid, current_status FROM messages") == [
        ("a-uuid", "delivered")
    ]
    client = app.test_client()
    assert client.get("/messages/a-uuid", headers=BEARER).get_json()["is_final"] is True
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["reasons"]) == (200, [])


def test_a_database_that_cannot_hold_all_text_is_said_and_callbacks_are_spooled(
    settings: Settings, plivo: Plivo, postgres_server_url: str
) -> None:
    with new_database(postgres_server_url, more="ENCODING 'SQL_ASCII' LOCALE 'C'") as ascii_url:
        app = create_app(replace(settings, database=read_database_url(ascii_url)))
        service = service_of(app)
        try:
            assert post(app, plivo.post(plivo.fields("sent"))) == 200
            assert len(service.spool.list_files()) == 1
            says = "has the encoding SQL_ASCII: create it with ENCODING 'UTF8'"
            ready = app.test_client().get("/readyz")
            assert (ready.status_code, says in str(ready.get_json())) == (503, True)
            checks = {check.name: check for check in examine(service)}
            assert (checks["database"].level, says in checks["database"].text) == ("FAIL", True)
        finally:
            service.stop()


@pytest.mark.parametrize(
    "table",
    [
        "messages (id bigserial PRIMARY KEY, body text, created_at timestamptz)",
        "schema_version (version text, installed_on timestamptz)",
    ],
)
def test_a_table_of_another_program_is_left_alone_and_named_and_callbacks_are_spooled(
    settings: Settings, plivo: Plivo, postgres_server_url: str, table: str
) -> None:
    columns = """SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' ORDER BY 1, 2"""
    with new_database(postgres_server_url) as url:
        ask(url, f"CREATE TABLE {table}")
        before = ask(url, columns)
        app = create_app(replace(settings, database=read_database_url(url)))
        service = service_of(app)
        try:
            assert post(app, plivo.post(plivo.fields("sent"))) == 200
            assert len(service.spool.list_files()) == 1
            says = f"has a table {table.split()[0]} of another program"
            ready = app.test_client().get("/readyz")
            assert (ready.status_code, says in str(ready.get_json())) == (503, True)
            made = app.test_cli_runner().invoke(args=["init-db"])
            assert (made.exit_code, says in made.output) == (1, True)
            assert ask(url, columns) == before
            ask(url, "CREATE SCHEMA sms")
            name = url.rpartition("/")[2]
            ask(url, f"ALTER DATABASE {name} SET search_path = sms, public")
            service.store.close()
            service.store.prepare()
            service.store.probe()
            assert ask(url, columns) == before
        finally:
            service.stop()


def test_what_one_process_writes_changes_the_page_of_another(
    app: Flask, beside: Flask, plivo: Plivo
) -> None:
    service_of(beside).clock = HandClock()  # another ten minutes are another page
    client = beside.test_client()
    shown = client.get("/", headers=BEARER)
    tag = {"If-None-Match": str(shown.headers["ETag"])}
    assert client.get("/", headers={**BEARER, **tag}).status_code == 304
    assert post(app, plivo.post(plivo.fields("delivered", "a-uuid"))) == 200
    assert client.get("/", headers={**BEARER, **tag}).status_code == 200


def test_counters_carry_their_process_and_the_spool_its_host(
    app: Flask, service: Service, plivo: Plivo
) -> None:
    service.metrics.count_attempt("200")
    assert post(app, plivo.post(plivo.fields("sent"))) == 200
    service.store.count_again()
    for dyno, host in (("web.1", "web.1"), (None, socket.gethostname())):
        service.settings = replace(service.settings, dyno=dyno, forward_url="http://127.0.0.1:9/")
        lines = app.test_client().get("/metrics").get_data(as_text=True).splitlines()
        process = f'process="{host}:{os.getpid()}"'
        counted = f'smsstatus_callbacks_total{{{process},answer="200",reason="applied"}} 1'
        assert counted in lines
        assert f"smsstatus_refused_logins_total{{{process}}} 0" in lines
        assert f'smsstatus_commit_batch_size_bucket{{{process},le="1"}} 1' in lines
        assert f'smsstatus_forward_attempts_total{{{process},result="200"}} 1' in lines
        assert f"smsstatus_forward_delay_seconds_count{{{process}}} 0" in lines
        assert f'smsstatus_spool_files{{host="{host}",kind="waiting"}} 0' in lines
        assert f'smsstatus_spool_oldest_seconds{{host="{host}"}} 0.0' in lines
        assert 'smsstatus_messages{status="sent"} 1' in lines  # the same from each process


@pytest.mark.parametrize(
    "command", ["reconcile --within 3650d", "reconcile", "prune --older-than 30d"]
)
def test_a_command_whose_lock_the_server_let_go_of_ends_and_says_so(
    app: Flask,
    service: Service,
    url: str,
    standin: PlivoApi,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setattr(alone, "HELD_SECONDS", 0)
    service.clock = HandClock()
    service.settings = replace(service.settings, auth_id=AUTH_ID, plivo_api_url=standin.url)
    updates = [update_of(at("sent", MessageUUID=str(uuid.UUID(int=n)))) for n in range(1200)]
    write(service.store, [each._replace(received_at=LONG_AGO) for each in updates])
    service.store.record(update_of(at("delivered", MessageUUID="new")))
    beat(service.store, service.clock)  # so that the day before is to be listed
    prune_batch, removed = service.store.prune_batch, []

    def end_and_prune(created_before: str) -> int:
        if not removed:
            end_who_holds(url)
        removed.append(prune_batch(created_before))
        return removed[-1]

    monkeypatch.setattr(service.store, "prune_batch", end_and_prune)
    standin.reply = lambda asked: end_who_holds(url) if len(standin.asked) == 1 else None
    done = app.test_cli_runner().invoke(args=command.split())
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: stopped, the rest stays for the next run: the connection to the database that kept "
        "other processes from doing the same has ended, or does not answer\n"
    )
    assert (len(standin.asked), len(removed)) in ((1, 0), (0, 1))


def test_doctor_looks_at_the_server_and_at_no_file(service: Service) -> None:
    checks = {check.name: check for check in examine(service)}
    assert "disk" not in checks
    name = service.settings.database.name
    assert checks["database"].text.startswith(f"{name} is writable")
    ((fsync,),) = ask(service.settings.database.url, "SELECT current_setting('fsync')")
    assert checks["PostgreSQL"].level == ("ok" if fsync == "on" else "warn")
    assert (FSYNC_IS_OFF in checks["PostgreSQL"].text) == (fsync == "off")
    assert PASSWORD not in str(checks)


def test_doctor_says_what_is_wrong_and_never_the_password(settings: Settings) -> None:
    """Nothing listens there: the port is reserved for a server that the test never starts."""
    nowhere = f"postgres://user:{PASSWORD}@127.0.0.1:{free_port()}/sms"
    away = replace(settings, database=read_database_url(nowhere))
    checks = {check.name: check for check in examine(Service.make(away, for_command=True))}
    assert checks["database"].level == "FAIL"
    assert "Check that the server runs" in checks["database"].text
    assert checks["database's program"].level == "warn"
    assert PASSWORD not in str(checks)


def test_figures_that_take_too_long_to_count_do_not_make_the_service_unready(
    app: Flask, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_long(connection: Connection, edges: object) -> Any:
        return connection.execute("SELECT pg_sleep(60)")

    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    clock.turn(READY_SECONDS)
    monkeypatch.setattr(tallies, "read_history", take_long)
    page = client.get("/", headers=BEARER)
    assert page.status_code == 200
    assert "Not ready" not in page.text
    assert client.get("/readyz").status_code == 200


def test_failures_that_take_too_long_to_count_leave_the_other_metrics(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    more = {"forward_url": "http://127.0.0.1:9/", "retention": 90 * 86_400.0}
    app = create_app(replace(settings, **more))
    try:
        with monkeypatch.context() as slow:

            def take_all_the_time(*asked: object) -> Any:
                tried.append(asked)
                slow.setattr(promise, "seconds_left", lambda at_most=0.0: 0.0)
                raise StoreUnavailable("no answer within 4 s")

            slow.setattr(tallies, "read_tallies", take_all_the_time)
            shown = app.test_client().get("/metrics").text
        assert tried
        assert "smsstatus_forward_waiting 0" in shown
        assert 'smsstatus_upkeep_ok{task="prune"} 1' in shown
        assert app.test_client().get("/readyz").get_json()["forwarding"]["waiting"] == 0
    finally:
        service_of(app).stop()


def test_init_db_makes_the_tables_and_does_so_in_a_release(app: Flask, url: str) -> None:
    name = service_of(app).settings.database.name
    for option in ([], ["--release"]):
        ask(url, "DROP TABLE status_events CASCADE")
        done = app.test_cli_runner().invoke(args=["init-db", *option])
        assert (done.exit_code, done.output) == (0, f"{name} is ready.\n")
        assert ask(url, "SELECT count(*) FROM status_events") == [(0,)]


def test_backup_says_which_command_of_the_host_to_use(app: Flask, tmp_path: Path) -> None:
    done = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy")])
    assert done.exit_code == 1
    assert "pg:backups" in done.output
    assert "pg_dump" in done.output
    assert PASSWORD not in done.output


def test_a_simulated_day_is_forgotten_and_nothing_else(app: Flask, url: str, plivo: Plivo) -> None:
    assert post(app, plivo.post(plivo.fields("delivered", "kept"))) == 200
    runner = app.test_cli_runner()
    assert runner.invoke(args=["simulate", "--day", "--count", "300"]).exit_code == 0
    assert ask(url, "SELECT count(*) FROM messages") == [(301,)]
    done = runner.invoke(args=["simulate", "--forget"])
    assert (done.exit_code, done.output) == (0, "300 simulated messages removed.\n")
    assert ask(url, "SELECT message_uuid FROM messages") == [("kept",)]
    assert ask(url, "SELECT count(*) FROM status_events") == [(1,)]
    assert ask(url, "SELECT count(*) FROM reference_pairs") == [(0,)]


def test_the_driver_is_imported_for_postgresql_alone(tmp_path: Path, url: str) -> None:
    program = "import wsgi, sys; print('psycopg' in sys.modules)"
    for variables in ({}, {"DATABASE_URL": url, "SPOOL_DIR": str(tmp_path / "spool")}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment(tmp_path, "https://sms.example.com", **variables),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.stdout, done.stderr) == (f"{bool(variables)}\n", "")


def test_a_service_that_starts_without_its_database_serves_spools_and_makes_it_later(
    tmp_path: Path,
) -> None:
    with server_folder() as folder:
        server = PostgresServer(folder).initialise()
        address = server.url().replace("@", f":{PASSWORD}@")
        service = on_postgres(tmp_path, address, LOG_LEVEL="debug")
        try:
            service.start()
            request = service.plivo.post(service.plivo.fields("sent", "a-uuid"))
            assert send(request, service.address)[0] == 200
            status, body = service.get("/readyz")
            assert (status, b"store: " in body) == (503, True)
            assert len(list(service.spool.glob("*.json"))) == 1
            server.start()
            wait_until(lambda: not list(service.spool.glob("*.json")), what="the spool is empty")
            assert server.ask("SELECT message_uuid FROM messages") == [("a-uuid",)]
            wait_until(lambda: service.get("/readyz")[0] == 200)
            log = service.log.read_text()
            assert "database cannot be opened, callbacks go to the spool" in log
            assert "once it can be opened" in log
            wait_until(lambda: FSYNC_IS_OFF in service.log.read_text(), what="it warns of fsync")
            assert PASSWORD not in log + body.decode()
        finally:
            service.kill()
            server.stop()


def test_as_many_processes_serve_as_the_host_asks_for(tmp_path: Path, url: str) -> None:
    service = on_postgres(tmp_path, url, WEB_CONCURRENCY="2", DYNO="web.1")
    seen: set[str] = set()

    def both_are_seen() -> bool:
        metrics = service.get("/metrics")[1].decode()
        seen.update(re.findall(r'smsstatus_refused_logins_total\{process="web\.1:(\d+)"', metrics))
        return len(seen) == 2

    ((fsync,),) = ask(url, "SELECT current_setting('fsync')")
    warnings = 0 if fsync == "on" else 2
    try:
        service.start()
        wait_until(both_are_seen)
        for number in range(20):
            request = service.plivo.post(service.plivo.fields("sent", f"uuid-{number}"))
            assert send(request, service.address)[0] == 200
        assert ask(url, "SELECT count(*) FROM messages") == [(20,)]
        wait_until(
            lambda: service.log.read_text().count(FSYNC_IS_OFF) == warnings,
            what="each process has warned of fsync",
        )
        assert service.stop() == 0
        log = service.log.read_text()
    finally:
        service.kill()
    name = read_database_url(url).name
    assert log.count(f"callbacks are written to {name}") == 2
    assert log.count("WARNING") == log.count(FSYNC_IS_OFF) == warnings
    for unwanted in ("several processes serve", "disk is lost", "is not used", "ERROR"):
        assert unwanted not in log
