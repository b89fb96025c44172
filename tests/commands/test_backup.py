"""`backup PATH`: a consistent copy while callbacks come, or nothing at all."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from smsstatus.settings import Settings
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..conftest import Receive
from ..live import LiveService, live_service, wait_until
from ..signed import send
from .conftest import Run, files_of, refused, run_beside


def counts(path: Path) -> tuple[int, int]:
    """Messages and events of a database that SQLite finds whole, also while it is written."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sql = "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM status_events)"
        messages, events = connection.execute(sql).fetchall()[0]
        return messages, events


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    (tmp_path / "service").mkdir()
    with live_service(tmp_path / "service") as service:
        yield service


def test_a_copy_made_under_load_is_consistent(service: LiveService, tmp_path: Path) -> None:
    """It is of one moment while the command ran, with nothing half written."""
    answers: list[int] = []
    enough = threading.Event()

    def keep_calling() -> None:
        while not enough.is_set():
            plivo = service.plivo
            answers.append(send(plivo.post(plivo.fields("sent")), service.address)[0])

    threads = [threading.Thread(target=keep_calling) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(answers) > 50)
        for number in range(2):
            copy = tmp_path / f"copy-{number}.db"
            before, _ = counts(service.database)
            done = run_beside(service, "backup", str(copy))
            after, _ = counts(service.database)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == f"{copy}: {copy.stat().st_size:,} bytes\n"
            messages, events = counts(copy)
            assert before <= messages == events <= after
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {200}
    everything = (len(answers), len(answers))
    wait_until(lambda: counts(service.database) == everything)  # one may wait in the spool


def test_a_copy_is_one_file_that_the_service_can_start_from(
    run: Run, receive: Receive, tmp_path: Path
) -> None:
    message_uuid = receive("sent")
    (tmp_path / "copies").mkdir()
    copy = tmp_path / "copies" / "sms.db"
    assert run("backup", copy).exit_code == 0
    assert files_of(tmp_path / "copies") == {"sms.db"}
    store = SqliteStore(copy)
    store.prepare()
    assert store.find(message_uuid) is not None


def test_nothing_is_overwritten(run: Run, receive: Receive, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    before = files_of(tmp_path)
    assert "exists already" in refused(run("backup", target))
    assert target.read_text() == "precious"
    assert files_of(tmp_path) - {"sms.db.backup-lock"} == before


def test_a_link_that_leads_nowhere_is_not_overwritten_either(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "link"
    target.symlink_to(tmp_path / "nowhere")
    refused(run("backup", target))
    assert target.is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_does_not_exist_is_one_line(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "none" / "copy.db"
    said = refused(run("backup", target))
    assert said.endswith(f"no backup made: {target}: No such file or directory\n")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", ["gone", "garbage", "a folder"])
def test_a_database_that_cannot_be_read_leaves_nothing(
    run: Run, settings: Settings, tmp_path: Path, damage: str
) -> None:
    settings.database_path.unlink()
    if damage == "garbage":
        settings.database_path.write_bytes(b"no database" * 1000)
    elif damage == "a folder":
        settings.database_path.mkdir()
    (tmp_path / "copies").mkdir()
    assert "no backup made" in refused(run("backup", tmp_path / "copies" / "copy.db"))
    assert files_of(tmp_path / "copies") == set()


def test_nothing_is_copied_while_another_backup_is_at_work(
    app: Flask, run: Run, tmp_path: Path
) -> None:
    """The service's own, for instance."""
    with service_of(app).store.hold("backup"):
        done = run("backup", tmp_path / "copy.db")
        assert done.exit_code == 3
        assert done.stdout == "another backup is at work, so nothing was copied.\n"
        assert not (tmp_path / "copy.db").exists()
    assert run("backup", tmp_path / "copy.db").exit_code == 0


def test_a_disk_that_takes_no_lock_can_still_be_copied(
    run: Run, settings: Settings, receive: Receive, tmp_path: Path
) -> None:
    receive("sent")
    settings.database_path.with_name(f"{settings.database_path.name}.backup-lock").mkdir()
    assert run("backup", tmp_path / "copy.db").exit_code == 0
    assert counts(tmp_path / "copy.db") == (1, 1)


def test_it_ends_while_somebody_writes_without_a_pause(
    settings: Settings, writable: sqlite3.Connection, tmp_path: Path
) -> None:
    """Each commit would make SQLite begin again with a copy of several steps."""
    writable.execute("PRAGMA synchronous = OFF")
    writable.executescript("CREATE TABLE filler (content BLOB); CREATE TABLE counted (number);")
    writable.execute("INSERT INTO counted VALUES (0)")
    filling = "INSERT INTO filler VALUES (randomblob(1048576))"
    writable.executemany(filling, [()] * 16)  # of 1 MB

    store, copy = SqliteStore(settings.database_path), tmp_path / "copy.db"
    backup = threading.Thread(target=store.backup, args=(copy,), daemon=True)

    def has_ended() -> bool:
        for _ in range(100):
            writable.execute("UPDATE counted SET number = number + 1")
        return not backup.is_alive()

    backup.start()
    wait_until(has_ended, what="the backup has ended")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM filler").fetchall() == [(16,)]
