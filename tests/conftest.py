"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app, promise
from smsstatus.settings import Settings
from smsstatus.settings.database_url import sqlite_file
from smsstatus.store.packing import unpack
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from . import rounds, warm
from .clock import HandClock
from .first import long_first
from .live import API_TOKEN, give_ports_back
from .once import compile_once
from .plivo_api import HangingPlivo, PlivoApi, hanging_plivo, plivo_api
from .postgres import new_database, shared_server
from .processes import NoProcesses
from .signed import Plivo, Request

Deliver = Callable[[Request], TestResponse]
Query = Callable[..., list[dict[str, Any]]]
Receive = Callable[..., str]

LEFT_OPEN = 32
"""Descriptors: of what is kept on purpose, as a connection to a file that was cut."""

ENOUGH_MEMORY = 1 << 30
"""Bytes that must be free, or files stay on the disk."""

compile_once()

# Tests leave little garbage, and there is much to look through: everything that was collected.
gc.set_threshold(10_000)

# A machine may be busy: seconds are promised by services of their own, in tests/faults.
for seconds, place in enumerate(
    ("CONNECT", "STORE", "STATEMENT", "SPOOL", "LOG", "SPARE", "READ"), 60
):
    setattr(promise, f"{place}_SECONDS", float(seconds))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-rounds", choices=("few", "full"), default="few")
    parser.addoption(
        "--no-processes", action="store_true", help="skip every test that starts a process"
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs beside it so, and all that the tests start would ignore it too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    rounds.choose(config)
    if config.getoption("--no-processes"):
        config.pluginmanager.register(NoProcesses())
        in_memory(config)


def in_memory(config: pytest.Config) -> None:
    """Have temporary files in memory, where Linux has room for them, and nobody named a folder.

    No test can lose power there, so an fsync would be waited for in vain.
    """
    place = Path("/dev/shm")
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or config.option.basetemp or not place.is_dir():
        return
    if os.access(place, os.W_OK) and shutil.disk_usage(place).free >= ENOUGH_MEMORY:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(place)


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Iterator[int]:
    """Two for each core: most of the time a test waits for a process, and another one can run."""
    cores = yield
    return cores if config.getoption("--no-processes") else 2 * cores


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = long_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.fixture(scope="session", autouse=True)
def few_descriptors() -> Iterator[None]:
    """What is opened is closed: the tests of one process leave next to nothing open.

    `/proc` is Linux's; elsewhere nobody looks. What nobody refers to any more is not counted.
    """
    before = len(open_files())
    yield
    gc.collect()
    left = open_files()
    assert len(left) - before < LEFT_OPEN, sorted(left)


def open_files() -> list[str]:
    """What each descriptor of this process is of."""
    found = []
    for path in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # it is closed by now
            found.append(os.readlink(path))
    return found


@pytest.fixture(scope="session", autouse=True)
def warm_processes() -> Iterator[None]:
    """What forks them ends with the tests."""
    yield
    warm.end()


@pytest.fixture(scope="module", autouse=True)
def ports() -> Iterator[None]:
    """Those that a module's tests have asked for are given back after them."""
    yield
    give_ports_back()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins are reached directly, whatever proxy the developer's shell names."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A handler of the package's log writes to the stderr of its time, so it goes with its test."""
    logger = logging.getLogger("smsstatus")
    handlers, level = [*logger.handlers], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def plivo() -> Plivo:
    return Plivo()


@pytest.fixture
def settings(tmp_path: Path, plivo: Plivo) -> Settings:
    return Settings(
        auth_tokens=(plivo.token,),
        base_url=plivo.base_url,
        database=sqlite_file(tmp_path / "sms.db"),
        spool_dir=tmp_path / "spool",
        api_token=API_TOKEN,
        plivo_timeouts=(60.0, 60.0),  # a stand-in may be let go late
    )


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an application makes where there is no database, made once and to be copied."""
    path = tmp_path_factory.mktemp("empty") / "sms.db"
    SqliteStore(path).prepare()
    return path


@pytest.fixture
def app(settings: Settings, empty_database: Path) -> Iterator[Flask]:
    if settings.database.path is not None and not settings.database.path.exists():
        shutil.copy(empty_database, settings.database.path)
    app = create_app(settings)
    yield app
    service_of(app).stop()


@pytest.fixture
def clock(app: Flask) -> HandClock:
    """The application's clock, in the test's hand."""
    clock = service_of(app).clock = HandClock()
    return clock


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def deliver(client: FlaskClient) -> Deliver:
    """Send a request to the application without a socket."""

    def send(request: Request) -> TestResponse:
        return client.open(
            request.target, method=request.method, headers=request.headers, data=request.body
        )

    return send


@pytest.fixture
def query(settings: Settings) -> Query:
    """Ask the database file, as somebody with the sqlite3 shell would."""

    def ask(sql: str, *values: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(settings.database_path)) as connection:
            connection.row_factory = sqlite3.Row
            connection.create_function("unpack", 6, unpack)
            return [dict(row) for row in connection.execute(sql, values).fetchall()]

    return ask


@pytest.fixture
def receive(deliver: Deliver, plivo: Plivo) -> Receive:
    """Have Plivo call back about a message; its UUID."""

    def call_back(status: str, message_uuid: str | None = None, **more: str) -> str:
        message_uuid = message_uuid or str(uuid.uuid4())
        assert deliver(plivo.post(plivo.fields(status, message_uuid, **more))).status_code == 200
        return message_uuid

    return call_back


@pytest.fixture
def writable(app: Flask, settings: Settings) -> Iterator[sqlite3.Connection]:
    """The application's database, to put rows in that callbacks would take long to make."""
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def standin() -> Iterator[PlivoApi]:
    """Plivo's API, answering sends with 202."""
    with plivo_api() as api:
        yield api


@pytest.fixture
def hanging() -> Iterator[HangingPlivo]:
    """Plivo's API, taking requests and never answering."""
    with hanging_plivo() as plivo:
        yield plivo


@pytest.fixture(scope="session")
def postgres_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: the one TEST_DATABASE_URL names, where its user may create databases,
    or one of our own, which all processes of this run share.
    """
    given = os.environ.get("TEST_DATABASE_URL", "")
    if given:
        yield given
        return
    folder = tmp_path_factory.getbasetemp()
    with shared_server(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server_url: str) -> Iterator[str]:
    """The name of a database with the service's tables: a copy takes a tenth of making them."""
    from smsstatus.store.postgres.store import PostgresStore

    with new_database(postgres_server_url) as url:
        with closing(PostgresStore(url)) as store:
            store.prepare()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres(postgres_server_url: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with new_database(postgres_server_url) as url:
        yield url
