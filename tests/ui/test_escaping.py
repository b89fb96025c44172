"""Whatever a callback holds is text on every page: in a browser, with payloads that would run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from .conftest import Site, Visitor
from .waiting import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

MARKUP = '<script>owned=1</script><img src=x onerror="owned=1">'
BROKEN_OUT = "\"'><svg onload=owned=1>"
SCRIPT_LINK = "javascript:owned=1"
TEMPLATE = "{{7*7}}${7*7}"

UUID = "no-uuid"
FIELDS = {
    "MessageUUID": UUID,
    "Status": f"{BROKEN_OUT}{MARKUP}",
    "From": f"{MARKUP}{BROKEN_OUT}",
    "To": f"{SCRIPT_LINK}{MARKUP}",
    "ErrorCode": f"{MARKUP}{BROKEN_OUT}",
    "QueuedTime": MARKUP,
    "SentTime": MARKUP,
    f"name {MARKUP}{BROKEN_OUT}": f"value {MARKUP}{BROKEN_OUT}{TEMPLATE}",
    "Text": f"text {MARKUP}",
}


def assert_harmless(page: Page) -> None:
    assert page.evaluate("typeof window.owned") == "undefined"
    assert page.locator("img, svg[onload], [onerror]").count() == 0
    assert page.locator("script").count() == 1
    assert page.locator('a[href^="javascript"]').count() == 0


def test_a_hostile_callback_is_text_on_every_page(site: Site, visitor: Visitor) -> None:
    site.call_back(FIELDS, query=urlencode({MARKUP: f"{BROKEN_OUT}{TEMPLATE}"}))
    page = visitor.visit("/")
    expect(page.locator(".counts")).to_contain_text("<img src=x")
    expect(page.locator(".failures")).to_contain_text("Unknown code")
    assert_harmless(page)
    page.goto("/ui/messages")
    row = page.locator(".messages tbody tr").first
    for field in ("To", "From", "ErrorCode"):
        expect(row).to_contain_text(FIELDS[field])
    assert_harmless(page)
    row.get_by_role("link").click()
    expect(page.locator(".uuid")).to_have_text(UUID)
    expect(page.get_by_role("heading", level=1)).to_contain_text(MARKUP)
    expect(page.locator(".facts")).to_contain_text(f"{MARKUP}={BROKEN_OUT}{TEMPLATE}")
    page.locator("summary").click()
    parameters = page.locator(".raw")
    for name, value in FIELDS.items():
        expect(parameters).to_contain_text(name)
        expect(parameters).to_contain_text(value)
    expect(page.get_by_text("Plivo cannot be asked: this is not a UUID")).to_be_visible()
    assert_harmless(page)


def test_a_hostile_callback_is_text_when_an_open_page_takes_it_in(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.visit("/ui/messages")
    site.call_back({**FIELDS, "MessageUUID": "live", "To": f"live {MARKUP}"})
    expect(page.get_by_role("link", name=f"live {MARKUP}")).to_be_visible()
    assert_harmless(page)


def test_a_hostile_search_is_text(site: Site, visitor: Visitor) -> None:
    visitor.expected = ("404", "400")
    page = visitor.visit("/ui/messages")
    for sought, field in ((MARKUP.replace("=", ""), "#find"), (MARKUP, "#reference")):
        page.get_by_label("Find by UUID").fill(sought)
        page.get_by_role("button", name="Find").click()
        expect(page.locator(field)).to_have_value(sought)
        assert_harmless(page)
    page.get_by_label("From").fill(BROKEN_OUT)
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_label("From")).to_have_value(BROKEN_OUT)
    assert_harmless(page)


def test_the_text_of_a_sent_message_is_text(site: Site, visitor: Visitor) -> None:
    visitor.expected = ("422",)
    page = visitor.visit("/ui/send")
    page.get_by_label("Text").fill(f"</textarea>{MARKUP}")
    page.get_by_label("From").fill(BROKEN_OUT)
    page.get_by_label("To").fill(MARKUP)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Text")).to_have_value(f"</textarea>{MARKUP}")
    assert_harmless(page)
    page.get_by_label("From").fill("")
    page.get_by_label("To").fill("+14155550123")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".facts .text")).to_have_text(f"</textarea>{MARKUP}")
    assert_harmless(page)
