"""`flask --app wsgi simulate` plays Plivo and notices a service that answers wrongly."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flask import Flask

from smsstatus.model import SIMULATED, timestamp
from smsstatus.plivo.simulated_day import day

from ..live import ROOT, LiveService, environment, free_port, live_service
from ..serving import serving
from ..terminals import shown_on_a_terminal

NOW = datetime(2026, 11, 27, tzinfo=UTC)
COMMAND = [sys.executable, "-m", "flask", "--app", "wsgi", "simulate"]


def simulate(
    folder: Path, base_url: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run it as from another machine: with a database of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(folder, base_url, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    (tmp_path / "service").mkdir()
    with live_service(tmp_path / "service") as service:
        yield service


def ask(service: LiveService, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(service.database)) as connection:
        return connection.execute(sql).fetchall()


def test_it_plays_a_few_lives_and_every_answer_is_the_expected_one(
    tmp_path: Path, service: LiveService
) -> None:
    done = simulate(tmp_path, service.address)
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines, last = done.stdout.splitlines()
    assert head.split() == ["message", "status", "error", "note", "answer", "expected", "ms"]
    assert last == f"All {len(lines)} answers from {service.address} were as expected."
    for wanted in (r"the same again +200", r"after 'delivered' +200", r"forged +403 +403"):
        assert re.search(wanted, done.stdout)

    messages = "SELECT current_status, error_code FROM messages ORDER BY id"
    assert ask(service, messages) == [("delivered", None), ("undelivered", "30"), ("failed", "450")]
    assert ask(service, "SELECT sum(repeats) FROM status_events") == [(1,)]
    assert ask(service, "SELECT count(*) FROM status_events") == [(8,)]
    marked = "SELECT query, count(*) FROM message_references GROUP BY query"
    assert ask(service, marked) == [(SIMULATED, 3)]  # so that `--forget` finds them


def test_doing_it_again_makes_new_messages(tmp_path: Path, service: LiveService) -> None:
    for _ in range(2):
        assert simulate(tmp_path, service.address).returncode == 0
    assert ask(service, "SELECT count(*) FROM messages") == [(6,)]


def test_another_address_and_count_can_be_given(tmp_path: Path, service: LiveService) -> None:
    done = simulate(
        tmp_path, "https://sms.example.com", "--url", f"{service.address}/", "--count", "30"
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) < 20
    assert "\r" not in done.stdout
    assert ask(service, "SELECT count(*) FROM messages") == [(30,)]


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "localhost:8000",
        "sms.example.com",
        "//127.0.0.1:8000",
        "http://",
        "ftp://127.0.0.1",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http:127.0.0.1",
    ],
)
def test_an_address_without_scheme_or_host_is_refused_with_what_to_write(
    app: Flask, url: str
) -> None:
    refused = app.test_cli_runner().invoke(args=["simulate", "--url", url], catch_exceptions=False)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: --url {url}: write http://")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    refused = simulate(tmp_path, "http://127.0.0.1:1", "--count", count)
    assert refused.returncode == 2
    assert "--count" in refused.stderr


def test_many_messages_get_a_progress_bar_on_a_terminal(
    tmp_path: Path, service: LiveService
) -> None:
    env = environment(tmp_path, service.address, TERM="xterm")
    shown = shown_on_a_terminal([*COMMAND, "--count", "30"], env)
    assert "callbacks  [" in shown
    assert "100%" in shown


@pytest.mark.parametrize(
    "different", [{"PLIVO_AUTH_TOKEN": "another"}, {"base_url": "http://localhost"}]
)
def test_another_token_or_address_than_the_services_is_noticed(
    tmp_path: Path, service: LiveService, different: dict[str, str]
) -> None:
    address = service.address
    if base_url := different.get("base_url"):
        address, different = f"{base_url}:{service.port}", {}
    done = simulate(tmp_path, address, **different)
    assert done.returncode == 1
    assert "answers from" in done.stderr
    assert "BASE_URL or PLIVO_AUTH_TOKEN differ" in done.stderr
    assert ask(service, "SELECT count(*) FROM messages") == [(0,)]


def test_a_refusal_of_another_address_than_base_url_names_both(
    tmp_path: Path, service: LiveService
) -> None:
    url = f"http://localhost:{service.port}"
    done = simulate(tmp_path, service.address, "--url", url)
    assert done.returncode == 1
    assert f"were signed for --url {url}, but BASE_URL here is {service.address}: " in done.stderr
    assert "leave --url out" in done.stderr


def test_another_program_or_path_prefix_is_said_where_it_answers_404(
    tmp_path: Path, service: LiveService
) -> None:
    done = simulate(tmp_path, f"{service.address}/prefix")
    assert done.returncode == 1
    assert "404: another program answers there, or the path prefix of BASE_URL" in done.stderr
    assert "403 for" not in done.stderr


class Credulous(BaseHTTPRequestHandler):
    """A service that checks nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def test_a_service_that_takes_the_forgery_is_noticed(tmp_path: Path) -> None:
    with serving(Credulous) as port:
        done = simulate(tmp_path, f"http://127.0.0.1:{port}")
    assert done.returncode == 1
    assert "1 of" in done.stderr


def test_nobody_there_is_one_line_that_says_what_to_look_at(tmp_path: Path) -> None:
    done = simulate(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "is the service running there" in done.stderr
    assert done.stderr.count("\n") == 1


class JustNow(Random):
    """As near to now as a message can be sent."""

    def random(self) -> float:
        return 0.0

    def lognormvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        return 1.0


def test_each_message_of_a_day_has_a_callback_however_late_it_was_sent() -> None:
    received_at = [callback.received_at for callback in day(NOW, 3, JustNow())]
    assert received_at == [timestamp(NOW)] * 3
