"""What runs in the background of a service begins once, whatever the host has to say to it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from dataclasses import replace

import pytest

from smsstatus.server import serving
from smsstatus.service import Service, StartError
from smsstatus.settings import Settings
from smsstatus.store.sqlite.schema import SCHEMA_VERSION

from .live import free_port

PARTS = ("drainer", "caretaker", "forwarder", "upkeep")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With everything on that is done in the background."""
    return replace(
        settings,
        forward_url=f"http://127.0.0.1:{free_port()}/",
        forward_secrets=(bytes(32),),
        retention=86_400.0 * 30,
    )


@pytest.mark.parametrize("refused", PARTS)
def test_where_a_thread_is_refused_the_next_try_starts_no_part_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    started: list[str] = []
    allowed = threading.Event()
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name == refused and not allowed.is_set():
            raise RuntimeError("can't start new thread")
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    service = Service.make(settings)
    service.prepare()
    try:
        assert not service.start()
        allowed.set()
        assert service.start()
        assert service.start()
        assert [name for name in started if name in PARTS] == list(PARTS)
    finally:
        service.stop()


def test_a_service_that_could_start_some_parts_only_stops_those(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name == "upkeep":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    before = set(threading.enumerate())
    service = Service.make(settings)
    service.prepare()
    assert not service.start()
    service.stop()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert left.isdisjoint(PARTS)


def test_a_database_that_is_away_at_the_start_is_told_of_in_one_voice(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.database_path.mkdir()
    service = Service.make(settings)
    with caplog.at_level("INFO"):
        service.prepare()
        service.start()
        service.stop()
    assert "callbacks go to the spool" in caplog.text
    name = settings.database.name
    assert f"callbacks will be written to {name} once it can be opened" in caplog.text
    assert "callbacks are written" not in caplog.text


@pytest.mark.parametrize("trouble", ["SPOOL_DIR", "DATABASE_URL"])
def test_what_stops_the_first_start_does_not_stop_a_process_that_replaces_one_that_served(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    if trouble == "SPOOL_DIR":
        settings.spool_dir.write_text("in the way")
    else:
        with contextlib.closing(sqlite3.connect(settings.database_path)) as database:
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    service = Service.make(settings)
    with pytest.raises(StartError, match=trouble):
        service.prepare()
    monkeypatch.setattr(serving, "replaces_another", True)
    service.prepare()
    assert service.start()
    service.stop()
    said = "takes no files" if trouble == "SPOOL_DIR" else f"version {SCHEMA_VERSION + 1}"
    assert said in caplog.text


def test_to_who_typed_a_command_it_says_nothing_of_callbacks(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.database_path.mkdir()
    service = Service.make(settings, for_command=True)
    service.prepare()
    service.stop()
    assert "database cannot be opened" in caplog.text
    assert "callbacks" not in caplog.text
