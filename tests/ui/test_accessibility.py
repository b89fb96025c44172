"""axe-core finds no violation on any page, in light and in dark."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Site, Visitor, running_site, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FAILED = str(uuid.uuid4())
WAITING = str(uuid.uuid4())
PAGES = {
    "overview": "/",
    "overview of an hour": "/?window=1h",
    "overview of a month": "/?window=30d",
    "messages": "/ui/messages",
    "messages, nothing found": "/ui/messages?to=99998888",
    "messages, bad filter": "/ui/messages?to=1&since=soon",
    "messages, nothing to find": "/ui/messages?find=unknown",
    "failed message": f"/ui/messages/{FAILED}",
    "waiting message": f"/ui/messages/{WAITING}",
    "message just sent": "/ui/messages/unknown?asked=sent",
    "notice": f"/ui/messages/{FAILED}?asked=same",
    "unknown message": "/ui/messages/unknown",
    "send": "/ui/send",
}
RULES_OF_COLOURS = ("color-contrast", "link-in-text-block")
"""All that can differ in the dark."""


@pytest.fixture(scope="module", autouse=True)
def messages(site: Site) -> None:
    site.tell("failed", FAILED, ErrorCode="450", DeliveryReportTime="2026-11-01 00:00:09")
    for _ in range(2):
        site.tell("sent", FAILED, SentTime="2026-11-01 00:00:01")
    site.tell("queued", WAITING)
    for status in ("rejected", "undelivered", "delivered", "read", "new"):
        site.tell(status, str(uuid.uuid4()))
    (site.service.spool / "bad" / "20261101000000-1.json").write_text("{}")


def tab(visitor: Visitor, axe: str, **options: Any) -> Page:
    """A tab in which every page has axe."""
    page = visitor.page(**options)
    page.context.add_init_script(axe)
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, site: Site, axe: str) -> Iterator[Page]:
    """The tab that the tests of this module share."""
    with visiting(browser, site) as visitor:
        visitor.expected = ("400", "404", "422", "does not conform to the required format")
        yield tab(visitor, axe)


def assert_accessible(page: Page) -> None:
    page.evaluate(
        "() => document.querySelectorAll('details').forEach((one) => { one.open = true })"
    )
    page.emulate_media(color_scheme="light")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert violations(page, *RULES_OF_COLOURS) == []


def violations(page: Page, *rules: str) -> list[tuple[str, list[str]]]:
    """Each rule that is broken, of these or of all, with the elements."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("(options) => axe.run(document, options)", options)
    assert found["passes"], "axe looked at something"
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_accessible_in_light_and_in_dark(page: Page, path: str) -> None:
    page.goto(path)
    assert_accessible(page)


def test_faults_and_refusals_of_the_send_form_are_accessible(page: Page) -> None:
    page.goto("/ui/send")
    page.get_by_label("To").fill("1")
    page.get_by_label("Text").fill("x")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").wait_for()
    assert_accessible(page)


def test_an_empty_service_is_accessible(browser: Browser, tmp_path: Path, axe: str) -> None:
    with running_site(tmp_path, PLIVO_AUTH_ID="") as site, visiting(browser, site) as visitor:
        page = tab(visitor, axe)
        for path in ("/", "/ui/messages", "/ui/send"):
            page.goto(path)
            assert_accessible(page)


def test_a_phone_is_accessible(visitor: Visitor, axe: str) -> None:
    page = tab(visitor, axe, viewport={"width": 360, "height": 740})
    page.goto("/")
    assert_accessible(page)
