"""A page of another site, in a browser that remembers the login here, sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from ..serving import serving
from .conftest import LOGIN, Site
from .waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FORM = """<form method="post" action="{}"><input name="to" value="+14155550123">
<input name="text" value="Hello"><button>Win a prize</button></form>"""


@contextmanager
def another_site(content: str) -> Iterator[str]:
    """One page at an address of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def logged_in(browser: Browser, site: Site) -> Iterator[Page]:
    """A tab of somebody who has used the page here."""
    context = browser.new_context(http_credentials=LOGIN)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    answer = page.goto(f"{site.address}/ui/send")
    assert answer is not None
    assert answer.status == 200
    yield page
    context.close()


@pytest.mark.parametrize("path", ["/messages", "/ui/send"])
def test_a_form_on_another_site_sends_nothing(site: Site, logged_in: Page, path: str) -> None:
    with another_site(FORM.format(site.address + path)) as address:
        logged_in.goto(address)
        with logged_in.expect_navigation() as navigation:
            logged_in.get_by_role("button").click()
    assert navigation.value.status == 403
    assert site.api.asked == []


@pytest.mark.parametrize("path", ["/messages", "/ui/send"])
def test_a_script_on_another_site_sends_nothing(site: Site, logged_in: Page, path: str) -> None:
    script = """([url, mode]) => fetch(url, {
        method: "POST", mode, credentials: "include",
        body: new URLSearchParams({to: "+14155550123", text: "Hello"}),
    }).catch(() => null)"""
    with another_site("") as address:
        logged_in.goto(address)
        for mode in ("no-cors", "cors"):
            logged_in.evaluate(script, [site.address + path, mode])  # returns when it is answered
    assert site.api.asked == []
