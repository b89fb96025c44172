"""`tail`: each change of status, as it becomes known, until Ctrl-C."""

from __future__ import annotations

import json
import select
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Deliver, Receive
from ..live import API_TOKEN, live_service, wait_until
from ..signed import Plivo, send
from .conftest import Run, refused, started_beside

Step = Callable[[], object]
Tail = Callable[..., Result]


class Steps(HandClock):
    """Does the next step whenever `tail` waits, and then presses Ctrl-C."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        super().__init__()
        self._steps = list(steps)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if not self._steps:
            raise KeyboardInterrupt
        self._steps.pop(0)()


@pytest.fixture
def tail(app: Flask, run: Run) -> Tail:
    """Run it while steps are done; what it said."""

    def follow(*steps: Step, options: tuple[str, ...] = ()) -> Result:
        service_of(app).clock = Steps(steps)
        result = run("tail", *options)
        assert result.exit_code == 0, result.output
        return result

    return follow


def test_each_change_is_a_line_as_it_becomes_known(
    tail: Tail, receive: Receive, deliver: Deliver, plivo: Plivo
) -> None:
    receive("sent", "before")
    bounced = plivo.post(plivo.fields("failed", "b", ErrorCode="30"), query="order=42")
    result = tail(
        lambda: receive("sent", "a"),
        lambda: (receive("queued", "a"), receive("sent", "a")),
        lambda: (receive("delivered", "a"), deliver(bounced)),
    )
    assert [line[10:] for line in result.stdout.splitlines()] == [
        "a  new -> sent",
        "a  sent -> delivered",
        'b  new -> failed 30 Spam detected  {"order": "42"}',
    ]
    assert result.stderr == ""


def test_only_some_statuses_can_be_followed(tail: Tail, receive: Receive) -> None:
    result = tail(
        lambda: (receive("sent", "a"), receive("delivered", "a"), receive("failed", "b")),
        options=("--status", "failed", "--status", "Delivered"),
    )
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["a", "b"]


def test_json_is_a_line_for_each_as_the_api_answers(
    tail: Tail, receive: Receive, client: FlaskClient
) -> None:
    result = tail(lambda: (receive("sent"), receive("failed")), options=("--json",))
    answer = client.get("/changes", headers={"Authorization": f"Bearer {API_TOKEN}"})
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert told == answer.get_json()["changes"]


def test_nothing_that_is_stored_can_steer_the_terminal(tail: Tail, receive: Receive) -> None:
    result = tail(lambda: receive("sent\x1b[2J", "a", ErrorCode="\x9b31m"))
    assert result.stdout.replace("\n", "").isprintable()
    assert "\\x1b[2j" in result.stdout


def test_a_database_that_is_away_for_a_while_is_waited_for(
    tail: Tail, receive: Receive, settings: Settings
) -> None:
    path = settings.database_path
    away = path.with_name("away.db")

    def comes_back() -> None:
        away.rename(path)
        receive("sent", "a")

    result = tail(lambda: path.rename(away), lambda: None, comes_back)
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["a"]
    (line,) = result.stderr.splitlines()
    assert line.startswith("The database cannot be read, waiting for it: ")


def test_a_database_that_was_replaced_is_followed_from_there_on(
    app: Flask, tail: Tail, receive: Receive, settings: Settings, tmp_path: Path
) -> None:
    store = service_of(app).store
    receive("sent", "a")
    store.backup(tmp_path / "backup.db")
    receive("sent", "b")

    def replaced() -> None:
        (tmp_path / "backup.db").rename(settings.database_path)
        store.look()

    result = tail(replaced, lambda: receive("sent", "c"))
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["c"]
    assert result.stderr == "The database was replaced; what follows is of the new one.\n"


def test_without_a_database_it_ends_in_one_line(run: Run, settings: Settings) -> None:
    settings.database_path.unlink()
    assert "database cannot be read" in refused(run("tail"))


def test_beside_the_service_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    with live_service(tmp_path) as service, started_beside(service, "tail") as process:

        def one_is_told() -> bool:
            """When it has begun to follow cannot be seen, so callbacks come until it prints one."""
            request = service.plivo.post(service.plivo.fields("sent", str(uuid.uuid4())))
            assert send(request, service.address)[0] == 200
            return bool(select.select([process.stdout], [], [], 1)[0])

        try:
            wait_until(one_is_told, 60, "a change is printed")
            process.send_signal(signal.SIGINT)
            said, complained = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "new -> sent\n" in said
    assert (process.returncode, complained) == (0, "")
