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

from bench.callbacks import AUTH_TOKEN, BASE_URL
from bench.paths import CACHE, REPOSITORY

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

    def prepare(self) -> None:
        """Install what the service needs. Raises Unavailable."""
        return

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """The command that serves on 127.0.0.1:`port`."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """What a reader needs to know of the software that was measured."""

    def environment(self, port: int, database: Path) -> dict[str, str]:
        """The same settings for all: each reads those that it knows."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(database.parent),
            "LANG": "C.UTF-8",
            "PORT": str(port),
            "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            "API_TOKEN": API_TOKEN,
            "BASE_URL": BASE_URL,
            "DATABASE_URL": f"sqlite:///{database}",
            "DATABASE_PATH": str(database),
            "NODE_ENV": "production",
        }


class _Gunicorn(Peer):
    """A WSGI app under the project's own gunicorn.conf.py."""

    app: str
    conf = "gunicorn.conf.py"

    def prepare(self) -> None:
        if not (REPOSITORY / "gunicorn.conf.py").exists():
            raise Unavailable("gunicorn.conf.py is not there")

    def command(self, port: int) -> list[str]:
        options = ["-c", self.conf, "--bind", f"127.0.0.1:{port}"]
        return [sys.executable, "-m", "gunicorn", *options, self.app]

    def versions(self) -> dict[str, str]:
        return _python_versions(Path(sys.executable), ("gunicorn", "flask"))


class SmsStatus(_Gunicorn):
    """The service of this repository."""

    name = "smsstatus"
    app = "wsgi:app"

    def prepare(self) -> None:
        super().prepare()
        if not (REPOSITORY / "wsgi.py").exists():
            raise Unavailable("wsgi.py is not there")


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

    def environment(self, port: int, database: Path) -> dict[str, str]:
        return super().environment(port, database) | {"SHARED_COMMIT": "1"}


class FastApi(Peer):
    """Python: FastAPI, uvicorn with uvloop and httptools, Plivo's SDK."""

    name = "fastapi"
    folder = PEERS / "fastapi"
    venv = CACHE / "venv-fastapi"

    def prepare(self) -> None:
        requirements = self.folder / "requirements.txt"
        if _is_installed(self.venv, requirements):
            return
        _say("fastapi: making its virtual environment")
        CACHE.mkdir(exist_ok=True)
        _install([sys.executable, "-m", "venv", "--clear", str(self.venv)], self.folder)
        pip = [str(self._python()), "-m", "pip", "install", "--quiet"]
        _install([*pip, "--disable-pip-version-check", "-r", str(requirements)], self.folder)
        _mark_installed(self.venv, requirements)

    def _python(self) -> Path:
        return self.venv / "bin" / "python"

    def command(self, port: int) -> list[str]:
        options = "--loop uvloop --http httptools --no-access-log --log-level warning"
        where = ["--host", "127.0.0.1", "--port", str(port), "--app-dir", str(self.folder)]
        return [str(self._python()), "-m", "uvicorn", *options.split(), *where, "service:app"]

    def versions(self) -> dict[str, str]:
        return _python_versions(self._python(), ("fastapi", "uvicorn", "uvloop", "plivo"))


ALL: dict[str, Peer] = {
    peer.name: peer for peer in (SmsStatus(), Fastify(), FastifyShared(), FastApi(), Empty())
}


LAYERS: dict[str, Peer] = {peer.name: peer for peer in (NoStore(), NoCommit())}
"""Parts of smsstatus, measured when they are named."""


def _python_versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    script = (
        "import json, platform, sqlite3; from importlib.metadata import version;"
        "print(json.dumps({'python': platform.python_version(),"
        "'sqlite': sqlite3.sqlite_version,"
        f"**{{name: version(name) for name in {packages!r}}}}}))"
    )
    return _read_versions([str(python), "-c", script], REPOSITORY)


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
