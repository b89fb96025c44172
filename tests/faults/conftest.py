"""What the fault tests share: how many rounds, a service, and the figures they report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..forwarding.receivers import Receiver
from ..live import LiveService, live_service
from ..postgres import new_database, postgres_server
from . import disks, places
from .forwarded import verifying_receiver
from .places import POSTGRES, Place
from .workers import OftenDraining, serve_with

Figure = Callable[[str, str], None]
Promise = Callable[..., None]

_FIGURE = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-report",
        metavar="PATH",
        type=Path,
        help="write the figures of the fault tests to PATH, as a Markdown table",
    )


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether all rounds are wanted (`make faults`), or a few (`make test`)."""
    return _is_full(pytestconfig)


def _is_full(config: pytest.Config) -> bool:
    return bool(config.getoption("--fault-rounds") == "full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only says how fast this machine is belongs to `make faults`."""
    if not _is_full(config):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture
def figure(
    record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> Figure:
    """Report what a test found out: `figure("what was done", "what came of it")`."""
    parameters = getattr(request.node, "callspec", None)
    is_postgres = parameters is not None and parameters.params.get("place") == POSTGRES

    def report(fault: str, found: str) -> None:
        fault = f"PostgreSQL: {fault}" if is_postgres else fault
        print(f"\n{fault}: {found}")
        record_property(_FIGURE, (fault, found))

    return report


@pytest.fixture
def promise(full: bool) -> Promise:
    """Judge a promise in seconds: `promise(seconds)`, where Plivo is answered in 5 at most.

    Only `make faults` judges. `make test` runs anywhere, beside anything, and a busy machine can
    take longer than any number: there the test's figure says how long it was.
    """

    def judge(seconds: float, at_most: float = 5.0) -> None:
        assert not full or seconds <= at_most

    return judge


@pytest.fixture(scope="session")
def limits(full: bool) -> dict[str, str]:
    """What a service is started with, so that nobody waits for a pause of the drainer's."""
    return {} if full else serve_with(OftenDraining)


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest, full: bool) -> Iterator[str]:
    """A PostgreSQL server, with fsync where its figures are wanted."""
    if not full:
        yield request.getfixturevalue("postgres_server_url")
        return
    with postgres_server(durable=True) as server:
        yield server.url()


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """SQLite, but where a test says that it is `on_both`."""
    if getattr(request, "param", "") != POSTGRES:
        yield places.sqlite
        return
    server = request.getfixturevalue("server_url")
    with ExitStack() as databases:
        yield lambda folder: places.postgres(folder, databases.enter_context(new_database(server)))


@pytest.fixture
def service(tmp_path: Path, place: Place, limits: dict[str, str]) -> Iterator[LiveService]:
    """A running service in a folder of its own."""
    with live_service(tmp_path, **place(tmp_path), **limits) as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """48 MB, room for a WAL that is not yet checkpointed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with disks.small_disk(folder, 48):
        yield folder


@pytest.fixture
def there() -> Iterator[Receiver]:
    """A system of the user's own that changes are forwarded to."""
    with verifying_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def shared_service(
    tmp_path_factory: pytest.TempPathFactory, place: Place, limits: dict[str, str]
) -> Iterator[LiveService]:
    """One for those tests of a module that leave it as it was."""
    folder = tmp_path_factory.mktemp("shared")
    with live_service(folder, **place(folder), **limits) as running:
        yield running


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = _figures(terminalreporter)
    report: Path | None = config.getoption("--fault-report", default=None)
    if not figures:
        return
    if report is not None:
        rows = [f"| {fault} | {found} |\n" for fault, found in figures.items()]
        report.write_text("".join(["| fault | figure |\n", "|---|---|\n", *rows]))
    terminalreporter.section("figures of the fault tests")
    for fault, found in figures.items():
        terminalreporter.line(f"{fault}: {found}")


def _figures(terminalreporter: pytest.TerminalReporter) -> dict[str, str]:
    """What the tests reported, in the order in which they stand in their files.

    It comes with their reports, also from another process and in another order.
    """
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    reports.sort(key=lambda report: (*report.location[:2], report.nodeid))
    properties = [found for report in reports for found in report.user_properties]
    return dict([tuple(value) for name, value in properties if name == _FIGURE])
