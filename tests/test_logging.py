"""What a log line says to the person who has to fix something, and what it must not say."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from smsstatus import create_app, logs
from smsstatus.intake.last_resort import read_log
from smsstatus.logs import RateLimit, names_of, without_values
from smsstatus.plivo.signature import V3_NONCE, V3_SIGNATURES
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from .conftest import Deliver
from .live import API_TOKEN, LiveService, live_service, wait_until
from .signed import Plivo, Request, send

FORGER = Plivo(token="another")
OUR_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) smsstatus[.a-z]+: .+"
)


def test_a_refusal_says_what_to_compare(deliver: Deliver, caplog: pytest.LogCaptureFixture) -> None:
    deliver(FORGER.post(FORGER.fields("sent"), query="a=1&to=%2B14155550123"))
    (record,) = caplog.records
    line = record.getMessage()
    assert record.levelname == "WARNING"
    assert "no V3 signature matches" in line
    assert "POST checked against https://sms.example.com/plivo/status?a=...&to=... " in line
    assert "is that the URL given to Plivo" in line
    assert "PLIVO_AUTH_TOKEN" in line
    headers = line.partition("headers: ")[2].split(", ")
    assert {"Content-Type", V3_SIGNATURES[0], V3_NONCE} <= set(headers)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no signature header"),
        ({V3_NONCE: "1"}, "V3 nonce or signature is missing or malformed"),
        ({"X-Plivo-Signature-V2": "x"}, "V2 nonce or signature is missing or malformed"),
    ],
)
def test_a_refusal_says_why(
    deliver: Deliver, caplog: pytest.LogCaptureFixture, headers: dict[str, str], reason: str
) -> None:
    deliver(Request("POST", "/plivo/status", headers, b"Status=sent"))
    assert f"refused with 403: {reason};" in caplog.text


def test_a_refusal_of_v2_names_the_switch(
    settings: Settings, plivo: Plivo, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(replace(settings, accept_v2=False))
    app.test_client().post("/plivo/status", headers=plivo.headers("POST", [], [], "V2"))
    assert "ACCEPT_V2 is off" in caplog.text


def test_of_many_refusals_ten_in_a_minute_get_a_line_and_the_next_says_how_many_more_there_were(
    app: Flask, deliver: Deliver, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter([*[0.0] * 30, 60.0, 60.0])
    service_of(app).refusals = RateLimit(clock=lambda: next(seconds))
    request = FORGER.post(FORGER.fields("sent"))
    assert {deliver(request).status_code for _ in range(32)} == {403}
    ends = [record.getMessage().rpartition("; ")[2] for record in caplog.records]
    assert len(ends) == 12
    more = "20 more since the last such line"
    assert [number for number, end in enumerate(ends) if end == more] == [10]


def test_a_client_that_does_not_take_its_answer_is_no_error_of_ours() -> None:
    error = TimeoutError()
    text = "Error handling request /messages?to=14155550187"
    record = logging.LogRecord(
        "gunicorn.error", logging.ERROR, "", 1, text, (), (TimeoutError, error, None)
    )
    assert logs._WithoutRequest().filter(record)
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "a client did not take its answer",
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "line"),
    [
        ("POST", "/plivo/status/", b"", "answered 404: a POST to another path, with a signature;"),
        ("POST", "/", b"", "answered 405: a POST to another path, with a signature;"),
    ],
)
def test_a_callback_that_misses_the_webhook_is_told_of(
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: bytes,
    line: str,
) -> None:
    deliver(Request(method, path, {V3_SIGNATURES[0]: "x"}, body))
    (record,) = caplog.records
    assert record.getMessage().startswith(line)
    assert record.getMessage().endswith("give to Plivo is https://sms.example.com/plivo/status")


@pytest.mark.parametrize(
    ("method", "body", "line"),
    [
        ("PUT", b"", "answered 405: a PUT to /plivo/status; The method is not allowed"),
        ("HEAD", b"", "answered 405: a HEAD to /plivo/status; The method is not allowed"),
        ("POST", b"x" * 70_000, "answered 413: a POST to /plivo/status; The data value"),
        ("POST", b"x", "answered 400: a POST to /plivo/status; The body is shorter than its Conte"),
    ],
)
def test_one_that_comes_to_it_in_vain_is_told_of_with_the_fault_though_many_were_refused(
    app: Flask,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
    method: str,
    body: bytes,
    line: str,
) -> None:
    """The address is right, so it is not said."""
    for _ in range(20):
        deliver(FORGER.post(FORGER.fields("sent")))
    caplog.clear()
    length = {"CONTENT_LENGTH": str(max(len(body), 2))}
    app.test_client().open("/plivo/status", method=method, data=body, environ_overrides=length)
    (record,) = caplog.records
    assert record.getMessage().startswith(line)
    assert "give to Plivo" not in caplog.text


def test_other_requests_that_miss_are_not_told_of(
    deliver: Deliver, caplog: pytest.LogCaptureFixture
) -> None:
    for method in ("GET", "POST"):
        assert deliver(Request(method, "/wp-login.php", {}, b"")).status_code == 404
    assert caplog.records == []


def test_a_mistake_of_ours_is_logged_by_its_place_without_a_text_and_not_each_time(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.view_functions, "health.healthz", _make_a_mistake)
    for _ in range(15):
        assert app.test_client().get("/healthz?to=14155550187").status_code == 500
    assert len(caplog.records) == 10
    line = caplog.records[0].getMessage()
    assert line.startswith("a mistake in a GET of health.healthz: LookupError at test_logging.py:")
    assert "14155550187" not in caplog.text
    assert "Traceback" not in caplog.text


def _make_a_mistake() -> None:
    raise LookupError("14155550187")


def test_so_is_one_that_only_gunicorn_sees() -> None:
    keeps_out, shown = logs._WithoutRequest(), []
    for _ in range(15):
        try:
            _make_a_mistake()
        except LookupError:
            text, about = "Error handling request GET /messages?to=14155550187", sys.exc_info()
            record = logging.LogRecord("gunicorn.error", logging.ERROR, "", 1, text, (), about)
            if keeps_out.filter(record):
                shown.append(logging.Formatter().format(record))
    assert len(shown) == 10
    assert re.fullmatch(
        r"Error handling request GET /messages: LookupError at test_logging.py:\d+ < .+", shown[0]
    )
    assert "14155550187" not in "".join(shown)


def test_the_rate_limit_lets_so_many_through_in_a_window() -> None:
    seconds = iter([0.0, 1.0, 1.0, 59.9, 60.0, 60.0, 60.0])
    limit = RateLimit(lines=2, seconds=60.0, clock=lambda: next(seconds))
    assert [limit.allow() for _ in range(7)] == [0, 0, None, None, 2, 0, None]


def test_the_rate_limit_says_how_many_it_left_out_since_the_last_line() -> None:
    seconds = iter([0.0, *[59.0] * 3, 60.0, 61.0, 120.0, 180.0])
    limit = RateLimit(lines=1, seconds=60.0, clock=lambda: next(seconds))
    assert [limit.allow() for _ in range(8)] == [0, None, None, None, 3, None, 1, 0]


def test_a_name_chosen_by_a_stranger_is_cut() -> None:
    assert names_of(["x" * 1000]) == "x" * 60
    assert len(names_of(f"name-{n}" for n in range(1000)).split(", ")) == 40
    url = without_values("https://a", [("n" * 1000, "v")] * 1000)
    assert url == "https://a?" + "&".join(["n" * 40 + "=..."] * 30)
    assert without_values("https://a", []) == "https://a"
    record = without_values("https://a", [("smsstatus-callback 2.AAAA.1.1.AAAA.A", "")])
    assert list(read_log([record], ["token"])) == []


@pytest.mark.parametrize(
    "text",
    ["\n", "\r\n", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x00", "\x9b"],
)
def test_a_line_stays_one_line_whatever_is_in_it(text: str) -> None:
    logs.configure("info")
    (handler,) = logging.getLogger("smsstatus").handlers
    record = logging.LogRecord("smsstatus.x", logging.INFO, "", 1, "a%sb", (text,), None)
    line = handler.format(record)
    assert re.fullmatch(r".* INFO smsstatus\.x: a\?+(\[2J)?b", line)
    assert line.isprintable()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is five and a half hours ahead."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "IST-5:30")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_times_are_utc_with_milliseconds() -> None:
    logs.configure("info")
    (handler,) = logging.getLogger("smsstatus").handlers
    record = logging.LogRecord("smsstatus.x", logging.INFO, "", 1, "text", (), None)
    record.created, record.msecs = 0.25, 250
    assert handler.format(record) == "1970-01-01T00:00:00.250Z INFO smsstatus.x: text"


def test_configuring_twice_logs_once_and_takes_the_last_level() -> None:
    logs.configure("debug")
    logs.configure("error")
    logger = logging.getLogger("smsstatus")
    assert len(logger.handlers) == 1
    assert logger.level == logging.ERROR
    logs.configure("info")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(
        tmp_path_factory.mktemp("logging"), GUNICORN_CMD_ARGS="--access-logfile -"
    ) as service:
        yield service


def lines_since(service: LiveService, start: int) -> list[str]:
    """What the service has logged behind the first `start` bytes of its log."""
    return service.log.read_bytes()[start:].decode().split("\n")


def test_nobody_can_write_a_log_line_of_his_own(service: LiveService) -> None:
    plivo = service.plivo
    start = service.log.stat().st_size
    injection = "x\n2026-01-01T00:00:00.000Z ERROR smsstatus.x: injected\r\u2028\x1b[31m"
    forged = replace(plivo, token="another").get({injection: injection})
    assert send(forged, service.address)[0] == 403
    for status in ("delivered", f"a{injection}"):  # the second is late, which leaves a line
        fields = plivo.fields(status, "a-uuid", To=injection)
        assert send(plivo.post(fields), service.address)[0] == 200
    unusable = plivo.post({"MessageUUID": injection})
    assert send(unusable, service.address)[0] == 200
    lines = lines_since(service, start)
    ours = [line for line in lines if " smsstatus." in line and not line.startswith("[")]
    assert len(ours) == 3
    for line in ours:
        assert OUR_LINE.fullmatch(line)
        assert line.isprintable()


@pytest.mark.parametrize("character", ["%0A", "%0D", "%1B", "%C2%9B", "%E2%80%A8"])
def test_a_path_cannot_write_a_line_or_steer_a_terminal_in_the_access_log(
    service: LiveService, character: str
) -> None:
    start = service.log.stat().st_size
    assert service.get(f"/before{character}after")[0] == 404
    wait_until(lambda: "after" in service.log.read_bytes()[start:].decode())
    (line,) = [line for line in lines_since(service, start) if "before" in line]
    assert "after" in line
    assert line.isprintable()


def test_nothing_secret_is_in_the_log(service: LiveService) -> None:
    plivo = service.plivo
    fields = plivo.fields("delivered", From="14155550187", To="+14155550199")
    requests = [
        plivo.get(fields),
        plivo.post(fields),
        plivo.post(fields, scheme="V2"),
        plivo.post({**fields, "Status": "sent"}),
        plivo.post({**fields, "Status": ""}),
        replace(plivo, token="another").get(fields),
        replace(plivo, token="another").post(fields, query="To=14155550199", scheme="V2"),
    ]
    start = service.log.stat().st_size
    answers = [send(request, service.address)[0] for request in requests]
    assert answers == [200] * 5 + [403] * 2

    def access_lines() -> list[str]:
        return [line for line in lines_since(service, start) if ' HTTP/1.1" ' in line]

    # At least: the line of an answer to the test before this one can come late.
    wait_until(lambda: len(access_lines()) >= len(requests), 60, "each answer is logged")
    log = "\n".join(lines_since(service, start))
    assert '"GET /plivo/status HTTP/1.1" 200' in log
    assert "refused with 403" in log
    secrets = [plivo.token, API_TOKEN, "14155550187", "14155550199", "4155550199"]
    secrets += [value for request in requests for value in signatures(request)]
    assert [secret for secret in secrets if secret in log] == []


def signatures(request: Request) -> list[str]:
    return [value for name, value in request.headers.items() if name.startswith("X-Plivo")]
