"""No log holds a message's text, a token, a signature or a full phone number."""

from __future__ import annotations

import logging
import socket
import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote_plus, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.intake.last_resort import log_lines
from smsstatus.model import utc_now, utc_timestamp
from smsstatus.plivo.callback import Callback
from smsstatus.settings import Settings
from smsstatus.upkeep import reconcile
from smsstatus.web.current import service_of

from .conftest import Deliver
from .live import API_TOKEN, LiveService, live_service, wait_until
from .plivo_api import AUTH_ID, PlivoApi, Reply
from .rows import insert, row
from .signed import Plivo, Request, send

TEXT = "recognisable text"
SENDER, RECIPIENT = "+14155550187", "+14155550199"
AUTH_TOKEN = "recognisable-auth-token"
WRONG_TOKEN = "recognisable-wrong-token"

PLIVO = Plivo(token=AUTH_TOKEN)
FORGER = Plivo(token=WRONG_TOKEN)

SECRETS = {
    "the text": TEXT,
    "the text, encoded": quote_plus(TEXT),
    "the sender": SENDER[2:],
    "the recipient": RECIPIENT[2:],
    "Plivo's token": AUTH_TOKEN,
    "another token": WRONG_TOKEN,
    "the API's token": API_TOKEN,
    "Plivo's token, encoded": b64encode(f"{AUTH_ID}:{AUTH_TOKEN}".encode()).decode(),
    "the API's token, encoded": b64encode(f"x:{API_TOKEN}".encode()).decode(),
}


def told(log: str, requests: Iterable[Request] = ()) -> list[str]:
    """Which secrets the log tells, and where."""
    signatures = {
        f"signature {number}": value
        for number, request in enumerate(requests)
        for name, value in request.headers.items()
        if name.startswith("X-Plivo-Signature") and not name.endswith("Nonce")
    }
    return [
        f"{what}: ...{log[max(log.index(secret) - 150, 0) : log.index(secret) + 60]}..."
        for what, secret in {**SECRETS, **signatures}.items()
        if secret in log
    ]


def callbacks(plivo: Plivo) -> list[Request]:
    """Genuine, late, doubled, unusable, and forged ones."""
    forger = replace(plivo, token=WRONG_TOKEN)
    fields = plivo.fields("delivered", From=SENDER, To=RECIPIENT, Text=TEXT)
    late = {**fields, "Status": "sent"}
    return [
        plivo.post(fields),
        plivo.post(fields),
        plivo.get(fields),
        plivo.post(fields, scheme="V2"),
        plivo.post(fields, scheme="Ma-V3", query=urlencode({"to": RECIPIENT})),
        plivo.post(late),
        plivo.get(late),
        plivo.post({**fields, "Status": ""}),
        plivo.get({**fields, "MessageUUID": ""}),
        plivo.post([*fields.items(), ("To", "1")]),
        forger.post(fields),
        forger.get(fields),
        forger.post(fields, scheme="V2", query=urlencode(fields)),
        forger.post({RECIPIENT: TEXT}, query=urlencode({"q": TEXT})),
        Request("POST", "/plivo/status", {}, TEXT.encode()),
        Request("PUT", f"/plivo/status?to={RECIPIENT}", {}, b""),
        Request("POST", "/plivo/status", {}, b"\xff" + RECIPIENT.encode()),
        Request("POST", "/plivo/status", {}, TEXT.encode() * 10_000),
    ]


def api_requests() -> list[Request]:
    """Every route, well and badly asked."""
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    wrong = {"Authorization": f"Bearer {WRONG_TOKEN}"}
    basic = {"Authorization": "Basic " + b64encode(f"x:{API_TOKEN}".encode()).decode()}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    good = {"to": RECIPIENT, "text": TEXT}
    by_number = urlencode({"to": RECIPIENT, "from": SENDER})
    posted = [
        Request("POST", "/messages", {**headers, **form}, urlencode(fields).encode())
        for headers in (bearer, basic, wrong, {})
        for fields in (good, {**good, "to": f"{RECIPIENT}x"}, {**good, "from": RECIPIENT})
    ]
    asked = [
        Request("GET", path, {**headers, "Accept": accept}, b"")
        for headers in (bearer, wrong)
        for accept in ("application/json", "text/csv")
        for path in (
            "/messages",
            f"/messages?{by_number}",
            "/changes",
            f"/changes?after={RECIPIENT[1:]}",
            "/stats",
            "/openapi.json",
            f"/messages?to={RECIPIENT[1:]}-x",
            f"/messages?q={quote_plus(TEXT)}",
            f"/messages?cursor={RECIPIENT[1:]}",
            f"/stats?since={RECIPIENT[1:]}",
            "/messages/00000000-0000-4000-8000-000000000000",
            "/messages/none",
            "/healthz",
            "/readyz",
            "/metrics",
            f"/?{by_number}",
            f"/none?{by_number}",
        )
    ]
    return [*posted, *asked]


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(
        settings,
        auth_tokens=(AUTH_TOKEN,),
        auth_id=AUTH_ID,
        sender=SENDER,
        plivo_api_url=standin.url,
        log_level="debug",
    )


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that any logger says from now on."""
    names = [None, "smsstatus", *logging.root.manager.loggerDict]
    for name in names:
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


REFUSALS = [
    *(Reply(status, {"error": f"to {RECIPIENT}: {TEXT}"}) for status in (400, 401, 402, 403, 404)),
    *(Reply(status, {"error": f"to {RECIPIENT}: {TEXT}"}) for status in (200, 302, 429, 500, 503)),
    Reply(200, f"<html>{TEXT} {RECIPIENT}".encode()),
    Reply(hang_up_after=-1),
    Reply(202, {"message_uuid": ["x"]}, hang_up_after=5),
]


def test_no_route_tells(
    app: Flask,
    client: FlaskClient,
    deliver: Deliver,
    standin: PlivoApi,
    settings: Settings,
    everything: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    requests = [*callbacks(PLIVO), *api_requests()]
    answers = {deliver(request).status_code for request in requests}
    assert {200, 202, 401, 403, 404, 405, 413, 422} <= answers

    sent = requests[len(callbacks(PLIVO))]
    for refusal in REFUSALS:
        standin.reply = lambda asked, refusal=refusal: refusal  # type: ignore[misc]
        assert deliver(sent).status_code >= 400
    standin.reply = lambda asked: None

    settings.database_path.rename(settings.database_path.with_suffix(".away"))
    settings.database_path.mkdir()
    for request in [*callbacks(PLIVO), sent]:
        deliver(request)
    for path in (settings.spool_dir / "bad", settings.spool_dir):
        for file in path.glob("*.json"):
            file.unlink()
        path.rmdir()
    settings.spool_dir.write_text("a file in its place")
    for request in [*callbacks(PLIVO), sent]:
        deliver(request)
    assert "its row goes to the spool" in everything.text
    last_resort = capfd.readouterr().err
    assert "feed this line to `replay`" in last_resort
    assert "its row goes to the log" in everything.text
    assert told(everything.text + last_resort, requests) == []


def test_no_command_tells(
    app: Flask,
    deliver: Deliver,
    standin: PlivoApi,
    settings: Settings,
    tmp_path: Path,
    everything: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "REQUESTS_PER_SECOND", 1000)
    service = service_of(app)
    body = PLIVO.post(PLIVO.fields("sent", To=RECIPIENT)).body.decode()
    kept = Callback("POST", "", body, utc_now())
    unusable = kept._replace(body=urlencode({"To": RECIPIENT, "Text": TEXT}))
    log = tmp_path / "service.log"
    log.write_text("".join(line for c in (kept, unusable) for line in log_lines(c, AUTH_TOKEN)))
    service.spool.keep(kept, "a reason")
    service.spool.keep(unusable, "a reason")
    deliver(PLIVO.post(PLIVO.fields("sent", "a-uuid", From=SENDER, To=RECIPIENT)))
    make_silent(settings)

    complaints = ""
    nowhere, copy = tmp_path / "none.json", tmp_path / "copy"
    commands = (
        *(("send", RECIPIENT, TEXT), ("send", f"{RECIPIENT}x", TEXT), ("send", SENDER, TEXT)),
        *(("messages",), ("messages", "--json"), ("messages", "none")),
        *(("reconcile", "--dry-run"), ("reconcile",), ("doctor",), ("init-db",)),
        *(("replay",), ("replay", log), ("replay", nowhere)),
        *(("backup", copy), ("backup", copy), ("simulate",)),
        *(("prune", "--older-than", "1s", "--dry-run"), ("prune", "--older-than", "1s")),
    )
    for arguments in commands:
        result = app.test_cli_runner().invoke(args=[str(word) for word in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), arguments
        complaints += result.stderr
    for refusal in REFUSALS:
        make_silent(settings)
        standin.reply = lambda asked, refusal=refusal: refusal  # type: ignore[misc]
        for words in (["send", RECIPIENT, "Hello"], ["reconcile"]):
            app.test_cli_runner().invoke(args=words)
    assert "set aside in bad/" in everything.text
    assert told(everything.text + complaints) == []


def make_silent(settings: Settings) -> None:
    """Messages that reconcile will ask about."""
    old = utc_timestamp(str(datetime.now(UTC) - timedelta(hours=1)))
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM messages WHERE message_uuid < '1'")
        insert(connection, [row(n, old, recipient_number=RECIPIENT) for n in range(3)])


@pytest.fixture
def service(tmp_path: Path, standin: PlivoApi) -> Iterator[LiveService]:
    """A service that logs as much as it can, gunicorn's access log included."""
    with live_service(
        tmp_path,
        PLIVO_AUTH_TOKEN=AUTH_TOKEN,
        PLIVO_AUTH_ID=AUTH_ID,
        PLIVO_API_URL=standin.url,
        PLIVO_SENDER=SENDER,
        LOG_LEVEL="debug",
        GUNICORN_CMD_ARGS="--access-logfile - --log-level debug",
    ) as service:
        service.plivo = replace(service.plivo, token=AUTH_TOKEN)
        yield service


def test_a_live_service_does_not_tell_even_with_all_its_logs_on(
    service: LiveService, standin: PlivoApi
) -> None:
    requests = [*callbacks(service.plivo), *api_requests()]
    answers = {send(request, service.address)[0] for request in requests}
    assert {200, 202, 401, 403, 404, 405, 413, 422} <= answers
    sent = api_requests()[0]
    for refusal in REFUSALS:
        standin.reply = lambda asked, refusal=refusal: refusal  # type: ignore[misc]
        assert send(sent, service.address)[0] >= 400
    service.stop()
    log = service.log.read_text()
    assert '"POST /messages HTTP/1.1" 202' in log, "the access log is on"
    assert '"GET /plivo/status HTTP/1.1" 200' in log
    assert told(log, requests) == []


MALFORMED = {
    "a blank in the path": f"GET /messages?to=+1 {RECIPIENT[2:]} HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": f"GET /messages?to={RECIPIENT}\r\n\r\n",
    "another version": f"GET /messages?to={RECIPIENT} HTTP/9.9\r\n\r\n",
    "a bad method": f"{TEXT} /messages HTTP/1.1\r\n\r\n",
    "a header with a blank": f"GET / HTTP/1.1\r\nAuthorization : Bearer {API_TOKEN}\r\n\r\n",
    "a header with a NUL": f"GET / HTTP/1.1\r\nAuthorization: Bearer {API_TOKEN}\0\r\n\r\n",
    "a header without colon": f"GET / HTTP/1.1\r\nBearer {API_TOKEN}\r\n\r\n",
    "a folded header": f"GET / HTTP/1.1\r\nA: b\r\n Bearer {API_TOKEN}\r\n\r\n",
    "a line too long": f"GET /messages?to={RECIPIENT}&{'x' * 5000} HTTP/1.1\r\n\r\n",
    "a bad length": f"POST / HTTP/1.1\r\nContent-Length: {RECIPIENT}\r\n\r\n",
    "a bad chunk": f"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{RECIPIENT}\r\n",
    "a bad coding": f"POST / HTTP/1.1\r\nTransfer-Encoding: {TEXT}\r\n\r\n",
}


def test_a_malformed_request_does_not_tell(service: LiveService) -> None:
    for request in MALFORMED.values():
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
    service.stop()
    assert told(service.log.read_text()) == []


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_a_listing_that_fails_does_not_tell_whom_was_asked_about(
    service: LiveService, accept: str
) -> None:
    service.database.rename(service.database.with_suffix(".away"))
    service.database.write_bytes(b"no database" * 1000)
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Accept": accept}
    path = f"/messages?{urlencode({'to': RECIPIENT})}"
    send(Request("GET", path, headers, b""), service.address)
    wait_until(lambda: '"GET /messages HTTP/1.1"' in service.log.read_text())
    assert told(service.log.read_text()) == []
