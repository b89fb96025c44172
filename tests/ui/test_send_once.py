"""The form sends once, however often it is sent off."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus.settings import Settings
from tests.live import API_TOKEN, wait_until
from tests.plivo_api import AUTH_ID, PlivoApi, Reply

from .conftest import SENDER, Site, Visitor
from .waiting import expect

if TYPE_CHECKING:
    from playwright.sync_api import Request

LOGIN = ("anyone", API_TOKEN)
FIELDS = {"to": "+14155550123", "from": "", "text": "Hello"}

Post = Callable[[dict[str, str]], TestResponse]


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(settings, auth_id=AUTH_ID, sender=SENDER, plivo_api_url=standin.url)


@pytest.fixture
def post(client: FlaskClient) -> Post:
    def send_off(fields: dict[str, str]) -> TestResponse:
        headers = {"Origin": "https://sms.example.com"}
        return client.post("/ui/send", auth=LOGIN, headers=headers, data=fields)

    return send_off


def key_in(page: TestResponse) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page.text)
    assert found
    return found[1]


@pytest.fixture
def form(client: FlaskClient) -> dict[str, str]:
    """The form as a browser fills it in."""
    return {**FIELDS, "key": key_in(client.get("/ui/send", auth=LOGIN))}


@pytest.fixture
def held(standin: PlivoApi) -> Iterator[threading.Event]:
    """A Plivo that answers once this is set."""
    released = threading.Event()
    sent = {"message_uuid": [str(uuid.uuid4())]}
    standin.reply = lambda asked: Reply(202, sent, wait=released)
    yield released
    released.set()


@pytest.mark.parametrize("has_key", [True, False])
def test_two_clicks_at_once_send_once_and_lead_to_the_same_message(
    post: Post, form: dict[str, str], standin: PlivoApi, held: threading.Event, has_key: bool
) -> None:
    fields = form if has_key else FIELDS
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, fields)
        wait_until(lambda: standin.asked)
        second = pool.submit(post, fields)
        with pytest.raises(TimeoutError):
            second.result(0.3)  # it waits for the first
        held.set()
        answers = [first.result(60), second.result(60)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(standin.asked) == 1


def test_the_form_sent_off_again_later_leads_to_the_same_message(
    post: Post, form: dict[str, str], standin: PlivoApi
) -> None:
    assert post(form).headers["Location"] == post(form).headers["Location"]
    assert len(standin.asked) == 1


def test_a_form_opened_again_is_another_message(
    client: FlaskClient, post: Post, form: dict[str, str], standin: PlivoApi
) -> None:
    again = {**form, "key": key_in(client.get("/ui/send", auth=LOGIN))}
    assert post(form).headers["Location"] != post(again).headers["Location"]
    assert len(standin.asked) == 2


def test_after_a_refusal_the_corrected_form_sends(
    post: Post, form: dict[str, str], standin: PlivoApi
) -> None:
    standin.reply = lambda asked: Reply(402, {"error": "no credit"})
    refused = post(form)
    assert refused.status_code == 402
    standin.reply = lambda asked: None
    assert post({**form, "key": key_in(refused)}).status_code == 303
    assert len(standin.asked) == 2


@pytest.mark.parametrize("reply", [Reply(hang_up_after=-1), Reply(500, {"error": "\ud800"})])
def test_who_sends_again_after_an_unclear_end_does_so_knowingly(
    post: Post, form: dict[str, str], standin: PlivoApi, reply: Reply
) -> None:
    standin.reply = lambda asked: reply
    unclear = post(form)
    again = post(form)
    for answer in (unclear, again):
        assert answer.status_code == 502
        assert "before you send it again" in answer.text
    assert len(standin.asked) == 1
    standin.reply = lambda asked: None
    assert post({**form, "key": key_in(unclear)}).status_code == 303


def test_a_double_click_in_a_browser_sends_one_message(site: Site, visitor: Visitor) -> None:
    released = threading.Event()
    message = str(uuid.uuid4())
    site.api.reply = lambda asked: Reply(202, {"message_uuid": [message]}, wait=released)
    try:
        page = visitor.visit("/ui/send")
        page.get_by_label("To").fill("+14155550166")
        page.get_by_label("Text").fill("once")
        sent: list[str] = []

        def is_second(request: Request) -> bool:
            sent.extend([request.url] if request.method == "POST" else [])
            return len(sent) == 2

        with page.expect_request(is_second):
            page.evaluate("""() => {
                const button = document.querySelector("form button");
                button.click();
                setTimeout(() => button.click(), 300);
            }""")
        wait_until(lambda: site.api.asked)
        released.set()
        expect(page.get_by_role("heading", level=1)).to_have_text("Queued")
    finally:
        released.set()
        site.api.reply = lambda asked: None
    assert page.url.partition("?")[0].endswith(f"/ui/messages/{message}")
    assert len(site.api.asked) == 1
