"""What scripts and other shells count on: --json, exit statuses, colours, progress bars."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from flask.cli import ScriptInfo

from smsstatus import load_app
from smsstatus.commands import NAMES
from smsstatus.commands.terminal import complain, progress
from smsstatus.model import utc_now
from smsstatus.plivo.callback import Callback
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Receive
from ..live import ROOT, free_port
from ..plivo_api import PlivoApi
from ..signed import Plivo
from .conftest import Run


@pytest.fixture
def plivo() -> Plivo:
    """The service's address is one where nobody is, and so is the receiver's."""
    return Plivo(base_url=f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    nobody = f"http://127.0.0.1:{free_port()}/"
    return replace(settings, forward_url=nobody, forward_secrets=(b"key",))


def commands_of(app: Flask) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(app.cli)
    for name in NAMES:
        found = app.cli.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in found.commands.items())
        else:
            yield name, found


def test_every_command_but_the_service_itself_takes_json(app: Flask) -> None:
    without = [
        name
        for name, command in commands_of(app)
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert without == ["serve"]


ANSWERS: dict[str, dict[str, Any] | list[str]] = {
    "init-db": {"database": str, "ready": bool},
    "init-db --release": {"database": str, "ready": bool},
    "messages": ["message_uuid", "current_status"],
    "messages a-uuid": {"message_uuid": str, "events": list},
    "stats": {"total": int, "counts": dict},
    "upkeep": {"up_at": None, "tasks": list, "outages": list},
    "backup copy.db": {"path": str, "bytes": int},
    "copy --from sqlite:///sms.db --to sqlite:///other.db": {"messages": int, "same": bool},
    "prune --older-than 90d --dry-run": {"would_be_removed": int},
    "prune --older-than 90d": {"removed": int},
    "reconcile --dry-run": {"would_be_asked_about": list, "would_be_listed": list},
    "reconcile": {"asked": int, "changed": int, "left": int, "listed": int, "stopped": str},
    "replay": {"applied": int, "known": int, "unreadable": int, "refused": int, "stuck": int},
    "send +14155550123 Hello": {"message_uuid": str},
    "simulate --forget": {"removed": int},
    "forward secret": {"secret": str},
    "forward status": {"waiting": int, "dead": int, "paused_at": None, "given_up": list},
    "forward retry --all": {"changes": int},
    "forward skip --all": {"changes": int},
    "forward pause": {"paused": bool},
    "forward resume": {"paused": bool},
}
"""Some of what is in the answer, or in each of a list, and its type; None: null."""


@pytest.mark.parametrize("line", ANSWERS)
def test_json_is_one_document(
    run: Run, receive: Receive, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    receive("sent", "a-uuid")
    result = run(*line.split(), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    expected = ANSWERS[line]
    if isinstance(expected, list):
        (answer,) = answer
        assert answer.keys() >= set(expected)
    else:
        found = {name: answer[name] for name in expected}
        types = {name: None if value is None else type(value) for name, value in found.items()}
        assert types == expected


def test_the_doctors_findings_are_json_too(run: Run, standin: PlivoApi) -> None:
    result = run("doctor", "--json")
    found = {check["name"]: check for check in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert found["public road"]["level"] == "FAIL"
    assert found["database"]["level"] == "ok"
    assert found["database"]["text"]


def test_an_error_is_a_line_for_a_person_with_json_too(run: Run) -> None:
    result = run("messages", "nobody", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no such message\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("stats", 0),
        ("messages nobody", 1),
        ("messages --since tomorrow", 2),
        ("prune --older-than 1d", 3),
        ("reconcile", 3),
    ],
)
def test_exit_statuses_are_those_of_the_documents_table(app: Flask, line: str, status: int) -> None:
    store = service_of(app).store
    with store.hold(line.split()[0]):
        assert app.test_cli_runner().invoke(args=line.split()).exit_code == status
    documented = re.findall(r"^\| ([0-9]) \|", (ROOT / "docs/commands.md").read_text(), re.M)
    assert documented == ["0", "1", "2", "3", "4"]


def test_a_wrong_setting_is_exit_status_4(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASE_URL", "nonsense")
    with pytest.raises(SystemExit) as ended:
        load_app()
    assert ended.value.code == 4


@pytest.mark.parametrize("said", ["", "1"])
def test_colours_are_left_out_where_they_are_not_wanted(
    run: Run, receive: Receive, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", said)
    receive("failed")
    for line in ("doctor", "messages"):
        assert ("\x1b[" in run(line, color=True).stdout) == (said == "")


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("backup copy.db", "percent"),
        ("copy --from sqlite:///sms.db --to sqlite:///other.db", "copying"),
        ("prune --older-than 1s --force", "messages"),
        ("reconcile --older-than 1s", "messages"),
        ("replay", "files"),
        ("replay service.log", "bytes"),
    ],
)
def test_long_work_has_a_progress_bar_where_somebody_looks(
    app: Flask,
    clock: HandClock,
    receive: Receive,
    tmp_path: Path,
    line: str,
    label: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the output nothing is lost: it may go to a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service.log").write_text("nothing of note\n" * 3000)
    receive("sent", "a-uuid")
    clock.sleep(60)
    spooled = Callback("POST", "", "Status=sent&MessageUUID=b", "2026-11-01T12:00:00.000000Z")
    service_of(app).spool.keep(spooled, "a reason")
    service_of(app).store.outbox.skip(utc_now())  # else it is kept until it is handed on
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    script = ScriptInfo(create_app=lambda: app)
    with suppress(SystemExit):  # what is asked about is unknown to Plivo
        app.cli.main(line.split(), obj=script, standalone_mode=False)
    assert re.search(rf"{label}  \[.*100%", shown.getvalue())
    assert "[" not in capsys.readouterr().out


def test_what_is_wrong_is_a_line_of_its_own_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    with progress("files", 2) as advance:
        advance(1)
        complain("this one is damaged")
        advance(1)
    lines = [line.rsplit("\r", 1)[-1] for line in shown.getvalue().split("\n")]
    assert lines[0] == "\x1b[Kthis one is damaged"
