"""A Heroku dyno: what the Procfile says, in a dyno's environment, on a disk that goes with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .live import ROOT, LiveService, wait_until
from .postgres import PostgresServer, ask, server_folder
from .signed import Plivo, Request, send

SLUG = ("wsgi.py", "gunicorn.conf.py", "schema.sql", "Procfile", "smsstatus")
BASE_URL = "https://sms.example.com"


class Dyno:
    """One with an empty disk. `log` is outside of it: a log drain keeps it."""

    def __init__(self, folder: Path, number: int, database_url: str) -> None:
        self.disk = folder / f"disk-{number}"
        self.disk.mkdir()
        for name in SLUG:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, self.disk / name)
        drain = folder / f"drain-{number}"
        drain.mkdir()
        self.service = LiveService(drain)
        self.service.folder = self.disk
        commands = (self.disk / "Procfile").read_text().splitlines()
        (web,) = [line.removeprefix("web: ") for line in commands if line.startswith("web: ")]
        self.service.command = ["bash", "-c", f"exec {web}"]
        self.service.environment = self.environment(self.service.port, database_url)
        self.log = self.service.log

    def environment(self, port: int, database_url: str) -> dict[str, str]:
        """What Heroku and its Python buildpack set, with the add-on and three config vars.

        The last option is the test's own: it serves this machine alone.
        """
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.disk),
            "DYNO": "web.1",
            "PORT": str(port),
            "WEB_CONCURRENCY": "2",
            "FORWARDED_ALLOW_IPS": "*",
            "GUNICORN_CMD_ARGS": f"--access-logfile - --bind 127.0.0.1:{port}",
            "PYTHONUNBUFFERED": "true",
            "DATABASE_URL": database_url,
            "PLIVO_AUTH_TOKEN": Plivo.token,
            "API_TOKEN": "an-api-token-0123",
            "HEROKU_APP_DEFAULT_DOMAIN_NAME": BASE_URL.removeprefix("https://"),
        }

    def start(self) -> Dyno:
        self.service.start()
        return self

    def kill(self) -> None:
        """As Heroku does with one that has not stopped, or whose host is lost: the disk too."""
        self.service.kill()
        shutil.rmtree(self.disk, ignore_errors=True)

    def run(self, *command: str) -> None:
        """`heroku run`."""
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *command],
            cwd=self.disk,
            env=self.service.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def dynos(tmp_path: Path) -> Iterator[Callable[[str], Dyno]]:
    """Makes the next dyno; all are gone at the end."""
    made: list[Dyno] = []

    def make(database_url: str) -> Dyno:
        made.append(Dyno(tmp_path, len(made), database_url))
        return made[-1]

    yield make
    for dyno in made:
        dyno.kill()


class Caller:
    """Plivo: each message's callback until it is answered 200, from several threads at once."""

    def __init__(self, count: int) -> None:
        plivo = Plivo(base_url=BASE_URL)
        self._requests = iter(
            [(uuid, plivo.post(plivo.fields("sent", uuid))) for uuid in _uuids(count)]
        )
        self._take = threading.Lock()
        self.answered: set[str] = set()
        self.missed: list[tuple[str, Request]] = []
        """Without a 200: Plivo sends them again."""

    def call(self, address: str) -> None:
        """Until there is none left, or nobody answers any more."""
        callers = [threading.Thread(target=self._call, args=(address,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(120)
            assert not caller.is_alive()

    def _call(self, address: str) -> None:
        while True:
            with self._take:
                callback = next(self._requests, None)
            if callback is None:
                return
            try:
                status = send(callback[1], address)[0]
            except OSError:
                status = 0
            if status != 200:
                self.missed.append(callback)
                return
            self.answered.add(callback[0])

    def call_again(self, address: str) -> None:
        for uuid, request in self.missed:
            assert send(request, address)[0] == 200
            self.answered.add(uuid)


def _uuids(count: int) -> list[str]:
    return [f"uuid-{number:04}" for number in range(count)]


def stored(url: str) -> set[str]:
    return {uuid for (uuid,) in ask(url, "SELECT message_uuid FROM messages")}


def test_a_dyno_that_is_killed_loses_nothing_and_the_next_finds_it(
    dynos: Callable[[str], Dyno], postgres: str
) -> None:
    first = dynos(postgres).start()
    caller = Caller(600)
    killer = threading.Thread(
        target=lambda: (wait_until(lambda: len(caller.answered) > 100), first.kill())
    )
    killer.start()
    caller.call(first.service.address)
    killer.join(120)
    assert caller.missed  # it was killed in the middle
    assert caller.answered <= stored(postgres)

    second = dynos(postgres).start()
    caller.call_again(second.service.address)
    caller.call(second.service.address)
    assert caller.answered == set(_uuids(600)) == stored(postgres)
    bearer = {"Authorization": "Bearer an-api-token-0123"}
    status, body = second.service.get("/messages/uuid-0000", bearer)
    assert (status, json.loads(body)["current_status"]) == (200, "sent")
    said = "callbacks are written to postgresql://"
    wait_until(lambda: second.log.read_text().count(said) == 2, what="both processes say it")
    assert second.service.stop(30) == 0
    log = second.log.read_text()
    assert f"it is {BASE_URL}, from HEROKU_APP_DEFAULT_DOMAIN_NAME" in log
    assert log.count(said) == 2  # WEB_CONCURRENCY
    assert '"POST /plivo/status HTTP/1.1" 200' in log  # --access-logfile -
    assert "14155550123" not in log


def test_a_dyno_that_never_sees_its_database_and_is_killed_leaves_all_in_the_log(
    dynos: Callable[[str], Dyno],
) -> None:
    with server_folder() as folder:
        server = PostgresServer(folder).initialise()
        try:
            first = dynos(server.url()).start()
            caller = Caller(20)
            caller.call(first.service.address)
            assert caller.answered == set(_uuids(20))
            first.kill()
            server.start()
            second = dynos(server.url()).start()
            second.run("replay", str(first.log))
            assert stored(server.url()) == caller.answered
        finally:
            server.stop()
