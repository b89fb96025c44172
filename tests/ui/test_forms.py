"""Forms in a real browser: filters, paging, the CSV link, sending, asking Plivo."""

from __future__ import annotations

import re
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plivo_api import Reply
from tests.rows import insert, row

from .conftest import SENDER, Site, Visitor, running_site, visiting
from .waiting import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEXT = "Grüße & <b>Küsse</b>\nzweite Zeile"


def new_uuid() -> str:
    return str(uuid.uuid4())


def test_filters_and_paging(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path) as site, visiting(browser, site) as visitor:
        sent = [
            row(
                number,
                "2026-11-01T00:00:00.000000Z",
                sender_number="14155550100",
                recipient_number=f"1415555{number:04}",
            )
            for number in range(60)
        ]
        with closing(sqlite3.connect(site.service.database, isolation_level=None)) as connection:
            insert(connection, sent)
        failed = new_uuid()
        site.tell("failed", failed, ErrorCode="450", To="+4915112345678")
        page = visitor.visit("/ui/messages")
        rows = page.locator(".messages tbody tr")
        expect(rows).to_have_count(50)
        page.get_by_role("link", name="Older").click()
        expect(rows).to_have_count(11)
        page.get_by_role("link", name="Newest").click()
        page.get_by_label("Status").select_option("Failed")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(1)
        expect(page.get_by_label("Status")).to_have_value("failed")
        page.get_by_role("link", name="Clear").click()
        for label, text, count in (
            ("To, or its last digits", "0049 151 123", 0),
            ("To, or its last digits", "5678", 1),
            ("Error code", "450", 1),
            ("From", "14155550100", 50),
            ("Since", "2099-01-01T00:00", 0),
            ("Until", "2099-01-01T00:00", 50),
        ):
            page.get_by_label(label).fill(text)
            page.get_by_role("button", name="Filter").click()
            expect(rows).to_have_count(count)
            page.get_by_label(label).fill("")
        page.get_by_label("Find by UUID").fill(failed)
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_role("heading", name="Failed")).to_be_visible()


def test_a_bad_filter_and_what_cannot_be_found_are_told_at_the_field(
    site: Site, visitor: Visitor
) -> None:
    visitor.expected = ("400", "404")
    page = visitor.visit("/ui/messages")
    page.get_by_label("To, or its last digits").fill("12")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_label("To, or its last digits")).to_have_accessible_description(
        "Give a number, or at least its last four digits."
    )
    page.get_by_label("Find by UUID").fill("no such thing")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_label("Find by UUID")).to_have_accessible_description(
        re.compile("No message has this id. Give its UUID")
    )


def test_the_csv_link_gives_what_the_filters_let_through(site: Site, visitor: Visitor) -> None:
    message = new_uuid()
    site.tell("failed", message, ErrorCode="450", To="19990000005")
    page = visitor.visit("/ui/messages?to=19990000005")
    with page.expect_download() as download:
        page.get_by_role("link", name="All as CSV").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("message_uuid,")
    assert len(lines) == 2
    assert message in lines[1]
    assert "Destination country barred" in lines[1]


def test_sending_leads_to_the_message_and_it_lives_there(site: Site, visitor: Visitor) -> None:
    page = visitor.visit("/ui/send")
    page.get_by_label("To").fill("+1 415 555 0166")
    page.get_by_label("Text").fill(TEXT)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queued")
    expect(page.locator(".facts .text")).to_have_text(TEXT, use_inner_text=True)
    asked = site.api.asked[-1].content
    assert (asked["src"], asked["dst"], asked["text"]) == (SENDER, "+14155550166", TEXT)
    message = page.url.partition("/ui/messages/")[2].partition("?")[0]
    page.evaluate("window.stayed = true")
    site.tell("delivered", message)
    expect(page.get_by_role("heading", level=1)).to_have_text("Delivered")
    assert page.evaluate("window.stayed") is True, "the page was not loaded again"


def test_faults_of_the_send_form_are_told_at_the_field(site: Site, visitor: Visitor) -> None:
    visitor.expected = ("422",)
    page = visitor.visit("/ui/send")
    page.get_by_label("To").fill("0123")
    page.get_by_label("From").fill("#")
    page.get_by_label("Text").fill("kept")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was sent.")
    expect(page.get_by_label("To")).to_have_accessible_description(re.compile("E.164"))
    expect(page.get_by_label("To")).to_be_focused()
    expect(page.get_by_label("From")).to_have_accessible_description(re.compile("short code"))
    expect(page.get_by_label("Text")).to_have_value("kept")
    expect(page.get_by_label("Text")).not_to_have_attribute("aria-invalid", "true")


def test_plivos_refusal_is_told_and_the_form_is_kept(site: Site, visitor: Visitor) -> None:
    visitor.expected = ("402",)
    site.api.reply = lambda asked: Reply(402, {"error": "no credit"})
    try:
        page = visitor.visit("/ui/send")
        page.get_by_label("To").fill("+14155550123")
        page.get_by_label("Text").fill("kept")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("alert")).to_contain_text("Not enough credit")
        expect(page.get_by_label("Text")).to_have_value("kept")
    finally:
        site.api.reply = lambda asked: None


def test_asking_plivo_shows_what_it_knows(site: Site, visitor: Visitor) -> None:
    visitor.expected = ("404",)
    message = new_uuid()
    site.tell("queued", message)
    page = visitor.visit(f"/ui/messages/{message}")
    ask = page.get_by_role("button", name="Ask Plivo now")
    ask.click()
    expect(page.get_by_role("alert")).to_contain_text("Plivo does not know this message")
    site.api.messages[message] = {"message_state": "delivered", "error_code": "000"}
    ask.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delivered")
    expect(page.get_by_text("knew more than we did")).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("Plivo said so when asked")


def test_where_sending_is_not_configured_a_line_says_why(browser: Browser, tmp_path: Path) -> None:
    with running_site(tmp_path, PLIVO_AUTH_ID="") as site, visiting(browser, site) as visitor:
        message = new_uuid()
        site.tell("queued", message)
        page = visitor.visit("/ui/send")
        expect(page.get_by_text("set PLIVO_AUTH_ID")).to_be_visible()
        expect(page.locator("form")).to_have_count(0)
        page.goto(f"/ui/messages/{message}")
        expect(page.get_by_text("PLIVO_AUTH_ID is not set")).to_be_visible()
        expect(page.locator("form")).to_have_count(0)
