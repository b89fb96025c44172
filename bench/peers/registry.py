"""How each measured service is installed, started and asked for its versions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bench import pythons
from bench.callbacks import AUTH_TOKEN, BASE_URL
from bench.paths import CACHE, REPOSITORY
from bench.postgres import Database
from bench.pythons import Python

API_TOKEN = "bench-api-token"
PEERS = REPOSITORY / "bench" / "peers"
HOW_TO_GET_NODE = (
    "node and npm are missing: install Node 20 or newer (`apt-get install nodejs npm`)"
)
INSTALL_SECONDS = 900


class Unavailable(Exception):
    """This service cannot be run here. The text says why, and how to fix it."""


class Peer(ABC):
    """One service. `stores` tells whether it has a database that can be checked."""

    name: str
    stores = True
    processes = 1
    on_postgres = False

    def prepare(self) -> None:
        """Install what the service needs. Raises Unavailable."""
        return

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """The command that serves on 127.0.0.1:`port`."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """What a reader needs to know of the software that was measured."""

    def environment(self, port: int, folder: Path, database: Database) -> dict[str, str]:
        """The same settings for all: each reads those that it knows."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PORT": str(port),
            "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            "API_TOKEN": API_TOKEN,
            "BASE_URL": BASE_URL,
            "SPOOL_DIR": str(folder / "spool"),
            "NODE_ENV": "production",
            "WEB_CONCURRENCY": str(self.processes),
        } | _where(database)


class _Gunicorn(Peer):
    """A WSGI app under the project's own gunicorn.conf.py."""

    app: str
    conf = "gunicorn.conf.py"

    def __init__(self, python: Python | None = None) -> None:
        """Under this Python; by default under the one that all are measured with."""
        self._chosen = python

    @property
    def _python(self) -> Python:
        return self._chosen or pythons.to_measure_with()

    def prepare(self) -> None:
        if not (REPOSITORY / "gunicorn.conf.py").exists():
            raise Unavailable("gunicorn.conf.py is not there")
        _make_environment(self._python, self._python.environment(), REPOSITORY / "requirements.txt")

    def command(self, port: int) -> list[str]:
        options = ["-c", self.conf, "--bind", f"127.0.0.1:{port}"]
        return [str(_python_in(self._python.environment())), "-m", "gunicorn", *options, self.app]

    def versions(self) -> dict[str, str]:
        return _python_versions(self._python, self._python.environment(), ("gunicorn", "flask"))


class SmsStatus(_Gunicorn):
    """The service of this repository."""

    name = "smsstatus"
    app = "wsgi:app"

    def prepare(self) -> None:
        super().prepare()
        if not (REPOSITORY / "wsgi.py").exists():
            raise Unavailable("wsgi.py is not there")


class SmsStatusOnPostgres(SmsStatus):
    """The same with its messages in PostgreSQL, in one process or more."""

    on_postgres = True

    def __init__(self, processes: int = 1) -> None:
        super().__init__()
        self.processes = processes
        self.name = "smsstatus-pg" if processes == 1 else f"smsstatus-pg x {processes}"


class Empty(_Gunicorn):
    """The limit: what gunicorn can do when the app does nothing."""

    name = "empty"
    app = "bench.peers.empty:app"
    conf = "bench/peers/empty_gunicorn.py"
    stores = False


class NoStore(SmsStatus):
    """Where the time goes: all but the store."""

    name = "no-store"
    app = "bench.peers.no_store:app"
    stores = False


class NoCommit(SmsStatus):
    """Where the time goes: all but SQL and commit."""

    name = "no-commit"
    app = "bench.peers.no_commit:app"
    stores = False


class ForwardsNothing(SmsStatus):
    """What forwarding costs callbacks: it is on, but not for any status that comes."""

    name = "forwards-nothing"
    statuses = "read"

    def environment(self, port: int, folder: Path, database: Database) -> dict[str, str]:
        return super().environment(port, folder, database) | {
            "FORWARD_URL": "http://127.0.0.1:9/",  # where nobody listens
            "FORWARD_SECRET": f"whsec_{'A' * 32}",
            "FORWARD_STATUSES": self.statuses,
        }


class ReceiverDown(ForwardsNothing):
    """The same for every status, while the receiver is down."""

    name = "receiver-down"
    statuses = "all"


class Fastify(Peer):
    """Node: Fastify, Plivo's SDK, better-sqlite3."""

    name = "fastify"
    folder = PEERS / "fastify"

    def prepare(self) -> None:
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise Unavailable(HOW_TO_GET_NODE)
        if _is_installed(self.folder / "node_modules", self.folder / "package-lock.json"):
            return
        _say("fastify: npm ci (better-sqlite3 may have to be compiled: a minute or two)")
        _install(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], self.folder)
        _mark_installed(self.folder / "node_modules", self.folder / "package-lock.json")

    def command(self, port: int) -> list[str]:
        return ["node", str(self.folder / "server.js")]

    def versions(self) -> dict[str, str]:
        script = (
            "const v = (p) => require(p + '/package.json').version;"
            "const sql = new (require('better-sqlite3'))(':memory:');"
            "console.log(JSON.stringify({node: process.versions.node, fastify: v('fastify'),"
            "'better-sqlite3': v('better-sqlite3'), plivo: v('plivo'),"
            "sqlite: sql.prepare('select sqlite_version()').pluck().get()}))"
        )
        return _read_versions(["node", "-e", script], self.folder)


class FastifyShared(Fastify):
    """The same with what smsstatus does: callbacks that wait together share a commit."""

    name = "fastify-shared"

    def environment(self, port: int, folder: Path, database: Database) -> dict[str, str]:
        return super().environment(port, folder, database) | {"SHARED_COMMIT": "1"}


class FastifyOnPostgres(Fastify):
    """Node: Fastify, Plivo's SDK, pg."""

    name = "fastify-pg"
    on_postgres = True

    def versions(self) -> dict[str, str]:
        script = "console.log(JSON.stringify({pg: require('pg/package.json').version}))"
        return super().versions() | _read_versions(["node", "-e", script], self.folder)


class FastApi(Peer):
    """Python: FastAPI, uvicorn with uvloop and httptools, Plivo's SDK."""

    name = "fastapi"
    folder = PEERS / "fastapi"

    @property
    def _environment(self) -> Path:
        return CACHE / f"fastapi-{pythons.to_measure_with().environment().name}"

    def prepare(self) -> None:
        _make_environment(
            pythons.to_measure_with(), self._environment, self.folder / "requirements.txt"
        )

    def command(self, port: int) -> list[str]:
        options = "--loop uvloop --http httptools --no-access-log --log-level warning"
        where = ["--host", "127.0.0.1", "--port", str(port), "--app-dir", str(self.folder)]
        return [
            str(_python_in(self._environment)),
            "-m",
            "uvicorn",
            *options.split(),
            *where,
            "service:app",
        ]

    def versions(self) -> dict[str, str]:
        packages = ("fastapi", "uvicorn", "uvloop", "plivo")
        return _python_versions(pythons.to_measure_with(), self._environment, packages)


ALL: dict[str, Peer] = {
    peer.name: peer for peer in (SmsStatus(), Fastify(), FastifyShared(), FastApi(), Empty())
}


ON_POSTGRES: dict[str, Peer] = {
    peer.name: peer for peer in (SmsStatusOnPostgres(), SmsStatusOnPostgres(2), FastifyOnPostgres())
}

LAYERS: dict[str, Peer] = {
    peer.name: peer for peer in (NoStore(), NoCommit(), ForwardsNothing(), ReceiverDown())
}
"""Parts of smsstatus, and what forwarding costs it: measured when they are named."""


def under_each_python() -> dict[str, Peer]:
    """smsstatus under every Python that is here."""
    peers = [SmsStatus(python) for python in pythons.found()]
    for python, peer in zip(pythons.found(), peers, strict=True):
        peer.name = f"smsstatus on {python.minor}{'' if python.is_optimised else ' (plain)'}"
    return {peer.name: peer for peer in peers}


def _where(database: Database) -> dict[str, str]:
    if isinstance(database, Path):
        return {"DATABASE_URL": f"sqlite:///{database}", "DATABASE_PATH": str(database)}
    return {"DATABASE_URL": database.url}


def _python_versions(python: Python, venv: Path, packages: tuple[str, ...]) -> dict[str, str]:
    script = (
        "import json, sqlite3; from importlib.metadata import version;"
        "print(json.dumps({'sqlite': sqlite3.sqlite_version,"
        f"**{{name: version(name) for name in {packages!r}}}}}))"
    )
    found = _read_versions([str(_python_in(venv)), "-c", script], REPOSITORY)
    return {"python": python.words()} | found


def _make_environment(python: Python, venv: Path, requirements: Path) -> None:
    """A virtual environment with these requirements in it. Raises Unavailable."""
    if _is_installed(venv, requirements):
        return
    _say(f"{venv.name}: making a virtual environment")
    CACHE.mkdir(exist_ok=True)
    _install([str(python.path), "-m", "venv", "--clear", str(venv)], REPOSITORY)
    pip = [str(_python_in(venv)), "-m", "pip", "install", "--quiet"]
    _install([*pip, "--disable-pip-version-check", "-r", str(requirements)], REPOSITORY)
    _mark_installed(venv, requirements)


def _python_in(venv: Path) -> Path:
    return venv / "bin" / "python"


def _read_versions(command: list[str], folder: Path) -> dict[str, str]:
    output = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    versions: dict[str, str] = json.loads(output)
    return versions


def _install(command: list[str], folder: Path) -> None:
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
        raise Unavailable(f"`{' '.join(command[:4])} ...` failed: {lines[-1]}")


def _fingerprint(pinned: Path) -> str:
    """A digest of what is to be installed, and of the node and python it was built with."""
    tools = f"{shutil.which('node')} {sys.version}"
    return hashlib.sha256(pinned.read_bytes() + tools.encode()).hexdigest()


def _is_installed(folder: Path, pinned: Path) -> bool:
    marker = folder / ".bench-installed"
    return marker.exists() and marker.read_text() == _fingerprint(pinned)


def _mark_installed(folder: Path, pinned: Path) -> None:
    (folder / ".bench-installed").write_text(_fingerprint(pinned))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
