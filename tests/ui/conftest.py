"""A real browser, a real service and a stand-in for Plivo, for the tests of the pages.

Where there is no Chromium or no npm, the tests that need them are skipped with one line, which is
a failure where CI is set.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.faults.workers import Patient, serve_with
from tests.live import API_TOKEN, LiveService, live_service
from tests.plivo_api import AUTH_ID, PlivoApi, plivo_api
from tests.signed import Fields, send

from .waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOGIN = {"username": "anyone", "password": API_TOKEN}
SENDER = "+14155550100"
FOLDER = Path(__file__).parent
NEEDED = {
    "browser": ("chromium", "NOBODY LOOKED AT THE PAGES"),
    "axe": ("npm", "NOBODY CHECKED THE PAGES' ACCESSIBILITY"),
}
"""Fixture -> the program it needs, and what it means if there is none."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip here, not in the fixtures: pytest then tells it in one line for all tests."""
    if "browser" in getattr(item, "fixturenames", ()) and item.config.getoption("--no-processes"):
        pytest.skip("it starts a process")  # not in the midst of Playwright's event loop
    for fixture, (program, consequence) in NEEDED.items():
        if fixture in getattr(item, "fixturenames", ()) and shutil.which(program) is None:
            text = f"needs {program} (apt-get install {program}): {consequence}"
            if os.environ.get("CI"):
                pytest.fail(text, pytrace=False)
            pytest.skip(text)


@dataclass
class Site:
    """A running service with the stand-in that it takes for Plivo."""

    service: LiveService
    api: PlivoApi

    @property
    def address(self) -> str:
        return self.service.address

    def call_back(self, fields: Fields, query: str = "") -> None:
        """A genuine callback."""
        status, body = send(self.service.plivo.post(fields, query=query), self.address)
        assert status == 200, body

    def tell(self, status: str, message_uuid: str, **more: str) -> None:
        """A genuine callback with the usual fields."""
        self.call_back(self.service.plivo.fields(status, message_uuid, **more))


@dataclass
class Visitor:
    """Opens pages and notes what must never happen on them."""

    browser: Browser
    address: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of complaints that the test itself provokes."""
    contexts: list[BrowserContext] = field(default_factory=list)

    def page(self, *, login: bool = True, **options: Any) -> Page:
        """An empty tab in a browser profile of its own."""
        context = self.browser.new_context(
            base_url=self.address,
            http_credentials=LOGIN if login else None,
            **{"timezone_id": "Europe/Berlin", "locale": "en-GB", **options},
        )
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)
        return page

    def visit(self, path: str, **options: Any) -> Page:
        page = self.page(**options)
        page.goto(path)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.address).netloc:
            self.foreign.append(request.url)

    def check(self) -> None:
        left = [text for text in self.complaints if not any(part in text for part in self.expected)]
        assert not left, "the browser complained"
        assert not self.foreign, "a page asked another host"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, installed as its lock file says, by one process of the tests at a time."""
    installed = FOLDER / "node_modules" / "axe-core"
    with open(FOLDER / "package-lock.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _version(installed) != _version(FOLDER):
            subprocess.run(["npm", "ci", "--silent"], cwd=FOLDER, check=True, timeout=250)
        return (installed / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that can send, shared by the tests of a module."""
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@contextmanager
def running_site(folder: Path, **settings: str) -> Iterator[Site]:
    with plivo_api() as api:
        usual = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": api.url, "PLIVO_SENDER": SENDER}
        with live_service(folder, **{**usual, **serve_with(Patient), **settings}) as service:
            yield Site(service, api)


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    with visiting(browser, site) as visitor:
        yield visitor


@contextmanager
def visiting(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Fails at the end if the browser complained or a page asked another host."""
    visitor = Visitor(browser, site.address)
    try:
        yield visitor
        visitor.check()
    finally:
        for context in visitor.contexts:
            context.close()


def _version(folder: Path) -> str:
    """axe-core's, as its own package.json says, or as ours asks for."""
    try:
        content = json.loads((folder / "package.json").read_text())
    except FileNotFoundError:
        return ""
    return str(content.get("devDependencies", {}).get("axe-core") or content["version"])
