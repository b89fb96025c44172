"""What the commands' tests share: `flask --app wsgi ...` in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from smsstatus.settings import Settings

from ..live import ROOT, LiveService, environment
from ..plivo_api import AUTH_ID, PlivoApi
from ..postgres import new_database

SENDER = "+14155550100"

Run = Callable[..., Result]


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(settings, auth_id=AUTH_ID, sender=SENDER, plivo_api_url=standin.url)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of a table is one line; nobody chose whether there are colours."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a command of the application; what is not one line for the person is raised."""

    def invoke(*arguments: object, **more: Any) -> Result:
        runner = app.test_cli_runner()
        words = [str(argument) for argument in arguments]
        return runner.invoke(args=words, catch_exceptions=False, **more)

    return invoke


@pytest.fixture(
    params=[("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite")], ids="-".join
)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where to copy from and where to; both are empty."""
    if "postgres" not in request.param:
        yield f"sqlite:///{tmp_path / 'one.db'}", f"sqlite:///{tmp_path / 'other.db'}"
        return
    with new_database(request.getfixturevalue("postgres_server_url")) as url:
        file = f"sqlite:///{tmp_path / 'sms.db'}"
        yield (file, url) if request.param[0] == "sqlite" else (url, file)


def refused(result: Result, status: int = 1) -> str:
    """The one line with which a command refused."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]


def started_beside(service: LiveService, *arguments: str) -> subprocess.Popen[str]:
    """Start a command as somebody would in a shell on the host of a running service."""
    return subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=environment(service.database.parent, service.plivo.base_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_beside(service: LiveService, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with started_beside(service, *arguments) as process:
        said, complained = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
