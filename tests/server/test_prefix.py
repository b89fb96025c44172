"""BASE_URL with a path prefix, behind a proxy that keeps it and behind one that takes it off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from smsstatus import create_app
from smsstatus.settings import ROUTES, WEBHOOK_PATH, Settings
from smsstatus.web.current import service_of

from ..live import API_TOKEN
from ..plivo_api import AUTH_ID, PlivoApi
from ..signed import Plivo

LOGIN = ("anybody", API_TOKEN)
UUID = "3d5a3f6e-6a3c-4b7c-9d52-3f1a5e0c7b11"

Through = Callable[..., TestResponse]
Serve = Callable[[str], Flask]


@pytest.fixture
def serve(settings: Settings, standin: PlivoApi) -> Iterator[Serve]:
    """The application for a BASE_URL."""
    apps: list[Flask] = []

    def make(base_url: str) -> Flask:
        apps.append(
            create_app(
                replace(
                    settings,
                    base_url=base_url,
                    auth_id=AUTH_ID,
                    sender="+14155550100",
                    plivo_api_url=standin.url,
                )
            )
        )
        return apps[-1]

    yield make
    for app in apps:
        service_of(app).stop()


def service_url(plivo: Plivo) -> str:
    """The address that Plivo calls."""
    return plivo.base_url + WEBHOOK_PATH


def through_proxy(app: Flask, prefix: str, *, keeps: bool) -> Through:
    """Ask for a public address; the proxy passes the prefix on or takes it off."""

    def ask(address: str, method: str = "GET", **more: Any) -> TestResponse:
        parts = urlsplit(address)
        assert parts.path == prefix or parts.path.startswith(f"{prefix}/"), address
        path = parts.path if keeps else parts.path.removeprefix(prefix) or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        return app.test_client().open(target, method=method, **more)

    return ask


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "taken off"])
@pytest.mark.parametrize("prefix", ["/sms", "/sms/live", "/caf%C3%A9", "/live/messages"])
def test_a_callback_is_stored_whatever_the_proxy_does_with_the_prefix(
    serve: Serve, prefix: str, keeps: bool
) -> None:
    plivo = Plivo(base_url=f"https://sms.example.com{prefix}")
    app = serve(plivo.base_url)
    ask = through_proxy(app, prefix, keeps=keeps)
    for method, callback in (
        ("POST", plivo.post(plivo.fields("sent", UUID), query="order=42")),
        ("GET", plivo.get(plivo.fields("delivered", UUID))),
    ):
        address = plivo.base_url + callback.target
        answer = ask(address, method, headers=callback.headers, data=callback.body)
        assert answer.status_code == 200
    found = service_of(app).store.find(UUID)
    assert found is not None
    assert found.current_status == "delivered"


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "taken off"])
@pytest.mark.parametrize("prefix", ["/sms", "/sms/live", "/caf%C3%A9"])
def test_a_message_that_was_sent_is_found_where_location_says(
    serve: Serve, prefix: str, keeps: bool
) -> None:
    base_url = f"https://sms.example.com{prefix}"
    ask = through_proxy(serve(base_url), prefix, keeps=keeps)
    sent = ask(
        f"{base_url}/messages", "POST", json={"to": "+14155550123", "text": "hi"}, auth=LOGIN
    )
    assert sent.status_code == 202
    there = urljoin(f"{base_url}/messages", sent.headers["Location"])
    assert ask(there, auth=LOGIN).get_json() == sent.get_json()


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "taken off"])
@pytest.mark.parametrize("prefix", ["/sms", "/sms/live", "/caf%C3%A9"])
def test_every_link_of_the_pages_leads_somewhere_below_the_prefix(
    serve: Serve, prefix: str, keeps: bool
) -> None:
    plivo = Plivo(base_url=f"https://sms.example.com{prefix}")
    ask = through_proxy(serve(plivo.base_url), prefix, keeps=keeps)
    callback = plivo.post(plivo.fields("delivered", UUID))
    ask(service_url(plivo), "POST", headers=callback.headers, data=callback.body)
    seen, waiting = set(), [f"{plivo.base_url}/"]
    while waiting:
        address = waiting.pop().partition("#")[0]
        if address in seen:
            continue
        seen.add(address)
        answer = ask(address, auth=LOGIN, buffered=True)
        assert answer.status_code == 200, address
        if answer.mimetype == "text/html" and len(seen) < 40:
            links = re.findall(r'(?:href|src|action)="([^"]*)"', answer.text)
            waiting += [urljoin(address, link.replace("&amp;", "&")) for link in links]
    assert f"{plivo.base_url}/ui/messages/{UUID}" in {address.partition("?")[0] for address in seen}
    assert [address for address in seen if "/static/" in address]


def test_the_paths_that_no_prefix_may_begin_like_are_those_that_are_served(
    serve: Serve,
) -> None:
    """Below such a prefix nobody could tell whether the proxy has taken it off."""
    rules = [rule.rule for rule in serve("https://sms.example.com").url_map.iter_rules()]
    assert {rule.split("/")[1] for rule in rules} - {""} == set(ROUTES)


def test_the_prefix_alone_leads_to_the_page_with_its_slash(serve: Serve) -> None:
    ask = through_proxy(serve("https://sms.example.com/a/sms"), "/a/sms", keeps=True)
    answer = ask("https://sms.example.com/a/sms")
    assert answer.status_code == 308
    there = urljoin("https://sms.example.com/a/sms", answer.headers["Location"])
    assert there == "https://sms.example.com/a/sms/"
    assert ask(there, auth=LOGIN).status_code == 200


@pytest.mark.parametrize("path", ["/smsx/plivo/status", "/other/plivo/status"])
def test_of_a_path_that_a_proxy_has_changed_the_log_does_not_blame_the_address_plivo_has(
    serve: Serve, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    plivo = Plivo(base_url="https://sms.example.com/sms")
    callback = plivo.post(plivo.fields("sent"))
    client = serve(plivo.base_url).test_client()
    answer = client.open(
        path="/", method="POST", headers=callback.headers, environ_overrides={"PATH_INFO": path}
    )
    assert answer.status_code == 404
    (record,) = caplog.records
    assert "before /plivo/status that BASE_URL has not" in record.getMessage()
    assert service_url(plivo) not in record.getMessage()
