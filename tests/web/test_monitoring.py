"""/readyz, /metrics and /openapi.json: anybody may ask, so what they cost is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.readiness import READY_SECONDS
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Receive
from ..faults.locks import holding_the_database
from ..faults.workers import Patient, serve_with
from ..live import live_service, wait_until
from ..signed import send


def test_while_one_finds_out_others_are_told_what_was_so_before(
    app: Flask, clock: HandClock, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that hangs, those who ask would hold all threads."""
    assert client.get("/readyz").status_code == 200
    clock.turn(READY_SECONDS + 1)
    finding_out, found_out = threading.Event(), threading.Event()

    def hang() -> None:
        finding_out.set()
        assert found_out.wait(60)

    monkeypatch.setattr(service_of(app).store, "probe", hang)
    one, other = (_ask(app, "/readyz") for _ in range(2))
    one.start()
    assert finding_out.wait(60)
    other.start()
    other.join(60)
    answered_meanwhile = not other.is_alive()
    found_out.set()
    one.join(60)
    other.join(60)
    assert answered_meanwhile


def test_asking_how_many_messages_there_are_counts_none(
    app: Flask, client: FlaskClient, receive: Receive
) -> None:
    store = service_of(app).store
    receive("sent")
    store.count_again()
    receive("sent")
    shown = 'smsstatus_messages{status="sent"} 1\n'
    assert shown in client.get("/metrics").text
    store.count_again()
    assert shown not in client.get("/metrics").text


def test_a_running_service_counts_its_messages_by_itself(tmp_path: Path) -> None:
    with live_service(tmp_path) as service:
        plivo = service.plivo
        assert send(plivo.post(plivo.fields("sent")), service.address)[0] == 200
        wait_until(lambda: b'smsstatus_messages{status="sent"} 1\n' in service.get("/metrics")[1])


def test_data_files_and_folders_are_open_to_their_owner_alone(tmp_path: Path) -> None:
    with live_service(tmp_path, **serve_with(Patient)) as service:
        plivo = service.plivo
        assert send(plivo.post(plivo.fields("sent")), service.address)[0] == 200
        with holding_the_database(service.database, "flock"):
            assert send(plivo.post(plivo.fields("sent")), service.address)[0] == 200
            ours = [*tmp_path.glob("sms.db*"), *service.spool.rglob("*")]
            modes = {path.name: oct(path.stat().st_mode & 0o777) for path in ours}
    names = {"sms.db", "sms.db.lock", "sms.db-wal", "sms.db-shm", "sms.db-spool", "bad"}
    assert names < set(modes)  # and a spool file
    for path in ours:
        assert modes[path.name] == ("0o700" if path.name in ("sms.db-spool", "bad") else "0o600")


def _ask(app: Flask, path: str) -> threading.Thread:
    get: Callable[[str], object] = app.test_client().get
    return threading.Thread(target=get, args=(path,), daemon=True)
