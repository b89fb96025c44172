"""Whatever id and number a message has, the pages lead to it and find it."""

from __future__ import annotations

import html
import re
import sqlite3
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import pytest
from flask.testing import FlaskClient

from tests.clock import HandClock
from tests.conftest import Deliver, Receive
from tests.live import API_TOKEN
from tests.rows import insert, row
from tests.signed import Plivo

LOGIN = ("anyone", API_TOKEN)
NOON = "2026-11-01T12:00:00.000000Z"
IDS = [
    *(
        "SM0123456789abcdef",
        "a/b",
        "50% off?",
        "#1",
        "Caf\u00e9",
        "%2F",
        "a+b",
        "a b",
        "a:b",
    ),
    *("\ufffd", "'\"<>", "x" * 200, "\u6f22\u5b57", "\u0661", "?", "a?b=c&d;e", "~", "\\"),
]


def followed(client: FlaskClient, page: str, address: str) -> str:
    """What is behind an address that stands on a page of the application, as a browser sees it."""
    parts = urlsplit(urljoin(f"http://localhost{page}", html.unescape(address)))
    answer = client.get(parts.path, query_string=parts.query, auth=LOGIN)
    assert answer.status_code == 200, address
    return answer.text


@pytest.mark.parametrize("message_uuid", IDS)
def test_the_list_and_the_search_lead_to_a_message_whatever_its_id(
    client: FlaskClient, writable: sqlite3.Connection, message_uuid: str
) -> None:
    insert(writable, [row(1, NOON, message_uuid=message_uuid)])
    shown = f'<dd class="uuid">{html.escape(message_uuid)}</dd>'.replace("&#x27;", "&#39;")
    listed = client.get("/ui/messages", auth=LOGIN).text
    (link,) = re.findall(r'<a href="([^"]*/messages/[^"]+)"', listed)
    assert shown in followed(client, "/ui/messages", link).replace("&#34;", "&quot;")
    found = client.get("/ui/messages", query_string={"find": message_uuid}, auth=LOGIN)
    assert found.status_code == 303
    location = found.headers["Location"]
    assert shown in followed(client, "/ui/messages", location).replace("&#34;", "&quot;")


@pytest.mark.parametrize("sender", ["AT&T-Info", "Caf\u00e9", "50% off", "#1", "+", "x" * 300])
def test_the_filters_and_the_download_take_whatever_is_stored(
    client: FlaskClient, receive: Receive, sender: str
) -> None:
    receive("failed", From="other", To="other", ErrorCode="other")
    message_uuid = receive("failed", From=sender, To=sender, ErrorCode=sender)
    for name in ("from", "to", "error_code"):
        answer = client.get("/ui/messages", query_string={name: sender}, auth=LOGIN)
        listed = answer.text
        assert re.findall(r'<tr data-key="([^"]*)"', listed) == [message_uuid]
        (link,) = re.findall(r'class="download" href="([^"]*)"', listed)
        lines = followed(client, "/ui/messages", link).splitlines()
        assert lines[0].startswith("\ufeffmessage_uuid,"), "Excel sees that it is UTF-8"
        assert [line.split(",")[0] for line in lines[1:]] == [message_uuid]


def test_the_search_box_takes_an_id_a_number_and_a_reference(
    client: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    fields = plivo.fields("sent", "4155550123", To="19998887777")
    deliver(plivo.post(fields, query="order=42"))
    unknown = "33333333-3333-4333-8333-333333333333"
    for sought, address in (
        (" 4155550123 ", "/ui/messages/4155550123"),
        ("888-7777", "/ui/messages?to=888-7777"),
        ("order=42", "/ui/messages?reference=order%3D42"),
        (unknown, f"/ui/messages/{unknown}"),
    ):
        answer = client.get("/ui/messages", query_string={"find": sought}, auth=LOGIN)
        assert answer.status_code == 303
        assert urljoin("/ui/messages", answer.headers["Location"]) == address
        found = client.get(address, auth=LOGIN)
        assert ("4155550123" in found.text) == (unknown not in address)


@pytest.mark.parametrize("typed", [str.lower, str.upper, str.capitalize])
def test_a_uuid_leads_to_its_message_however_it_is_typed(
    client: FlaskClient, receive: Receive, typed: Callable[[str], str]
) -> None:
    message_uuid = receive("sent", "abcdef00-0000-4000-8000-00000000000a")
    sought = typed(message_uuid)
    found = client.get("/ui/messages", query_string={"find": sought}, auth=LOGIN)
    address = urljoin("/ui/messages", found.headers["Location"])
    assert address == f"/ui/messages/{message_uuid}"
    page = client.get(f"/ui/messages/{sought}", auth=LOGIN)
    assert page.status_code == 200
    assert f'<dd class="uuid">{message_uuid}</dd>' in page.text


@pytest.mark.parametrize("sought", ["unknown", "123", "\0", "\0=1"])
def test_what_cannot_be_found_is_told_with_what_can_be(client: FlaskClient, sought: str) -> None:
    answer = client.get("/ui/messages", query_string={"find": sought}, auth=LOGIN)
    assert answer.status_code == 404
    assert "last four digits" in answer.text


def test_a_message_says_where_it_went_and_what_it_cost(
    client: FlaskClient, receive: Receive
) -> None:
    message_uuid = receive("sent", MCC="310", MNC="999", Units="2", TotalAmount="0.01100")
    page = client.get(f"/ui/messages/{message_uuid}", auth=LOGIN).text
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert facts["Country"] == "United States"
    assert "310-999" in facts["Network"]
    assert (facts["Parts"], facts["Cost, USD"]) == ("2", "0.011")


def test_each_bar_and_each_country_leads_to_its_messages(
    client: FlaskClient, clock: HandClock, receive: Receive
) -> None:
    clock.turn(60)
    message_uuid = receive("undelivered", ErrorCode="30", MCC="404", MNC="45")
    for window in ("1h", "24h", "7d", "30d"):
        page = client.get(f"/?window={window}", auth=LOGIN).text
        links = re.findall(r'<a href="([^"]*since=[^"]*until=[^"]*)"', page)
        assert len(links) == 3, "a bar, the same in the table, a country"
        for link in links:
            listed = followed(client, "/", link)
            assert re.findall(r'<tr data-key="([^"]*)"', listed) == [message_uuid]
            assert '<span class="tight">' in listed, "the reason, for a narrow screen"


def test_each_further_country_and_what_has_none_lead_to_their_messages(
    client: FlaskClient, clock: HandClock, receive: Receive
) -> None:
    clock.turn(60)
    calling_codes = (20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44)
    sent = [receive("sent", MCC="", To=f"{code}5550123") for code in 2 * calling_codes]
    sent.append(receive("sent", MCC="", To="ACME"))
    page = client.get("/", auth=LOGIN).text
    section = page.partition('<h2 id="countries">')[2].partition("</section>")[0]
    first, further = section.split("<details>")
    assert "<summary>2 more countries with fewer messages</summary>" in further
    row = r'<th scope="row"><a href="([^"]*)">([^<]*)</a></th>'
    links = [re.findall(row, part) for part in (first, further)]
    assert [len(found) for found in links] == [12, 2]
    assert links[1][-1][1] == "Not known"
    listed = [
        re.findall(r'<tr data-key="([^"]*)"', followed(client, "/", link))
        for found in links
        for link, _ in found
    ]
    assert sorted(map(len, listed)) == [1, *[2] * 13]
    assert sorted(message_uuid for some in listed for message_uuid in some) == sorted(sent)


def test_days_and_the_form_are_those_of_the_zone_that_the_browser_names(
    client: FlaskClient, receive: Receive
) -> None:
    receive("sent")
    days = client.get("/?window=30d", auth=LOGIN)
    client.set_cookie("zone", "Asia/Tokyo")
    local = client.get("/?window=30d", auth=LOGIN)
    assert local.headers["ETag"] != days.headers["ETag"]
    assert "T15:00:00.000000Z" in local.text
    form = client.get("/ui/messages?since=2026-11-01T09:00&zone=Asia/Tokyo", auth=LOGIN).text
    assert "Since (Asia/Tokyo)" in form
    assert 'value="2026-11-01T09:00"' in form
    assert '<input type="hidden" name="zone" value="Asia/Tokyo">' in form
    assert "since=2026-11-01T00:00:00.000000Z" in html.unescape(form)
