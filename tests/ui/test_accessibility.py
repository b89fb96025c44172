"""axe-core finds no violation on any page, in light and in dark."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from .conftest import Site, Visitor, running_site, visiting

FAILED = str(uuid.uuid4())
WAITING = str(uuid.uuid4())
PAGES = {
    "overview": "/",
    "overview of an hour": "/?window=1h",
    "overview of a month": "/?window=30d",
    "messages": "/ui/messages",
    "messages, nothing found": "/ui/messages?to=99998888",
    "messages, bad filter": "/ui/messages?to=1&since=soon",
    "messages, unknown UUID": "/ui/messages?uuid=unknown",
    "failed message": f"/ui/messages/{FAILED}",
    "waiting message": f"/ui/messages/{WAITING}",
    "message just sent": "/ui/messages/unknown?asked=sent",
    "notice": f"/ui/messages/{FAILED}?asked=same",
    "unknown message": "/ui/messages/unknown",
    "send": "/ui/send",
}

themes = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@pytest.fixture(scope="module", autouse=True)
def messages(site: Site) -> None:
    site.tell("failed", FAILED, ErrorCode="450", DeliveryReportTime="2026-11-01 00:00:09")
    for _ in range(2):
        site.tell("sent", FAILED, SentTime="2026-11-01 00:00:01")
    site.tell("queued", WAITING)
    for status in ("rejected", "undelivered", "delivered", "read", "new"):
        site.tell(status, str(uuid.uuid4()))
    (site.service.spool / "bad" / "20261101000000-1.json").write_text("{}")


def assert_accessible(page: Page, axe: str) -> None:
    page.evaluate(
        "() => document.querySelectorAll('details').forEach((one) => { one.open = true })"
    )
    page.evaluate(axe)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    assert len(found["passes"]) > 5, "axe looked at something"
    assert not [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in found["violations"]
    ]


@themes
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_accessible(visitor: Visitor, axe: str, path: str, dark: bool) -> None:
    visitor.expected = ("400", "404", "does not conform to the required format")
    assert_accessible(visitor.visit(path, dark=dark), axe)


@themes
def test_faults_and_refusals_of_the_send_form_are_accessible(
    visitor: Visitor, axe: str, dark: bool
) -> None:
    visitor.expected = ("422",)
    page = visitor.visit("/ui/send", dark=dark)
    page.get_by_label("To").fill("1")
    page.get_by_label("Text").fill("x")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").wait_for()
    assert_accessible(page, axe)


@themes
def test_an_empty_service_is_accessible(
    browser: Browser, tmp_path: Path, axe: str, dark: bool
) -> None:
    with running_site(tmp_path, PLIVO_AUTH_ID="") as site, visiting(browser, site) as visitor:
        for path in ("/", "/ui/messages", "/ui/send"):
            assert_accessible(visitor.visit(path, dark=dark), axe)


@themes
def test_a_phone_is_accessible(visitor: Visitor, axe: str, dark: bool) -> None:
    page = visitor.visit("/", dark=dark, viewport={"width": 360, "height": 740})
    assert_accessible(page, axe)
