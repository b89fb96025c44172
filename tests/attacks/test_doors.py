"""Attacks on what needs the API token: by a browser that remembers it, and without it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, urlencode

from ..faults.raw import head
from .conftest import Attacked
from .target import TOKEN, Target

MESSAGE = {"to": "+14155550123", "text": "Hello"}
OURS = "https://sms.example.com"

FOREIGN = [
    "null",
    "",
    "https://evil.example",
    "http://evil.example:80",
    "https://sms.example.com.",
    "https://sms.example.com:8443",
    "https://sms.example.com.evil.example",
    "https://evil-sms.example.com",
    "https://www.sms.example.com",
    "https://example.com",
    "https://SMS.EXAMPLE.COM.evil.example",
    "https://sms.example.com@evil.example",
    "https://sms.example.com%2eevil.example",
    "https://sms\uff0eexample.com",
    "https://xn--sms-example.com",
    "ftp://sms.example.com",
    "file://",
    "chrome-extension://sms.example.com",
    "https://",
    "https://[",
    "//sms.example.com",
    "sms.example.com",
    f"{OURS} https://evil.example",
    f"https://evil.example {OURS}",
    f"{OURS}, https://evil.example",
    f"{OURS}\thttps://evil.example",
]
SITES = ["cross-site", "same-site", "", "Same-Origin-", "same-origin, cross-site", "unknown"]


def basic(password: str, user: str = "anyone") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def call(line: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    length = {"Content-Length": str(len(body))} if body else {}
    everything = {"Host": "sms.example.com", "Connection": "close", **headers, **length}
    encoded = {n: v.encode().decode("latin-1") for n, v in everything.items()}
    return head(f"{line} HTTP/1.1", encoded) + body


def marks() -> Iterable[dict[str, str]]:
    """What a browser says of a request that a page of another site makes."""
    for origin in FOREIGN:
        yield {"Origin": origin}
        yield {"Origin": origin, "Sec-Fetch-Site": "none"}
        yield {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        yield {"Origin": origin, "Referer": f"{OURS}/ui/send"}
    for site in SITES:
        yield {"Sec-Fetch-Site": site}
        yield {"Sec-Fetch-Site": site, "Origin": OURS}
        yield {"Sec-Fetch-Site": site, "Referer": f"{OURS}/ui/send"}
    for name, value in (("X-Forwarded-Host", "evil.example"), ("Host", "evil.example")):
        yield {"Origin": "https://evil.example.org", name: value}


def test_a_page_of_another_site_in_a_browser_that_is_logged_in(
    attacked: Attacked, full: bool
) -> None:
    form = urlencode(MESSAGE).encode()
    bodies = {
        "application/x-www-form-urlencoded": form,
        "application/json": json.dumps(MESSAGE).encode(),
        "text/plain": json.dumps(MESSAGE).encode(),
        "multipart/form-data; boundary=b": b"".join(
            f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
            for n, v in MESSAGE.items()
        )
        + b"--b--\r\n",
    }
    tries = [
        call(f"POST {path}", {"Authorization": basic(TOKEN), "Content-Type": kind, **mark}, body)
        for path in ("/messages", "/ui/send")
        for mark in marks()
        for kind, body in bodies.items()
    ]
    with attacked("another site's page, with the login that the browser remembers") as attack:
        for data in tries if full else tries[::5]:
            assert attack.status(data) in (400, 403)


def test_what_shows_no_token_or_another_one(attacked: Attacked) -> None:
    near = [
        *(TOKEN[:-1], TOKEN + "x", TOKEN[1:], TOKEN.upper(), TOKEN.split(":")[-1], TOKEN + ":"),
        *(TOKEN.replace("a", "\u0430"), TOKEN.replace("0", "\uff10"), TOKEN + "\x00", "", ":", " "),
        *(TOKEN * 100, "None", "null", "%00", "' OR 1=1 --"),
    ]
    shown = [f"Bearer {token}" for token in near] + [basic(token) for token in near]
    shown += [
        basic("", user=TOKEN),
        basic("x", user=TOKEN),
        TOKEN,
        f"Token {TOKEN}",
        f"Basic {TOKEN}",
    ]
    shown += [
        f"Bearer {TOKEN}, Basic x",
        f"Bearer {basic(TOKEN)}",
        "Bearer",
        "Basic",
        "Basic =",
        ",",
    ]
    shown += [f"Basic {b64encode(TOKEN.encode()).decode()}", "Basic " + "A" * 7999, "Negotiate x"]
    elsewhere = [{name: TOKEN} for name in ("Cookie", "X-API-Token", "Proxy-Authorization")]
    body, kind = json.dumps(MESSAGE).encode(), {"Content-Type": "application/json"}
    with attacked("no API token, parts of it, lookalikes, the wrong scheme") as attack:
        for headers in [*({"Authorization": text} for text in shown), *elsewhere, {}]:
            for line, content in (("POST /messages", body), ("GET /stats", b""), ("GET /", b"")):
                assert attack.status(call(line, {**kind, **headers}, content)) in (400, 401)
        for path in (f"/messages?api_token={TOKEN}", f"//messages?token={TOKEN}", "/ui/static/../"):
            assert attack.status(call(f"GET {path}", {})) in (401, 404)


def test_what_a_listing_is_asked_for(attacked: Attacked, target: Target) -> None:
    """With the token, which may see everything: no question breaks or changes anything."""
    target.arrive(target.service.plivo.post(target.capture()))
    forged = [
        b64encode(text.encode()).decode()
        for text in (
            '["2026-11-01T00:00:03.250000Z", -1]',
            '["2026-11-01T00:00:03.250000Z", 999999999999999999999]',
            '["2026-11-01T00:00:03.250000Z", 1e3]',
            '["2026-11-01T00:00:03.250000Z", true]',
            '["x\' OR 1=1 --", 1]',
            '["2026-11-01T00:00:03.250000Z", 1] ',
            '["\u0662026-11-01T00:00:03.250000Z", 1]',
            "[" * 3000,
            "null",
            '{"created_at": 1}',
        )
    ]
    forged += ["", "=", "....", "\u00fc", "A" * 4000, "%00", "W10", "../../etc/passwd"]
    hostile = [
        "' OR '1'='1",
        "'; DROP TABLE messages; --",
        "%",
        "_",
        "\\",
        "*",
        "\U0001f4a9",
        "[" * 999,
    ]
    filters = ("status", "to", "from", "error_code", "reference", "since", "until", "limit", "bom")
    asked = [f"cursor={quote(text)}" for text in forged]
    asked += [f"{name}={quote(text)}" for name in filters for text in hostile]
    asked += [
        "status=sent&" * 200,
        "limit=-1",
        "limit=1e9",
        "limit=\uff11",
        "since=9999-12-31T23:59:59Z",
    ]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with attacked("forged cursors, SQL and nonsense in every parameter") as attack:
        for query in asked:
            for path, accept in (
                ("/messages", "text/csv"),
                ("/messages", "*/*"),
                ("/stats", "*/*"),
            ):
                line = f"GET {path}?{quote(query, safe='=&%')}"
                assert attack.status(call(line, {**headers, "Accept": accept})) in (200, 400, 414)
        for text in hostile:
            for path in (f"/messages/{quote(text, safe='')}", f"/ui/messages?{quote(text)}=1"):
                assert attack.status(call(f"GET {path}", headers)) in (200, 400, 404)
