"""A disk that is not kept: what is spooled is in the log too, and at the end nothing is left."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask

from smsstatus.intake import leaving
from smsstatus.intake.keep import Place, keep
from smsstatus.intake.last_resort import read_log
from smsstatus.intake.leaving import LEAVING_SECONDS, leave_nothing
from smsstatus.intake.records import read_file, read_record
from smsstatus.plivo.callback import Callback
from smsstatus.service import Service
from smsstatus.store.sqlite import connection
from smsstatus.web.current import service_of

from ..commands.conftest import command
from ..conftest import Query
from ..faults.locks import holding_the_database
from ..faults.workers import Patient, serve_with
from ..live import ROOT, live_service
from ..signed import Plivo, send

TOKEN = Plivo.token


def callback(message_uuid: str) -> Callback:
    fields = Plivo().fields("sent", message_uuid)
    return Callback("POST", "", urlencode(fields), "2026-11-01T12:00:00.000000Z")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that somebody else writes to is not waited for."""
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.01)


@pytest.fixture
def service(app: Flask) -> Service:
    """Its disk is not kept."""
    service = service_of(app)
    service.settings = dataclasses.replace(service.settings, spool_log=True)
    return service


@pytest.mark.usefixtures("impatient")
def test_what_is_spooled_is_also_in_a_line_of_the_log_and_that_only_once(
    service: Service, writable: sqlite3.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    writable.execute("BEGIN IMMEDIATE")
    kept = callback("a")
    for _ in range(2):
        assert keep(service, kept, lambda: read_record(kept)).place is Place.SPOOLED
    lines = capfd.readouterr().err.splitlines()
    assert list(read_log(lines, [TOKEN])) == [kept]
    assert service.spool.depth().waiting == 1


@pytest.mark.usefixtures("impatient")
def test_where_the_disk_is_kept_the_log_gets_none_of_it(
    app: Flask, writable: sqlite3.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    writable.execute("BEGIN IMMEDIATE")
    kept = callback("a")
    assert keep(service_of(app), kept, lambda: read_record(kept)).place is Place.SPOOLED
    assert list(read_log(capfd.readouterr().err.splitlines(), [TOKEN])) == []


@pytest.mark.usefixtures("impatient")
def test_a_log_that_fails_changes_nothing_for_what_is_spooled(
    service: Service,
    writable: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(service.last_resort, "keep", fail)
    writable.execute("BEGIN IMMEDIATE")
    kept = callback("a")
    assert keep(service, kept, lambda: read_record(kept)).place is Place.SPOOLED
    assert "not in the log, and its disk is not kept: BrokenPipeError" in caplog.text


def test_at_the_end_the_spool_goes_to_a_database_that_takes_it(
    service: Service, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    service.spool.keep(callback("a"), "a reason")
    leave_nothing(service, time.monotonic())
    assert query("SELECT message_uuid FROM messages") == [{"message_uuid": "a"}]
    assert service.spool.list_files() == []
    assert list(read_log(capfd.readouterr().err.splitlines(), [TOKEN])) == []


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is tried for half a second, and the log has as long as a busy machine needs."""
    monkeypatch.setattr(leaving, "LEAVING_SECONDS", 60.5)
    monkeypatch.setattr(leaving, "_LOGGING_SECONDS", 60.0)


@pytest.mark.usefixtures("impatient", "patient")
def test_at_the_end_what_the_database_does_not_take_goes_to_the_log(
    service: Service, writable: sqlite3.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also of an earlier process, which may have had no log."""
    service.spool.keep(callback("a"), "a reason")
    service.spool.keep(callback("b"), "a reason")
    writable.execute("BEGIN IMMEDIATE")
    leave_nothing(service, time.monotonic())
    found = read_log(capfd.readouterr().err.splitlines(), [TOKEN])
    assert sorted(one.body for one in found) == sorted(callback(uuid).body for uuid in "ab")
    assert len(service.spool.list_files()) == 2


@pytest.mark.usefixtures("impatient", "patient")
def test_at_the_end_a_file_that_was_passed_by_goes_to_the_log_too(
    service: Service, writable: sqlite3.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = callback("a")
    service.spool.keep(kept, "a reason")
    (name,) = service.spool.list_files()
    service.spool.pass_by(name, "a reason")
    assert service.spool.list_files() == []
    writable.execute("BEGIN IMMEDIATE")
    leave_nothing(service, time.monotonic())
    assert list(read_log(capfd.readouterr().err.splitlines(), [TOKEN])) == [kept]


@pytest.mark.usefixtures("impatient", "patient")
def test_at_the_end_each_file_and_callback_goes_to_the_log_by_itself(
    service: Service,
    writable: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another process removes one, one cannot be read, and one line the log does not take."""
    for uuid in "abcde":
        service.spool.keep(callback(uuid), "a reason")
    gone, odd, refused, *others = service.spool.list_files()
    bodies = {line.found.body for name in others for line in read_file(service.spool.folder / name)}
    (untaken,) = read_file(service.spool.folder / refused)
    list_files, keep_in_log = service.spool.list_files, service.last_resort.keep

    def list_then_lose(*arguments: int, **more: bool) -> list[str]:
        names = list_files(*arguments, **more)
        if more:
            (service.spool.folder / gone).unlink()
            (service.spool.folder / odd).unlink()
            (service.spool.folder / odd).mkdir()
        return names

    def take_others(one: Callback, *more: Any) -> None:
        if one == untaken.found:
            raise BrokenPipeError
        keep_in_log(one, *more)

    monkeypatch.setattr(service.spool, "list_files", list_then_lose)
    monkeypatch.setattr(service.last_resort, "keep", take_others)
    writable.execute("BEGIN IMMEDIATE")
    leave_nothing(service, time.monotonic())
    found = read_log(capfd.readouterr().err.splitlines(), [TOKEN])
    assert {one.body for one in found if isinstance(one, Callback)} == bodies
    assert f"spool file {odd} is left on a disk that is not kept: IsADirectoryError" in caplog.text
    assert "not in the log, and its disk is not kept: BrokenPipeError" in caplog.text
    assert "2 spooled callbacks are in lines of the log" in caplog.text
    assert gone not in caplog.text


def test_when_the_time_is_over_the_end_is_not_waited_for_and_says_so(
    service: Service, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    service.spool.keep(callback("a"), "a reason")
    leave_nothing(service, time.monotonic() - LEAVING_SECONDS)
    assert query("SELECT * FROM messages") == []
    assert "is left on a disk that is not kept" in caplog.text


def test_after_sigterm_in_an_outage_the_log_brings_back_what_the_disk_lost(tmp_path: Path) -> None:
    """As a dyno ends: the database takes nothing until then, and the spool's disk goes."""
    with live_service(tmp_path, DYNO="web.1", **serve_with(Patient)) as service:
        with holding_the_database(service.database):
            for number in range(3):
                request = service.plivo.post(service.plivo.fields("sent", f"uuid-{number}"))
                assert send(request, service.address)[0] == 200
            assert service.stop() == 0
        shutil.rmtree(service.spool)
        assert "3 spooled callbacks are in lines of the log, for `replay`" in (
            service.log.read_text()
        )
        for came in ("3 applied, 0 already known", "0 applied, 3 already known"):
            done = subprocess.run(
                command("replay", str(service.log)),
                cwd=ROOT,
                env=service.environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.stdout == f"{came}, 0 unreadable.\n"
        with closing(sqlite3.connect(service.database)) as connection:
            sql = "SELECT message_uuid FROM messages ORDER BY message_uuid"
            assert connection.execute(sql).fetchall() == [("uuid-0",), ("uuid-1",), ("uuid-2",)]
