"""Who may use the API, and the form in which everybody else is refused."""

from __future__ import annotations

import hmac
import logging
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from types import FrameType

import pytest
from flask.testing import FlaskClient

from smsstatus import create_app
from smsstatus.settings import Settings

from ..live import API_TOKEN, ROOT
from ..plivo_api import PlivoApi
from .conftest import problem

UNKNOWN = "/messages/00000000-0000-4000-8000-000000000000"
CLOSED = [("GET", "/messages"), ("POST", "/messages"), ("GET", UNKNOWN), ("GET", "/stats")]
SEND = {"to": "+14155550123", "text": "Hello"}


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "shown",
    [
        f"Bearer {API_TOKEN}",
        f"bearer {API_TOKEN}",
        basic("", API_TOKEN),
        basic("anybody", API_TOKEN),
        basic("jos\u00e9", API_TOKEN),
    ],
)
@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_who_shows_the_token_may_do_everything(
    client: FlaskClient, method: str, path: str, shown: str
) -> None:
    data = SEND if method == "POST" else None
    answer = client.open(path, method=method, headers={"Authorization": shown}, data=data)
    assert answer.status_code == (404 if path == UNKNOWN else 202 if data else 200)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {API_TOKEN}x",
        f"Bearer {API_TOKEN[:-1]}",
        f"Bearer {API_TOKEN.upper()}",
        "Bearer t\u00f6ken",
        "Bearer \udcff\udcfe",
        API_TOKEN,
        "Basic",
        "Basic !!!",
        "Basic \udcff",
        basic("anybody", "wrong"),
        basic("anybody", ""),
        basic(API_TOKEN, ""),
        basic("anybody", "t\u00f6ken"),
        "Basic " + b64encode(b"anybody:\xff\xfe").decode(),
        "Digest username=x",
    ],
)
@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_who_does_not_is_refused_and_nothing_is_sent(
    refusing: FlaskClient, method: str, path: str, shown: str | None
) -> None:
    client = refusing.application.test_client()
    headers = {} if shown is None else {"Authorization": _as_wsgi(shown)}
    answer = client.open(path, method=method, data=SEND, environ_overrides=_environ(headers))
    assert "API_TOKEN" in problem(answer, 401)["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def _as_wsgi(text: str) -> str:
    """Header bytes as WSGI hands them on (PEP 3333): each byte one character."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _environ(headers: dict[str, str]) -> dict[str, str]:
    return {f"HTTP_{name.upper()}": value for name, value in headers.items()}


@pytest.mark.parametrize("shown", [None, "Bearer ", f"Bearer {API_TOKEN}", basic("", "None")])
@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_without_api_token_everything_is_closed_and_says_so(
    settings: Settings, method: str, path: str, shown: str | None
) -> None:
    client = create_app(replace(settings, api_token=None)).test_client()
    headers = {"Authorization": shown} if shown else {}
    answer = client.open(path, method=method, headers=headers, data=SEND)
    assert "API_TOKEN is not set" in problem(answer, 503)["detail"]


def test_a_token_that_is_not_ascii_works_with_basic(settings: Settings) -> None:
    client = create_app(replace(settings, api_token="t\u00f6ken")).test_client()
    assert (
        client.get("/stats", headers={"Authorization": basic("", "t\u00f6ken")}).status_code == 200
    )


@pytest.mark.parametrize(
    "token",
    [
        "key=value",
        "ends=",
        "=begins",
        "a=b=c==",
        "==",
        "k=v, l=w",
        'k="v"',
        "a:b;c,d",
        "user:password",
        "realm=x",
        "Bearer",
        "dG9rZW4=",
        "t\u00f6ken=1",
    ],
)
def test_a_token_of_any_characters_is_shown_as_bearer_or_basic(
    settings: Settings, token: str
) -> None:
    client = create_app(replace(settings, api_token=token)).test_client()
    for shown, status in (
        (f"Bearer {token}", 200),
        (f"BEARER {token}", 200),
        (basic("", token), 200),
        (f"Bearer {token}x", 401),
        (f"Bearer x{token}", 401),
        (token, 401),
    ):
        environ = _environ({"Authorization": _as_wsgi(shown)})
        assert client.get("/stats", environ_overrides=environ).status_code == status, shown


@pytest.mark.parametrize("shown", ["Bearer guess", basic("", "guess")])
def test_tokens_are_compared_in_constant_time(client: FlaskClient, shown: str) -> None:
    called: list[object] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            called.append(argument)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        client.get("/stats", headers={"Authorization": shown})
    finally:
        sys.setprofile(before)
    assert hmac.compare_digest in called


HERE = "https://sms.example.com"
ELSEWHERE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://sms.example.com.evil.example"},
    {"Origin": "https://sms.example.com:444"},
    {"Origin": "https://[nonsense"},
    {"Origin": HERE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": HERE, "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "Same-Origin-or-so"},
]


@pytest.mark.parametrize("marks", ELSEWHERE)
def test_a_login_that_a_browser_sends_along_for_another_site_sends_nothing(
    client: FlaskClient, standin: PlivoApi, marks: dict[str, str]
) -> None:
    answer = client.post("/messages", headers={"Authorization": basic("", API_TOKEN), **marks})
    assert "Authorization: Bearer" in problem(answer, 403)["detail"]
    assert standin.asked == []


@pytest.mark.parametrize("marks", ELSEWHERE)
def test_a_bearer_token_is_no_browsers_own_doing(
    client: FlaskClient, standin: PlivoApi, marks: dict[str, str]
) -> None:
    shown = {"Authorization": f"bearer {API_TOKEN}"}
    assert client.post("/messages", headers={**shown, **marks}, data=SEND).status_code == 202


@pytest.mark.parametrize(
    "marks",
    [
        {"Origin": HERE},
        {"Origin": "https://sms.example.com:443", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://10.0.0.1:8000", "Host": "10.0.0.1:8000"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_login_that_comes_from_here_sends(
    client: FlaskClient, standin: PlivoApi, marks: dict[str, str]
) -> None:
    shown = {"Authorization": basic("", API_TOKEN)}
    assert client.post("/messages", headers={**shown, **marks}, data=SEND).status_code == 202


def test_from_another_site_without_the_token_it_is_the_token_that_is_asked_for(
    client: FlaskClient,
) -> None:
    headers = {"Authorization": basic("", "wrong"), "Origin": "https://evil.example"}
    problem(client.post("/messages", headers=headers, data=SEND), 401)


def refused_logins(client: FlaskClient) -> str:
    (line,) = re.findall(
        r"^smsstatus_refused_logins_total (.*)$", client.get("/metrics").text, re.M
    )
    return str(line)


def test_wrong_tokens_are_counted_and_reported_now_and_then(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert refused_logins(client) == "0"
    wrong = ["Bearer recognisable", basic("recognisable", "recognisable"), "Basic \xff", ""]
    for number in range(40):
        shown = {"Authorization": wrong[number % 4]}
        assert client.get("/messages", headers=shown).status_code == 401
    assert client.get("/", headers={"Authorization": wrong[1]}).status_code == 401
    assert refused_logins(client) == "41"
    lines = [record for record in caplog.records if "wrong token" in record.getMessage()]
    assert len(lines) == 10
    assert {record.levelname for record in lines} == {"WARNING"}
    assert "recognisable" not in caplog.text


def test_a_request_that_shows_no_token_or_the_right_one_is_no_guess(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/").status_code == 401
    right = {"Authorization": f"Bearer {API_TOKEN}"}
    assert client.get("/messages", headers=right).status_code == 200
    assert refused_logins(client) == "0"
    assert "API_TOKEN" not in caplog.text


@pytest.mark.parametrize("shown", [None, f"Bearer {API_TOKEN}"])
@pytest.mark.parametrize(
    ("method", "path"),
    [*CLOSED, ("GET", "/messages?limit=none"), ("GET", "/changes"), ("GET", "/metrics")],
)
def test_no_cache_keeps_what_the_token_opens(
    client: FlaskClient, method: str, path: str, shown: str | None
) -> None:
    answer = client.open(path, method=method, headers={"Authorization": shown} if shown else {})
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_description_needs_no_token(client: FlaskClient) -> None:
    assert client.get("/openapi.json").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/messages/a/b", 404),
        ("GET", "/messages/", 404),
        ("DELETE", "/messages", 405),
        ("PUT", UNKNOWN, 405),
        ("POST", "/stats", 405),
        ("POST", "/openapi.json", 405),
    ],
)
def test_other_paths_and_methods_are_problems_too(
    api: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = api.open(path, method=method)
    problem(answer, status)
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "path",
    ["/messages", "/messages?status=sent&status=queued", UNKNOWN, "/stats"],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_a_database_that_cannot_be_read_is_503_and_no_traceback(
    api: FlaskClient,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    path: str,
    accept: str,
    damage: str,
) -> None:
    settings.database_path.unlink()
    if damage == "garbage":
        settings.database_path.write_bytes(b"no database" * 1000)
    answer = api.get(path, headers={"Accept": accept})
    assert "/readyz" in problem(answer, 503)["detail"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


TAKES_A_CALLBACK = """
import sys
from smsstatus import create_app
from tests.signed import Plivo

plivo = Plivo(base_url="https://sms.example.com")
client = create_app().test_client()
request = plivo.post(plivo.fields("sent"))
got = client.open(request.target, method="POST", headers=request.headers, data=request.body)
got_too = client.get("/messages", headers={"Authorization": "Bearer test-api-token-0123"})
print(got.status_code, got_too.status_code, sorted({"plivo", "requests"} & set(sys.modules)))
"""


def test_the_web_process_imports_no_sdk_until_something_is_sent(settings: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TAKES_A_CALLBACK],
        cwd=ROOT,
        env={
            "PLIVO_AUTH_TOKEN": settings.auth_tokens[0],
            "PLIVO_AUTH_ID": settings.auth_id or "",
            "BASE_URL": settings.base_url,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": f"sqlite:///{settings.database_path}",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "200 200 []\n", done.stderr
