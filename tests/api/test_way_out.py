"""The way out of a company's network: proxies, and certificate authorities of its own."""

from __future__ import annotations

import logging
import os
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from ..live import ROOT, environment, free_port
from ..plivo_api import AUTH_ID, HangingPlivo, PlivoApi, Reply, plivo_api
from ..proxy import Proxy, running_proxy
from .conftest import problem

GOOD = {"to": "+14155550123", "text": "Hello"}
PLIVO = "api.plivo.example"
MAY_HAVE_HAPPENED = "before you send it again"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def empty_environment(no_proxy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in CA_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that signed itself, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "plivo.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            path,
            "-out",
            path.with_suffix(".crt"),
            "-subj",
            f"/CN={PLIVO}",
            "-addext",
            f"subjectAltName=DNS:{PLIVO},IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path.with_suffix(".crt")


@pytest.fixture
def secure(certificate: Path) -> Iterator[PlivoApi]:
    """Plivo's API behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.with_suffix(".pem"))
    with plivo_api(context) as api:
        yield api


@pytest.fixture
def proxy(secure: PlivoApi) -> Iterator[Proxy]:
    """The one way to the secure stand-in, which is known by name only."""
    with running_proxy() as proxy:
        proxy.upstream = int(secure.url.rpartition(":")[2])
        yield proxy


@pytest.fixture
def by_name(api: FlaskClient, settings: Settings) -> FlaskClient:
    """A client of a service that knows Plivo by name, which nothing here resolves."""
    service_of(api.application).settings = replace(settings, plivo_api_url=f"https://{PLIVO}")
    return api


def nothing_was_sent(client: FlaskClient) -> str:
    """Send, and be told that nothing was sent; why."""
    content = problem(client.post("/messages", json=GOOD), 502)
    assert content["title"] == "Plivo cannot be reached"
    assert content["detail"].startswith("Nothing was sent")
    assert MAY_HAVE_HAPPENED not in content["detail"]
    return str(content["detail"])


@pytest.mark.parametrize("ca_variable", CA_VARIABLES)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_https_goes_through_the_proxy_and_trusts_the_authority_that_is_named(
    by_name: FlaskClient,
    proxy: Proxy,
    secure: PlivoApi,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    ca_variable: str,
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    monkeypatch.setenv(ca_variable, str(certificate))
    assert by_name.post("/messages", json=GOOD).status_code == 202
    assert proxy.connects == [f"{PLIVO}:443"]
    assert [asked.content["text"] for asked in secure.asked] == ["Hello"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain_http_goes_through_the_proxy(
    api: FlaskClient,
    settings: Settings,
    standin: PlivoApi,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    service_of(api.application).settings = replace(settings, plivo_api_url=f"http://{PLIVO}:80")
    monkeypatch.setenv(variable, standin.url)  # which takes whole addresses as well
    assert api.post("/messages", json=GOOD).status_code == 202
    (asked,) = standin.asked
    assert asked.path.startswith(f"http://{PLIVO}")
    assert asked.authorization.startswith("Basic ")


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("hosts", ["127.0.0.1", "plivo.com, 127.0.0.0/8", "*"])
def test_no_proxy_is_respected(
    api: FlaskClient,
    standin: PlivoApi,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    hosts: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv(variable, hosts)
    assert api.post("/messages", json=GOOD).status_code == 202
    assert len(standin.asked) == 1


def test_a_proxy_is_shown_its_login_and_plivo_is_not(
    by_name: FlaskClient,
    proxy: Proxy,
    secure: PlivoApi,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login = proxy.url.replace("//", "//someone:secret@")
    monkeypatch.setenv("HTTPS_PROXY", login)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert by_name.post("/messages", json=GOOD).status_code == 202
    assert proxy.logins == ["Basic " + b64encode(b"someone:secret").decode()]


def test_a_certificate_that_is_not_trusted_sends_nothing(
    api: FlaskClient, settings: Settings, secure: PlivoApi
) -> None:
    service_of(api.application).settings = replace(settings, plivo_api_url=secure.url)
    assert "REQUESTS_CA_BUNDLE" in nothing_was_sent(api)
    assert secure.asked == []


def test_a_certificate_of_another_host_sends_nothing(
    api: FlaskClient,
    settings: Settings,
    secure: PlivoApi,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    elsewhere = secure.url.replace("127.0.0.1", "localhost")
    service_of(api.application).settings = replace(settings, plivo_api_url=elsewhere)
    nothing_was_sent(api)
    assert secure.asked == []


def test_a_server_that_speaks_no_tls_is_sent_nothing(
    api: FlaskClient, settings: Settings, standin: PlivoApi
) -> None:
    plain = standin.url.replace("http:", "https:")
    service_of(api.application).settings = replace(settings, plivo_api_url=plain)
    nothing_was_sent(api)
    assert standin.asked == []


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_a_file_of_authorities_that_is_not_there_is_said_so(
    by_name: FlaskClient,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    assert "names a missing file" in nothing_was_sent(by_name)
    assert proxy.connects == []


@pytest.mark.parametrize("refusal", [0, 403, 407, 502])
def test_a_proxy_that_refuses_sends_nothing(
    by_name: FlaskClient,
    proxy: Proxy,
    secure: PlivoApi,
    monkeypatch: pytest.MonkeyPatch,
    refusal: int,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    proxy.answer = refusal
    assert "HTTPS_PROXY" in nothing_was_sent(by_name) or not refusal
    assert (len(proxy.connects), secure.asked) == (1, [])


def test_a_proxy_that_hangs_sends_nothing(
    api: FlaskClient, settings: Settings, hanging: HangingPlivo, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_of(api.application).settings = replace(
        settings, plivo_api_url=f"https://{PLIVO}", plivo_timeouts=(0.3, 60.0)
    )
    monkeypatch.setenv("HTTPS_PROXY", hanging.url)
    detail = problem(api.post("/messages", json=GOOD), 504)["detail"]
    assert detail == "Nothing was sent: connecting to Plivo timed out."


def test_a_proxy_for_plain_http_that_wants_a_login_sends_nothing(
    api: FlaskClient, settings: Settings, standin: PlivoApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_of(api.application).settings = replace(settings, plivo_api_url=f"http://{PLIVO}")
    monkeypatch.setenv("HTTP_PROXY", standin.url)
    standin.reply = lambda asked: Reply(407, b"Who are you?")
    content = problem(api.post("/messages", json=GOOD), 502)
    assert content["title"] == "The proxy requires a login"
    assert MAY_HAVE_HAPPENED not in content["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "http://someone:secret@127.0.0.1:{}",
        "someone:secret@127.0.0.1:{}",
        "socks5://someone:secret@127.0.0.1:{}",
        "http://someone:secret@[nonsense:{}",
        "http://someone:secret@:{}",
        "https://someone:secret@127.0.0.1:{}",
    ],
)
def test_a_proxy_that_cannot_be_used_sends_nothing_and_its_password_is_not_told(
    by_name: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    address: str,
) -> None:
    for name in [None, *logging.root.manager.loggerDict]:
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.setenv("HTTPS_PROXY", address.format(free_port()))
    told = nothing_was_sent(by_name)
    assert "secret" not in told + caplog.text


@pytest.mark.parametrize("through_proxy", [False, True])
def test_a_connection_that_breaks_after_sending_may_have_sent(
    by_name: FlaskClient,
    settings: Settings,
    proxy: Proxy,
    secure: PlivoApi,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    through_proxy: bool,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    if through_proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    else:
        service_of(by_name.application).settings = replace(settings, plivo_api_url=secure.url)
    secure.reply = lambda asked: Reply(hang_up_after=-1)
    content = problem(by_name.post("/messages", json=GOOD), 502)
    assert content["title"] == "The connection to Plivo broke"
    assert MAY_HAVE_HAPPENED in content["detail"]
    assert len(secure.asked) == 1


def test_the_doctor_takes_the_proxy_too(tmp_path: Path, standin: PlivoApi) -> None:
    settings = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": f"http://{PLIVO}:80"}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"],
        cwd=ROOT,
        env=environment(
            tmp_path, f"http://127.0.0.1:{free_port()}", HTTP_PROXY=standin.url, **settings
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "the credentials are accepted" in done.stdout
    assert [asked.method for asked in standin.asked] == ["GET"]
