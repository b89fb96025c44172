"""From a clean clone: `make run` installs and serves, `make simulate` proves it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .live import ROOT, free_port, wait_until

pytestmark = pytest.mark.timeout(600)  # a slow line to the package index


def copy_of_the_project(folder: Path) -> Path:
    """What a clone would hold, also what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def shell() -> dict[str, str]:
    """The developer's environment, without what this service or an outer make would read.

    An index that fails for a minute is asked again.
    """
    ours = re.compile(
        r"PLIVO_|BASE_URL|API_TOKEN|DATABASE_URL|SPOOL_DIR|ACCEPT_V2|UI$|LOG_LEVEL|PORT$"
        r"|WEB_CONCURRENCY|GUNICORN_|FLASK_|PYTHON_DOTENV|MAKE|MFLAGS|VIRTUAL_ENV|PYTHONPATH"
    )
    theirs = {name: value for name, value in os.environ.items() if not ours.match(name)}
    return {"PIP_RETRIES": "8", **theirs}


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=shell(), capture_output=True, text=True, timeout=120
    )


class Clone:
    """A clean clone in which `make run` was said with an old Python, and then with this one.

    The try with the old one has left a virtual environment, as makefiles of earlier versions did.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = copy_of_the_project(folder)
        for old in (folder / "old-python", folder / ".venv/bin/python"):
            old.parent.mkdir(parents=True, exist_ok=True)
            old.write_text("#!/bin/sh\nexit 1  # as for sys.exit(sys.version_info < (3, 11))\n")
            old.chmod(0o755)
        self.refused = [make(folder, goal, "PYTHON=./old-python") for goal in ("run", "test")]
        self.port = free_port()
        self.log = folder / "make.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["make", "run", f"PORT={self.port}"],
                cwd=folder,
                env=shell(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/healthz", timeout=10
            ) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone(tmp_path_factory.mktemp("clone"))
    try:
        wait_until(clone.answers, 500, "make run serves")
        yield clone
    finally:
        os.killpg(clone.process.pid, signal.SIGKILL)
        clone.process.wait(10)


def test_make_run_serves_and_says_what_to_do_next(clone: Clone) -> None:
    """And nothing else. The last two lines come once it listens."""
    assert clone.answers()
    wait_until(lambda: "Next, " in clone.log.read_text())
    said = clone.log.read_text().splitlines()
    said = [line for line in said if not line.startswith("WARNING: ")]  # pip's, of its own settings
    setting_up, made, stored, page, further = said[:5]
    assert setting_up == "Setting up .venv, once: a minute."
    assert made.startswith("Made .env with random local tokens.")
    assert stored.endswith(f"callbacks are written to {clone.folder / 'smsstatus.db'}")
    address = f"http://127.0.0.1:{clone.port}/"
    assert page == f"The page: {address} (any user name; the password is API_TOKEN in .env)"
    simulate = f"make simulate PORT={clone.port}"
    assert further == f"Next, in another terminal: {simulate}. Ctrl-C stops this one."


@pytest.mark.parametrize("port_given", [True, False])
def test_make_run_says_in_one_line_that_the_port_is_taken(clone: Clone, port_given: bool) -> None:
    """Without one it is the one for which the first run made .env."""
    refused = make(clone.folder, "run", *([f"PORT={clone.port}"] if port_given else []))
    assert refused.returncode != 0
    (line,) = (refused.stdout + refused.stderr).splitlines()
    assert f"port {clone.port} is taken: " in line
    assert "example: make run PORT=8010" in line


def test_what_make_run_and_the_service_make_is_their_owners_alone(clone: Clone) -> None:
    made = [
        path for path in clone.folder.iterdir() if path.name.startswith((".env", "smsstatus.db"))
    ]
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in made if path.name != ".env.example"
    }
    assert {".env", "smsstatus.db", "smsstatus.db-wal", "smsstatus.db-spool"} <= set(modes)
    for name, mode in modes.items():
        assert mode == (0o700 if name == "smsstatus.db-spool" else 0o600), name


def test_an_old_python_is_refused_in_one_line_and_a_newer_one_then_works(clone: Clone) -> None:
    for refused in clone.refused:
        assert refused.returncode != 0
        (line,) = (refused.stdout + refused.stderr).splitlines()
        assert "Python 3.11 or newer" in line
        assert "./old-python is not" in line
    assert clone.answers()


def test_a_python_that_cannot_install_into_a_venv_is_refused_with_the_package_to_install(
    tmp_path: Path,
) -> None:
    """As on Debian without python3-venv: venv is there, ensurepip is not."""
    folder = copy_of_the_project(tmp_path / "clone")
    bare = folder / "bare-python"
    bare.write_text(
        f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    bare.chmod(0o755)
    refused = make(folder, ".venv/runtime", "PYTHON=./bare-python")
    assert refused.returncode != 0
    assert "apt-get install python3-venv" in refused.stderr
    assert not (folder / ".venv").exists()


def test_make_run_made_an_env_that_only_its_owner_can_read(clone: Clone) -> None:
    env = clone.folder / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", env.read_text(), re.MULTILINE))
    assert settings["BASE_URL"] == f"http://127.0.0.1:${{PORT:-{clone.port}}}"
    assert len(settings["PLIVO_AUTH_TOKEN"]) >= 32
    assert len(settings["API_TOKEN"]) >= 32
    assert settings["API_TOKEN"] != settings["PLIVO_AUTH_TOKEN"]


@pytest.mark.parametrize("port_given", [True, False])
def test_make_simulate_succeeds_and_the_rows_are_there(clone: Clone, port_given: bool) -> None:
    before = statuses(clone.folder)
    done = make(clone.folder, "simulate", *([f"PORT={clone.port}"] if port_given else []))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(statuses(clone.folder)[len(before) :]) == ["delivered", "failed", "undelivered"]


def statuses(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "smsstatus.db")) as connection:
        rows = connection.execute("SELECT current_status FROM messages ORDER BY id").fetchall()
    return [status for (status,) in rows]


def test_an_existing_env_is_never_touched(clone: Clone) -> None:
    env = clone.folder / ".env"
    before = env.read_bytes(), env.stat().st_mtime_ns
    assert make(clone.folder, ".env").returncode == 0
    refused = make_env(clone.folder)
    assert refused.returncode != 0
    assert (env.read_bytes(), env.stat().st_mtime_ns) == before


def test_a_command_says_in_one_line_that_env_is_not_utf_8(clone: Clone, tmp_path: Path) -> None:
    for name in ("smsstatus", "schema.sql", "wsgi.py"):
        (tmp_path / name).symlink_to(clone.folder / name)
    (tmp_path / ".env").write_text("API_TOKEN=as-powershell-writes-it\n", encoding="utf-16")
    done = subprocess.run(
        [clone.folder / ".venv/bin/flask", "--app", "wsgi", "doctor"],
        cwd=tmp_path,
        env=shell(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert re.fullmatch(r"smsstatus cannot start: \S+/\.env is not UTF-8, .*\n", done.stderr)


def make_env(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/make_env.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_new_env_has_tokens_of_its_own(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / ".env.example", tmp_path / name)
        assert make_env(tmp_path / name).returncode == 0
        texts.append((tmp_path / name / ".env").read_text())
    assert "BASE_URL=http://127.0.0.1:${PORT:-8000}\n" in texts[0]
    for variable in ("PLIVO_AUTH_TOKEN", "API_TOKEN"):
        tokens = [re.findall(rf"^{variable}=(.+)$", text, re.MULTILINE) for text in texts]
        assert tokens[0] != tokens[1]
        assert all(len(found) == 1 for found in tokens)


def test_make_help_lists_every_target_and_is_the_default() -> None:
    listed = make(ROOT, "help")
    assert listed.returncode == 0
    assert make(ROOT).stdout == listed.stdout
    phony = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert set(shown) == set(phony)
    assert {"run", "test", "simulate", "help"} <= set(shown)


def test_make_faults_has_all_tests_that_do_more_in_full() -> None:
    (command,) = re.findall(r"pytest (tests/.*?) --", (ROOT / "Makefile").read_text(), re.DOTALL)
    paths = [ROOT / path for path in command.split() if path != "\\"]
    left_out = [
        test
        for test in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"getoption\(.--fault-rounds", test.read_text())
        and not any(path == test or path in test.parents for path in paths)
    ]
    assert left_out == []


def test_what_audits_is_pinned_with_hashes_too() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    locked = (ROOT / "requirements-audit.txt").read_text()
    assert all(f"{tool} \\\n    --hash=sha256:" in locked for tool in groups["audit"])


def test_ci_calls_make_test() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "make test"
