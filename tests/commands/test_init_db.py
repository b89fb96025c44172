"""`init-db`: the database, or what is missing in it."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from smsstatus.settings import Settings

from ..conftest import Query, Receive
from ..live import ROOT, environment
from .conftest import Run, command, refused


def test_it_makes_what_is_missing_and_keeps_what_is_there(
    run: Run, settings: Settings, receive: Receive, query: Query
) -> None:
    settings.database_path.unlink()
    for _ in range(2):
        done = run("init-db")
        assert done.stdout == f"{settings.database_path} is ready.\n"
        assert query("SELECT * FROM messages") == []
    receive("sent")
    run("init-db")
    assert len(query("SELECT * FROM messages")) == 1


def test_a_database_of_a_later_version_is_one_line(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "sms.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    done = subprocess.run(
        command("init-db"),
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "schema version 99" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_that_takes_no_file_is_one_line(run: Run, settings: Settings) -> None:
    settings.database_path.unlink()
    settings.database_path.mkdir()
    assert str(settings.database_path) in refused(run("init-db"))
