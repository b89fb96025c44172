"""Pages in a real browser: the login, updates of an open page, times, no JavaScript."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live import API_TOKEN

from .conftest import Site, Visitor, running_site, visiting
from .waiting import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response


def new_uuid() -> str:
    return str(uuid.uuid4())


def stay(page: Page) -> None:
    """Leave a mark that a reload would remove."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return page.evaluate("window.stayed === true") is True


def test_the_login(site: Site, visitor: Visitor) -> None:
    from playwright.sync_api import Error

    visitor.expected = ("401",)
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        visitor.visit("/", login=False)  # the browser's own dialog, which nobody answers
    page = visitor.page()
    answer = page.goto("/")
    assert answer is not None
    assert answer.status == 200
    assert API_TOKEN not in page.content()


def test_an_empty_service_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path) as site, visiting(browser, site) as visitor:
        page = visitor.visit("/")
        expect(page.get_by_text("Nothing yet")).to_be_visible()
        expect(page.get_by_text(f"{site.address}/plivo/status")).to_be_visible()
        for window in ("Last hour", "Last 7 days", "Last 30 days"):
            page.get_by_role("link", name=window).click()
            expect(page.get_by_role("heading", name=window)).to_be_visible()
        page.get_by_role("link", name="Messages", exact=True).click()
        expect(page.get_by_text("No message yet.")).to_be_visible()


def test_a_message_lives_on_the_open_page(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("queued", message, QueuedTime="2026-11-01 00:00:00")
    page = visitor.visit(f"/ui/messages/{message}")
    headline = page.get_by_role("heading", level=1)
    expect(headline).to_have_text("Queued")
    stay(page)
    page.locator("summary").first.click()
    page.get_by_role("button", name="Ask Plivo now").focus()
    site.tell("sent", message, SentTime="2026-11-01 00:00:01.5")
    expect(headline).to_have_text("Sent")
    site.tell("delivered", message, DeliveryReportTime="2026-11-01 00:01:05")
    expect(headline).to_have_text("Delivered")
    steps = page.locator(".timeline > li")
    expect(steps).to_have_count(3)
    expect(steps.nth(1)).to_contain_text("+1.5 s")
    expect(steps.nth(2)).to_contain_text("+1 min 4 s")
    expect(page).to_have_title(re.compile(r"^Delivered · \+14155550123"))
    assert stayed(page)
    assert page.locator("details").first.get_attribute("open") is not None
    expect(page.get_by_role("button", name="Ask Plivo now")).to_be_focused()


def test_late_and_repeated_callbacks_are_seen_as_such(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("undelivered", message, ErrorCode="30", DeliveryReportTime="2026-11-01 00:00:09")
    for _ in range(3):
        site.tell("sent", message, SentTime="2026-11-01 00:00:01")
    page = visitor.visit(f"/ui/messages/{message}")
    steps = page.locator(".timeline > li")
    expect(steps.first).to_contain_text("arrived late, after “undelivered”")
    expect(steps.first).to_contain_text("came 2 more times")
    expect(page.get_by_role("region", name="Error")).to_contain_text("Spam detected")
    expect(page.get_by_role("region", name="Error")).to_contain_text("will not help")
    parameters = steps.last.locator("table")
    expect(parameters).to_be_hidden()
    steps.last.locator("summary").click()
    expect(parameters).to_contain_text("TotalRate")


def test_the_overview_updates_in_place(site: Site, visitor: Visitor) -> None:
    first, second = new_uuid(), new_uuid()
    site.tell("delivered", first, To="19990000001")
    page = visitor.visit("/", viewport={"width": 1280, "height": 300})  # so it can be scrolled
    link = page.get_by_role("link", name="19990000001")
    expect(link).to_be_visible()
    stay(page)
    link.focus()
    page.evaluate("window.scrollTo(0, 200)")
    assert page.evaluate("window.scrollY") == 200
    site.tell("delivered", second, To="19990000002")
    expect(page.get_by_role("link", name="19990000002")).to_be_visible()
    expect(link).to_be_focused()
    assert stayed(page)
    assert page.evaluate("window.scrollY") >= 200
    expect(page.locator("#heard")).to_have_text(re.compile("^Live · heard (just now|. s ago)$"))


def test_nothing_changed_is_answered_304(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("queued", message)
    page = visitor.page()
    page.clock.install()

    def unchanged(response: Response) -> bool:
        return response.status == 304

    with page.expect_response(unchanged):
        page.goto(f"/ui/messages/{message}")
    with page.expect_response(unchanged):
        page.clock.fast_forward("00:01")


def test_a_hidden_tab_asks_nothing_and_asks_at_once_when_it_is_seen(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.page()
    page.clock.install()
    asked: list[str] = []
    with page.expect_response(lambda response: response.status == 304):
        page.goto("/")
    page.evaluate("""() => {
        window.away = true;
        Object.defineProperty(document, "hidden", { get: () => window.away });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward("02:00")
    with page.expect_request("**/healthz"):  # what was asked before is known by then
        page.evaluate("void fetch('/healthz')")
    # The icon is the browser's own wish, for which it takes its time.
    icon = f"{page.url}ui/static/icon.svg"
    assert [url for url in asked if not url.startswith(icon)] == [f"{page.url}healthz"]
    with page.expect_response(lambda response: response.url == page.url):
        page.evaluate("""() => {
            window.away = false;
            document.dispatchEvent(new Event("visibilitychange"));
        }""")


def test_a_service_that_does_not_answer_is_told_and_heard_again(
    site: Site, visitor: Visitor
) -> None:
    visitor.expected = ("ERR_FAILED",)
    message = new_uuid()
    site.tell("delivered", message, To="19990000003")
    page = visitor.page()
    page.clock.install()
    page.goto("/")
    expect(page.locator("#heard")).to_have_text(re.compile("^Live"))
    page.route("**/*", lambda route: route.abort())
    page.clock.fast_forward("00:05")
    expect(page.locator("#heard")).to_have_text(re.compile("^No answer; last heard"))
    expect(page.get_by_role("link", name="19990000003")).to_be_visible()
    page.unroute_all()
    page.clock.fast_forward("01:00")
    expect(page.locator("#heard")).to_have_text(re.compile("^Live"), timeout=60_000)


def test_times_are_local_with_utc_in_the_tooltip(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("sent", message, SentTime="2026-11-01 00:00:03.25")
    page = visitor.visit(f"/ui/messages/{message}")
    time = page.locator(".timeline time").first
    expect(time).to_have_text("1 Nov, 01:00:03.250")
    expect(time).to_have_attribute("title", "2026-11-01 00:00:03.250000 UTC")
    expect(page.locator("#zone")).to_contain_text("Europe/Berlin")


def test_what_is_utc_is_said_where_the_server_does_not_know_the_browsers_zone(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.page()
    page.goto("/?window=30d")
    said = page.locator("#zone")
    expect(said).to_have_text("Times are local (Europe/Berlin); UTC is in their tooltips.")
    page.add_init_script("""
        const usual = Intl.DateTimeFormat.prototype.resolvedOptions;
        Intl.DateTimeFormat.prototype.resolvedOptions = function () {
            return {...usual.call(this), timeZone: "Mars/Olympus_Mons"};
        };
    """)
    for path, is_told in (("/?window=30d", True), ("/ui/messages", True), ("/?window=1h", False)):
        page.goto(path)
        expect(said).to_contain_text("Times are local (Mars/Olympus_Mons)")
        told = expect(said).to_contain_text if is_told else expect(said).not_to_contain_text
        told("Days and filters are UTC.")


def test_filters_are_utc_on_a_first_visit_and_it_is_said_for_as_long(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.page()
    page.goto("/ui/messages")
    for _ in range(2):  # polls: when the second is asked for, the first is shown
        with page.expect_response(lambda response: response.request.resource_type == "fetch"):
            pass
    said = page.locator("#zone")
    expect(said).to_contain_text("Days and filters are UTC.")
    expect(page.get_by_label("Since (UTC)")).to_be_visible()
    page.reload()
    expect(said).to_have_text("Times are local (Europe/Berlin); UTC is in their tooltips.")
    expect(page.get_by_label("Since (Europe/Berlin)")).to_be_visible()


def test_relative_times_stay_right_while_no_answer_comes(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("delivered", message, To="19990000004")
    page = visitor.page()
    page.clock.install()
    with page.expect_response(lambda response: response.status == 304):
        page.goto("/")
    page.evaluate("void (window.fetch = () => new Promise(() => {}))")
    page.clock.fast_forward("03:00")
    heard_of = page.get_by_role("row").filter(has_text="19990000004").locator("time")
    expect(heard_of).to_have_text("3 min ago")


def test_without_javascript_everything_is_there(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("queued", message, QueuedTime="2026-11-01 00:00:00")
    page = visitor.visit("/", java_script_enabled=False)
    expect(page.locator("svg.bars")).to_be_visible()
    page.locator(f'a[href*="{message}"]').click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queued")
    expect(page.locator(".timeline")).to_contain_text("01 Nov 2026, 00:00:00.000000 UTC")
    expect(page.locator("#zone")).to_have_text("Times are UTC.")
    site.tell("delivered", message)
    page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delivered")
    site.api.messages[message] = {"message_state": "delivered"}
    page.get_by_role("button", name="Ask Plivo now").click()
    expect(page.get_by_role("status").filter(has_text="Plivo was asked")).to_be_visible()
    page.get_by_role("link", name="Send a test").click()
    page.get_by_label("To").fill("+14155550177")
    page.get_by_label("Text").fill("Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queued")


@pytest.mark.parametrize("path", ["/", "/ui/messages", "/ui/send"])
def test_nothing_is_wider_than_a_small_phone(site: Site, visitor: Visitor, path: str) -> None:
    site.tell("undelivered", new_uuid(), ErrorCode="80")
    page = visitor.visit(path, viewport={"width": 360, "height": 740})
    expect(page.locator("main")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
