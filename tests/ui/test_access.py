"""Who may see a page, which POSTs are believed, which headers every page carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.settings import Settings
from smsstatus.web.current import service_of
from tests.conftest import Deliver
from tests.live import API_TOKEN
from tests.signed import Plivo

LOGIN = ("anyone", API_TOKEN)
UUID = "11111111-1111-4111-8111-111111111111"
PAGES = ("/", "/ui/messages", "/ui/messages.csv", f"/ui/messages/{UUID}", "/ui/send")
HERE = "https://sms.example.com"


@contextmanager
def other_client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    try:
        yield app.test_client()
    finally:
        service_of(app).stop()


def post(client: FlaskClient, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/ui/send", auth=LOGIN, headers=named, data={"to": "", "text": ""})


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_for_the_login(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.mimetype == "text/html"
    assert client.get(path, auth=("anyone", "wrong")).status_code == 401


@pytest.mark.parametrize("path", PAGES)
def test_without_api_token_the_pages_say_why_they_are_closed(settings: Settings, path: str) -> None:
    with other_client(replace(settings, api_token=None)) as client:
        answer = client.get(path, auth=("anyone", ""))
        assert answer.status_code == 503
        assert "API_TOKEN is not set" in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/ui/static/missing.css", "/?window=nonsense"])
@pytest.mark.parametrize("auth", [None, LOGIN])
def test_every_page_carries_the_security_headers(
    client: FlaskClient, deliver: Deliver, plivo: Plivo, path: str, auth: tuple[str, str] | None
) -> None:
    deliver(plivo.post(plivo.fields("delivered", UUID)))
    headers = client.get(path, auth=auth).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/ui/messages", f"/ui/messages/{UUID}", "/ui/send"])
def test_no_page_holds_inline_script_or_style(
    client: FlaskClient, deliver: Deliver, plivo: Plivo, path: str
) -> None:
    deliver(plivo.post(plivo.fields("undelivered", UUID, ErrorCode="30")))
    page = client.get(path, auth=LOGIN).text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]


def test_static_files_need_no_login_and_are_cached_under_an_address_that_changes(
    client: FlaskClient,
) -> None:
    page = client.get("/", auth=LOGIN).text
    address = re.search(r'href="(ui/static/smsstatus.css\?v=\w+)"', page)
    assert address
    with client.get("/" + address[1]) as answer:
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "nonsense"])
@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Range", "If-Unmodified-Since"])
def test_a_static_file_is_sent_whole_whatever_date_is_named(
    client: FlaskClient, name: str, date: str
) -> None:
    path = "/ui/static/live.js"
    with (
        client.get(path) as whole,
        client.get(path, headers={name: date, "Range": "bytes=0-1"}) as answer,
    ):
        assert (answer.status_code, answer.data) == (200, whole.data)
    with client.get(
        path, headers={name: date, "If-None-Match": str(whole.headers["ETag"])}
    ) as answer:
        assert answer.status_code == 304


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://sms.example.com.evil.example"},
        {"Origin": "https://sms.example.com:444"},
        {"Origin": "nonsense"},
        {"Origin": "https://[nonsense"},
        {"Origin": HERE, "Sec_Fetch_Site": "cross-site"},
        {"Origin": HERE, "Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Referer": "https://evil.example/?https://sms.example.com/"},
        {"Origin": "https://evil.example", "Referer": f"{HERE}/ui/send"},
    ],
)
def test_a_post_from_elsewhere_is_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = post(client, **headers)
    assert answer.status_code == 403
    assert "not sent from a page of this service" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": HERE},
        {"Origin": "https://sms.example.com:443"},
        {"Origin": HERE, "Sec_Fetch_Site": "same-origin"},
        {"Referer": f"{HERE}/ui/send"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost"},
        {"Origin": "http://10.0.0.1:8000", "Host": "10.0.0.1:8000"},
    ],
)
def test_a_post_from_a_page_of_ours_is_believed(
    settings: Settings, headers: dict[str, str]
) -> None:
    with other_client(replace(settings, auth_id="MATESTTESTTESTTEST00")) as client:
        assert post(client, **headers).status_code == 422


def test_a_bearer_token_needs_no_page(settings: Settings) -> None:
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Origin": "https://evil.example"}
    with other_client(replace(settings, auth_id="MATESTTESTTESTTEST00")) as client:
        assert client.post("/ui/send", headers=headers, data={"to": ""}).status_code == 422


def test_a_post_needs_the_login_as_well(client: FlaskClient) -> None:
    assert client.post("/ui/send", headers={"Origin": HERE}).status_code == 401
    assert client.post(f"/ui/messages/{UUID}", headers={"Origin": HERE}).status_code == 401


def test_asking_plivo_is_refused_from_elsewhere(client: FlaskClient) -> None:
    answer = client.post(
        f"/ui/messages/{UUID}", auth=LOGIN, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("path", [*PAGES, "/ui/static/smsstatus.css"])
def test_with_ui_off_there_are_no_pages(settings: Settings, path: str) -> None:
    with other_client(replace(settings, ui=False)) as client:
        assert client.get(path, auth=LOGIN).status_code == 404
        assert client.get("/messages", auth=LOGIN).status_code == 200


def test_links_are_relative_so_that_a_proxy_may_put_a_prefix_in_front(
    client: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    deliver(plivo.post(plivo.fields("delivered", UUID)))
    for path in ("/", "/ui/messages", f"/ui/messages/{UUID}", "/ui/send"):
        page = client.get(path, auth=LOGIN).text
        addresses = re.findall(r'(?:href|src|action)="([^"]*)"', page)
        assert addresses
        assert not [address for address in addresses if address.startswith(("/", "http"))]


def test_an_error_is_a_page_for_a_person(client: FlaskClient) -> None:
    answer = client.get("/ui/messages/unknown", auth=LOGIN)
    assert answer.status_code == 404
    assert "<h1>Unknown message</h1>" in answer.text
    assert client.get("/?window=2y", auth=LOGIN).status_code == 400
    assert client.get("/ui/messages?cursor=xyz", auth=LOGIN).status_code == 400
    assert client.get("/ui/messages.csv?to=1", auth=LOGIN).status_code == 400


@pytest.mark.parametrize("path", ["/?window=2y", "/ui/messages/unknown", "/ui/nothing/here"])
def test_an_error_leads_on_to_the_other_pages(client: FlaskClient, path: str) -> None:
    answer = client.get(path, auth=LOGIN)
    assert answer.status_code in (400, 404)
    (navigation,) = re.findall(r"<nav.*?</nav>", answer.text, re.DOTALL)
    links = re.findall(r'href="([^"]*)"', navigation)
    assert len(links) == 3
    for link in links:
        assert client.get(urljoin(path, link), auth=LOGIN).status_code == 200


def test_when_the_database_cannot_be_read_the_overview_says_so(
    client: FlaskClient, settings: Settings
) -> None:
    settings.database_path.write_bytes(b"this is no database" * 1000)
    answer = client.get("/", auth=LOGIN)
    assert answer.status_code == 200
    assert "The database cannot be read" in answer.text
    answer = client.get("/ui/messages", auth=LOGIN)
    assert answer.status_code == 503
    assert "<h1>The database cannot be read</h1>" in answer.text
