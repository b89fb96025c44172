"""Whatever serves the application, a 200 is true and what is in the spool is applied.

What only the project's own gunicorn worker can do, deadlines, is said to be missing elsewhere.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smsstatus.server.serving import Server

from ..commands.conftest import run_beside
from ..faults.load import Load
from ..faults.locks import holding_the_database
from ..faults.raw import connect
from ..faults.reconcile import gather, integrity, logged_callbacks, missing, spooled_bodies
from ..live import API_TOKEN, ROOT, LiveService, wait_until
from ..signed import send

NO_DEADLINES = "keeps no deadlines"
SEVERAL = "several processes serve"

Start = Callable[..., LiveService]


def launch(how: str, folder: Path, **variables: str) -> LiveService:
    """Start the service by a command of its own, from a folder of its own; see COMMANDS."""
    service = LiveService(folder, **variables)
    service.command, service.folder = COMMANDS[how](service, folder)
    try:
        service.start(wait=False)
        wait_until(lambda: listens(service), 60, f"it listens, log: {service.log}")
    except BaseException:
        service.kill()
        raise
    return service


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start it for this test alone."""
    started: list[LiveService] = []

    def run(how: str, **variables: str) -> LiveService:
        started.append(launch(how, tmp_path, **variables))
        return started[-1]

    yield run
    for service in started:
        service.kill()


def listens(service: LiveService) -> bool:
    """Unlike a first request this starts nothing in the application."""
    assert service.process is not None
    assert service.process.poll() is None, service.log.read_text()
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", service.port)) == 0


def other_configuration(service: LiveService, folder: Path) -> tuple[list[str], Path]:
    (folder / "other.py").write_text("worker_class = 'gthread'\nthreads = 4\nworkers = 2\n")
    return [*service.gunicorn, "-c", str(folder / "other.py"), "wsgi:app"], ROOT


def waitress(service: LiveService, folder: Path) -> tuple[list[str], Path]:
    listen = f"--listen=127.0.0.1:{service.port}"
    return [sys.executable, "-m", "waitress", listen, "wsgi:app"], ROOT


def flask_run(service: LiveService, folder: Path) -> tuple[list[str], Path]:
    run = ["run", "--port", str(service.port)]
    return [sys.executable, "-m", "flask", "--app", "wsgi", *run], ROOT


def gunicorn(*options: str) -> Callable[[LiveService, Path], tuple[list[str], Path]]:
    return lambda service, folder: ([*service.gunicorn, *options, "wsgi:app"], ROOT)


COMMANDS: dict[str, Callable[[LiveService, Path], tuple[list[str], Path]]] = {
    "gunicorn": gunicorn(),
    "gunicorn -k sync --threads 1": gunicorn("-k", "sync", "--threads", "1"),
    "gunicorn -k gthread": gunicorn("-k", "gthread"),
    "gunicorn --preload": gunicorn("--preload"),
    "gunicorn --workers 4": gunicorn("--workers", "4"),
    "gunicorn -c other.py": other_configuration,
    "gunicorn --chdir": lambda service, folder: (
        [*service.gunicorn, "--chdir", str(ROOT), "wsgi:app"],
        folder,
    ),
    "gunicorn --chdir --preload --workers 2": lambda service, folder: (
        [*service.gunicorn, "--chdir", str(ROOT), "--preload", "--workers", "2", "wsgi:app"],
        folder,
    ),
    "flask run": flask_run,
    "waitress": waitress,
}
KEEPS_DEADLINES = {"gunicorn", "gunicorn --preload", "gunicorn --workers 4"}
HAS_SEVERAL = {
    "gunicorn --workers 4",
    "gunicorn -c other.py",
    "gunicorn --chdir --preload --workers 2",
}


@pytest.fixture(scope="module", params=COMMANDS)
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(how: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One for those tests that leave it as it was; its first request is one that it cannot read."""
    folder = tmp_path_factory.mktemp("served")
    service = launch(how, folder, GUNICORN_CMD_ARGS="--access-logfile -")
    try:
        with connect(service.port) as client:
            client.sendall(b"GET /plivo/status?To=+1415 5550123&Token=sekret\r\n\r\n")
            assert client.recv(1)
        yield service
    finally:
        service.kill()


def knows(service: LiveService, message_uuid: str) -> bool:
    token = {"Authorization": f"Bearer {API_TOKEN}"}
    return service.get(f"/messages/{message_uuid}", token)[0] == 200


def test_what_was_spooled_while_the_database_was_locked_is_applied_under_any_server(
    served: LiveService,
) -> None:
    message_uuid = str(uuid.uuid4())
    callback = served.plivo.post(served.plivo.fields("delivered", message_uuid))
    wait_until(served.database.exists, 30, "the application is loaded")
    with holding_the_database(served.database, "BEGIN EXCLUSIVE"):
        assert send(callback, served.address) == (200, b"")
        assert spooled_bodies(served.spool) or logged_callbacks(served)
    gather(served)
    assert knows(served, message_uuid)


def test_what_is_missing_under_a_server_is_said_by_the_log_and_by_readyz(
    served: LiveService, how: str
) -> None:
    wait_until(lambda: served.get("/readyz")[0] == 200, 60, "it is ready")
    server = Server(**json.loads(served.get("/readyz")[1])["server"])
    assert (server.deadlines, server.several) == (how in KEEPS_DEADLINES, how in HAS_SEVERAL)
    log = served.log.read_text()
    assert (NO_DEADLINES in log) == (how not in KEEPS_DEADLINES)
    assert (SEVERAL in log) == (how in HAS_SEVERAL)


def test_no_server_logs_the_numbers_and_tokens_of_a_request(served: LiveService, how: str) -> None:
    """Neither of one that it cannot read, which was the very first, nor of any other."""
    query = "To=14155550123&Token=sekret"
    referer = {"Referer": f"{served.address}/?{query}"}
    assert served.get(f"/plivo/status?{query}", referer)[0] == 403
    answered = re.compile(r'GET /plivo/status[^"]*" 403 ')
    if how != "waitress":  # which has no such log
        wait_until(lambda: answered.search(served.log.read_text()), 60, "the answer is logged")
    log = served.log.read_text()
    assert "5550123" not in log
    assert "sekret" not in log


@pytest.mark.parametrize(
    "how", ["gunicorn -k sync --threads 1", "gunicorn -k gthread", "flask run", "waitress"]
)
def test_nothing_answered_200_is_lost_when_any_server_is_killed_under_load(
    start: Start, how: str
) -> None:
    service = start(how)
    with Load(service.port, service.plivo, clients=4) as load:
        wait_until(lambda: len(load.acknowledged) >= 40)
        service.kill()
    service.start()
    assert missing(load.acknowledged, service) == []
    assert integrity(service.database) == "ok"


def test_of_callbacks_that_several_processes_share_none_is_lost(start: Start) -> None:
    service = start("gunicorn --workers 4")
    uuids = [str(uuid.uuid4()) for _ in range(30)]
    for message_uuid in uuids:
        callback = service.plivo.post(service.plivo.fields("delivered", message_uuid))
        assert send(callback, service.address)[0] == 200
    assert [message_uuid for message_uuid in uuids if not knows(service, message_uuid)] == []


def test_the_projects_worker_is_known_also_without_the_projects_configuration(
    start: Start,
) -> None:
    service = start("gunicorn --chdir", GUNICORN_CMD_ARGS="-k smsstatus.server.worker.Worker")
    assert json.loads(service.get("/readyz")[1])["server"] == {
        "worker": "smsstatus.server.worker.Worker",
        "deadlines": True,
        "several": False,
    }
    assert NO_DEADLINES not in service.log.read_text()


def test_what_gunicorn_was_asked_for_is_warned_of_once_and_not_in_each_process(
    start: Start,
) -> None:
    service = start("gunicorn", GUNICORN_CMD_ARGS="--workers 4 -k gthread")
    wait_until(lambda: service.log.read_text().count("callbacks are written to") == 4, 60)
    log = service.log.read_text()
    assert (log.count(NO_DEADLINES), log.count(SEVERAL)) == (1, 1)


def test_a_worker_class_made_of_the_projects_keeps_deadlines_too(start: Start) -> None:
    service = start("gunicorn", GUNICORN_CMD_ARGS="-k tests.faults.workers.Patient")
    assert json.loads(service.get("/readyz")[1])["server"]["deadlines"] is True
    assert NO_DEADLINES not in service.log.read_text()


@pytest.mark.parametrize("how", ["gunicorn", "gunicorn -k gthread"])
def test_doctor_says_what_the_running_server_lacks(start: Start, how: str) -> None:
    service = start(how)
    done = run_beside(service, "doctor")
    (line,) = [line for line in done.stdout.splitlines() if "  server: " in line]
    assert line.startswith("ok ") == (how in KEEPS_DEADLINES)
    assert (NO_DEADLINES in line) == (how not in KEEPS_DEADLINES)


def test_a_command_starts_nothing_in_the_background(tmp_path: Path) -> None:
    service = LiveService(tmp_path)
    done = run_beside(service, "init-db")
    assert done.returncode == 0
    assert "callbacks are written to" not in done.stderr
