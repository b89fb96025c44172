"""The installed program: it needs no checkout, and its help no setting."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from zipfile import ZipFile

import pytest

from smsstatus.commands import NAMES
from smsstatus.version import VERSION
from smsstatus.web.openapi import rendered

from .live import API_TOKEN, ROOT, LiveService, environment

HELP_OF_EACH = """
import sys
from smsstatus.__main__ import main
for name in sys.argv[1:]:
    sys.argv = ["smsstatus", name, "--help"]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, name
"""
"""In one process: a dozen would take ten seconds to start."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is built, with the backend that is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*build, "--wheel-dir", folder, ROOT], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`smsstatus` in a virtual environment of its own."""
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", folder],
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin" / "smsstatus"


def test_its_version_stands_in_one_place(wheel: Path) -> None:
    assert wheel.name.startswith(f"smsstatus-{VERSION}-")
    assert json.loads(rendered("https://sms.example.com"))["info"]["version"] == VERSION


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def variables(**more: str) -> dict[str, str]:
    """The dependencies are those of this environment, which has no smsstatus installed."""
    dependencies = sysconfig.get_path("purelib")
    return {"PATH": os.environ["PATH"], "PYTHONPATH": dependencies, **more}


def run(program: Path, folder: Path, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=variables(**more),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    package = [path for path in (ROOT / "smsstatus").rglob("*") if path.is_file()]
    listed = {str(path.relative_to(ROOT)) for path in package if path.suffix != ".pyc"}
    with closing(ZipFile(wheel)) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == {*listed, "smsstatus/schema.sql", "smsstatus/gunicorn.conf.py"}


def test_its_help_needs_no_setting(program: Path, empty: Path) -> None:
    shown = run(program, empty, "--help").split("Commands:\n")[1]
    assert [line.split()[0] for line in shown.splitlines()] == list(NAMES)
    shown = run(program.with_name("python"), empty, "-c", HELP_OF_EACH, *NAMES)
    assert re.findall(r"^Usage: smsstatus (\S+) ", shown, re.MULTILINE) == list(NAMES)
    assert list(empty.iterdir()) == []


def test_it_says_its_version_which_is_the_newest_in_the_changelog(
    program: Path, empty: Path
) -> None:
    assert run(program, empty, "--version") == f"smsstatus {VERSION}\n"
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == VERSION


COMPLETED = {
    "mess": "messages",
    "forward pa": "pause",
    "messages --sta": "--status",
    "messages --status undel": "undelivered",
}
"""What bash makes of what is typed."""


def test_bash_completes_commands_options_and_statuses(program: Path, empty: Path) -> None:
    lines = ['eval "$(_SMSSTATUS_COMPLETE=bash_source smsstatus)"', "complete -p smsstatus >&2"]
    for typed in COMPLETED:
        lines += [
            f"COMPREPLY=() COMP_WORDS=(smsstatus {typed}) COMP_CWORD={len(typed.split())}",
            '_smsstatus_completion smsstatus && echo "${COMPREPLY[@]}"',
        ]
    path = f"{program.parent}:{os.environ['PATH']}"
    shown = run(Path("bash"), empty, "-ec", "\n".join(lines), PATH=path)
    assert shown.splitlines() == list(COMPLETED.values())
    assert list(empty.iterdir()) == []


def test_without_settings_a_command_ends_with_a_line_for_each_that_is_missing(
    program: Path, empty: Path
) -> None:
    done = subprocess.run(
        [program, "init-db"], cwd=empty, env=variables(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (4, "")
    lines = done.stderr.splitlines()
    assert [line.split()[3] for line in lines] == ["PLIVO_AUTH_TOKEN", "BASE_URL"]


def test_it_reads_the_env_file_of_the_folder_where_it_is_started(
    program: Path, empty: Path
) -> None:
    (empty / ".env").write_text("PLIVO_AUTH_TOKEN=a-token\nBASE_URL=https://sms.example.com\n")
    assert run(program, empty, "init-db") == f"{empty / 'smsstatus.db'} is ready.\n"
    assert json.loads(run(program, empty, "stats", "--json"))["total"] == 0


@pytest.fixture
def served(program: Path, empty: Path) -> Iterator[LiveService]:
    service = LiveService(empty)
    service.command = [str(program), "serve", "--bind", f"127.0.0.1:{service.port}"]
    service.folder = empty
    service.environment = environment(empty, service.plivo.base_url, **variables())
    try:
        yield service.start()
    finally:
        with suppress(ProcessLookupError):
            service.kill()


def test_serve_serves_all_of_it_under_the_projects_own_worker(served: LiveService) -> None:
    token = {"Authorization": f"Bearer {API_TOKEN}"}
    status, body = served.get("/readyz")
    assert status == 200
    assert json.loads(body)["server"]["worker"] == "smsstatus.server.worker.Worker"
    for path in ("/", "/ui/send", "/ui/static/live.js", "/openapi.json", "/messages"):
        assert served.get(path, token)[0] == 200
    assert served.stop() == 0
