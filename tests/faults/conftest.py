"""What the fault tests share: how many rounds, a service, and the figures they report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..live import LiveService, live_service

Figure = Callable[[str, str], None]

_FIGURES = pytest.StashKey[dict[str, str]]()


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
    return bool(pytestconfig.getoption("--fault-rounds") == "full")


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Figure:
    """Report what a test found out: `figure("what was done", "what came of it")`."""

    def report(fault: str, found: str) -> None:
        print(f"\n{fault}: {found}")
        pytestconfig.stash.setdefault(_FIGURES, {})[fault] = found

    return report


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    """A running service in a folder of its own."""
    with live_service(tmp_path) as running:
        yield running


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash.get(_FIGURES, {})
    report: Path | None = config.getoption("--fault-report", default=None)
    if not figures:
        return
    if report is not None:
        rows = [f"| {fault} | {found} |\n" for fault, found in figures.items()]
        report.write_text("".join(["| fault | figure |\n", "|---|---|\n", *rows]))
    terminalreporter.section("figures of the fault tests")
    for fault, found in figures.items():
        terminalreporter.line(f"{fault}: {found}")
