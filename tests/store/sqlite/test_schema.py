"""The database file: made at start, by several processes at once if need be, and versioned."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smsstatus import create_app
from smsstatus.commands.doctor import examine
from smsstatus.locking import FileLock
from smsstatus.paths import SCHEMA
from smsstatus.service import StartError
from smsstatus.settings import Settings
from smsstatus.store.contract import SchemaTooNew, StoreUnavailable
from smsstatus.store.sqlite.schema import SCHEMA_VERSION
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ...conftest import Query
from ...live import ROOT, environment
from ...signed import Plivo

TABLES = set(re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA.read_text(), re.MULTILINE))


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def flask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *arguments],
        cwd=ROOT,
        env=environment(folder, "https://sms.example.com"),
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_message_has_the_promised_columns(settings: Settings, query: Query) -> None:
    SqliteStore(settings.database_path).prepare()
    columns = [row["name"] for row in query("SELECT name FROM pragma_table_info('messages')")]
    assert columns[1:11] == [
        "message_uuid",
        "sender_number",
        "recipient_number",
        "message_body",
        "initial_status",
        "current_status",
        "status_timestamp",
        "error_code",
        "created_at",
        "updated_at",
    ]


def test_schema_sql_says_of_every_table_and_most_columns_what_they_are() -> None:
    lines = SCHEMA.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("CREATE TABLE"):
            assert lines[number - 1].startswith("-- ")
    columns = [line for line in lines if re.match(r"    [a-z]\w+ +(TEXT|INTEGER|BLOB)", line)]
    explained = [line for line in columns if " -- " in line]
    obvious = {"status", "status_timestamp", "error_code", "sequence", "rank", "is_final"}
    obvious |= {"nonce", "message_id"}
    assert len(columns) > 25
    assert {line.split()[0] for line in columns if line not in explained} <= obvious


def test_starting_again_keeps_what_is_there(settings: Settings, query: Query) -> None:
    store = SqliteStore(settings.database_path)
    store.prepare()
    ask(settings.database_path, "INSERT INTO v2_nonces VALUES ('nonce', x'00')")
    store.prepare()
    assert query("SELECT nonce FROM v2_nonces") == [{"nonce": "nonce"}]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_that_is_missing_is_made_again(settings: Settings, table: str) -> None:
    store = SqliteStore(settings.database_path)
    store.prepare()
    ask(settings.database_path, f"DROP TABLE {table}")
    store.prepare()
    names = ask(settings.database_path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in names} == TABLES


def test_every_commit_is_fsynced_and_the_file_is_in_wal_mode(settings: Settings) -> None:
    store = SqliteStore(settings.database_path)
    pragmas = store.writer.submit(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchall()[0][0]
            for name in ("synchronous", "journal_mode")
        ]
    )
    store.close()
    assert pragmas == [2, "wal"]  # 2 is FULL


def test_the_file_carries_the_schema_version(settings: Settings, query: Query) -> None:
    SqliteStore(settings.database_path).prepare()
    assert query("PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]


def test_a_file_of_version_1_is_brought_up_to_date(settings: Settings, query: Query) -> None:
    store = SqliteStore(settings.database_path)
    store.prepare()
    made = query("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")
    ask(settings.database_path, "DROP INDEX messages_by_status_and_sender")
    ask(settings.database_path, "DROP INDEX messages_by_recipient")
    for name in ("messages_by_status", "messages_waiting", "messages_by_recipient"):
        ask(settings.database_path, f"CREATE INDEX {name} ON messages (created_at)")
    ask(settings.database_path, "INSERT INTO v2_nonces VALUES ('nonce', x'00')")
    ask(settings.database_path, "PRAGMA user_version = 1")
    store.prepare()
    assert query("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name") == made
    assert query("SELECT nonce FROM v2_nonces") == [{"nonce": "nonce"}]
    assert query("PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]


def test_a_file_of_a_later_version_is_refused_and_left_as_it_is(settings: Settings) -> None:
    """Also one that has other columns."""
    path = settings.database_path
    ask(path, "CREATE TABLE messages (id INTEGER PRIMARY KEY)")
    ask(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew):
        SqliteStore(path).prepare()
    with pytest.raises(StartError, match=rf"DATABASE_URL: .* version {SCHEMA_VERSION + 1}"):
        create_app(settings)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("upkeep", "CREATE TABLE upkeep (id INTEGER PRIMARY KEY, note TEXT)"),
        ("messages", "CREATE TABLE Messages (id INTEGER PRIMARY KEY, Body TEXT)"),
        ("kinds", "CREATE VIEW kinds AS SELECT 1 AS id"),
        ("sums", "PRAGMA journal_mode = WAL; CREATE TABLE sums (total INTEGER)"),
    ],
)
def test_a_file_of_another_program_is_left_alone_and_named_and_callbacks_are_spooled(
    settings: Settings, plivo: Plivo, name: str, made: str
) -> None:
    path = settings.database_path
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(made)
    before = path.read_bytes()
    app = create_app(settings)
    service = service_of(app)
    try:
        asked = plivo.post(plivo.fields("sent"))
        answer = app.test_client().post(asked.target, headers=asked.headers, data=asked.body)
        assert (answer.status_code, len(service.spool.list_files())) == (200, 1)
        says = f"has a table {name} of another program: give smsstatus a database of its own"
        ready = app.test_client().get("/readyz")
        assert (ready.status_code, says in str(ready.get_json())) == (503, True)
        prepared = app.test_cli_runner().invoke(args=["init-db"])
        assert (prepared.exit_code, says in prepared.output) == (1, True)
        checks = {check.name: check for check in examine(service)}
        assert (checks["database"].level, says in checks["database"].text) == ("FAIL", True)
        assert path.read_bytes() == before
    finally:
        service.stop()


def test_what_another_program_that_was_killed_left_in_its_wal_stays_there(
    settings: Settings, tmp_path: Path
) -> None:
    path, wal = settings.database_path, Path(f"{settings.database_path}-wal")
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE sums (total INTEGER)")
        shutil.copy(tmp_path / "theirs.db", path)
        shutil.copy(tmp_path / "theirs.db-wal", wal)
    before = path.read_bytes(), wal.read_bytes()
    with pytest.raises(StoreUnavailable, match="has a table sums of another program"):
        SqliteStore(path).prepare()
    assert (path.read_bytes(), wal.read_bytes()) == before
    assert ask(path, "SELECT name FROM sqlite_master") == [("sums",)]


@pytest.mark.parametrize(
    "added",
    [
        "CREATE VIEW report AS SELECT * FROM exports",  # which is gone
        """PRAGMA writable_schema = ON;
           INSERT INTO sqlite_master VALUES
               ('table', 'notes', 'notes', 0, 'CREATE VIRTUAL TABLE notes USING gone (text)')""",
    ],
)
def test_a_view_or_a_table_that_somebody_added_and_nobody_can_read_is_no_trouble(
    settings: Settings, added: str
) -> None:
    path = settings.database_path
    SqliteStore(path).prepare()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(added)
    SqliteStore(path).prepare()


def test_a_probe_does_not_take_back_what_a_later_program_has_done(settings: Settings) -> None:
    store = SqliteStore(settings.database_path)
    store.probe()
    ask(settings.database_path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    store.probe()
    store.close()
    assert ask(settings.database_path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]


def test_the_program_stops_with_one_line_on_a_file_of_a_later_version(tmp_path: Path) -> None:
    ask(tmp_path / "sms.db", "PRAGMA user_version = 99")
    stopped = flask(tmp_path, "init-db")
    assert stopped.returncode == 4
    assert re.fullmatch(r"smsstatus cannot start: DATABASE_URL: .*version 99.*\n", stopped.stderr)


def test_init_db_makes_the_file_and_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        done = flask(tmp_path, "init-db")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{tmp_path / 'sms.db'} is ready.\n"
    assert ask(tmp_path / "sms.db", "PRAGMA integrity_check") == [("ok",)]
    assert ask(tmp_path / "sms.db", "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_several_processes_may_start_at_once_on_a_fresh_file(tmp_path: Path) -> None:
    program = "import sys, smsstatus; sys.stdin.readline(); smsstatus.create_app()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment(tmp_path, "https://sms.example.com"),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    complaints = [process.communicate(timeout=100)[1] for process in processes]
    assert complaints == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert ask(tmp_path / "sms.db", "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert ask(tmp_path / "sms.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_start_waits_for_the_process_that_holds_the_lock(settings: Settings) -> None:
    store = SqliteStore(settings.database_path)
    lock = FileLock(settings.database_path.with_name("sms.db.lock"))
    with lock.hold(1):
        with pytest.raises(StoreUnavailable, match=r"another process holds sms\.db\.lock"):
            store.prepare(lock_seconds=0)
        assert not settings.database_path.exists()
    store.prepare(lock_seconds=0)
    assert settings.database_path.exists()
    lock.close()


def test_a_lock_is_waited_for_until_the_other_gives_it_back(tmp_path: Path) -> None:
    one = FileLock(tmp_path / "lock")
    held = contextlib.ExitStack()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            held.close()

    other = FileLock(tmp_path / "lock", pause)
    held.enter_context(one.hold(0))
    with other.hold(60), pytest.raises(TimeoutError), one.hold(0):
        pass
    assert len(pauses) == 3
    one.close()
    other.close()


def test_the_schema_is_applied_whole_or_not_at_all(settings: Settings) -> None:
    path = settings.database_path
    ask(path, "CREATE TABLE other (a)")
    ask(path, "CREATE INDEX upgrades ON other (a)")  # in the way of the last table
    with pytest.raises(StoreUnavailable, match="upgrades"):
        SqliteStore(path).prepare()
    tables = ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert tables == [("other",)]
