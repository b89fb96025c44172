"""The road of a callback, from the request to the row, and what each request is answered."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus import create_app
from smsstatus.intake.spool import Spool
from smsstatus.model import StatusUpdate
from smsstatus.plivo.callback import PROBE_FIELD, Callback
from smsstatus.plivo.form import MAX_BODY
from smsstatus.settings import Settings
from smsstatus.store.groupcommit import Ticket
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..conftest import Deliver, Query
from ..faults.raw import exchange
from ..live import LiveService, live_service
from ..rows import PARAMETERS
from ..signed import Plivo, Request, send


def test_a_signed_callback_becomes_one_row(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    response = deliver(plivo.post(plivo.fields("delivered", "a-uuid")))
    assert (response.status_code, response.text) == (200, "")
    (row,) = query("SELECT * FROM messages")
    assert (row["message_uuid"], row["current_status"]) == ("a-uuid", "delivered")


@pytest.mark.parametrize("scheme", ["V3", "Ma-V3", "V2", "Ma-V2"])
@pytest.mark.parametrize("method", ["post", "get"])
def test_every_scheme_is_accepted_with_every_method(
    deliver: Deliver, plivo: Plivo, query: Query, scheme: str, method: str
) -> None:
    request = getattr(plivo, method)(plivo.fields("sent", "a-uuid"), scheme=scheme)
    assert deliver(request).status_code == 200
    assert query("SELECT message_uuid FROM messages") == [{"message_uuid": "a-uuid"}]


def test_get_and_post_store_the_same(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    fields = plivo.fields("sent", Text="Gr\u00fc\u00dfe & \u4f60\u597d", Blank="")
    assert deliver(plivo.get(fields)).status_code == 200
    assert deliver(plivo.post(fields)).status_code == 200
    told = "status, status_timestamp, error_code, sequence, rank, source, parameters"
    by_get, by_post = query(f"SELECT {told} FROM status_events")
    assert by_get == by_post
    assert query(PARAMETERS)[1]["parameters"] == urlencode(fields)


def test_a_body_beside_a_get_is_not_looked_at(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    request = plivo.get(plivo.fields("sent", "a-uuid"))
    assert deliver(request._replace(body=b"Status=delivered")).status_code == 200
    assert query("SELECT current_status FROM messages") == [{"current_status": "sent"}]


OWN_QUERIES = ["To=crm", "Status=sent", "MessageUUID=b", "ErrorCode=30", "From=x", "%54%6f=crm"]


@pytest.mark.parametrize("own", OWN_QUERIES)
def test_a_query_that_the_sender_added_to_the_url_contradicts_no_field(
    deliver: Deliver, plivo: Plivo, query: Query, own: str
) -> None:
    request = plivo.post(plivo.fields("delivered", "a-uuid"), query=own)
    assert deliver(request).status_code == 200
    (row,) = query("SELECT * FROM messages")
    assert (row["message_uuid"], row["current_status"]) == ("a-uuid", "delivered")
    assert (row["sender_number"], row["recipient_number"]) == ("14155550100", "14155550123")
    assert row["error_code"] is None
    assert query("SELECT query FROM message_references") == [{"query": own}]
    (event,) = query(PARAMETERS)
    assert event["parameters"] == f"{own}&{request.body.decode()}"


def test_a_post_whose_fields_are_all_in_the_query_says_nothing(
    deliver: Deliver, plivo: Plivo, query: Query, settings: Settings
) -> None:
    own = {**plivo.fields("sent", "a-uuid"), PROBE_FIELD: "the sender's own"}
    request = plivo.post({}, query=urlencode(own))
    assert deliver(request).status_code == 200
    assert query("SELECT * FROM messages") == []
    (kept,) = (settings.spool_dir / "bad").iterdir()
    assert "MessageUUID is missing" in kept.read_text()


def test_message_uuid_and_status_are_enough(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    assert deliver(plivo.post({"MessageUUID": "a-uuid", "Status": "sent"})).status_code == 200
    (row,) = query("SELECT * FROM messages")
    assert (row["sender_number"], row["recipient_number"], row["error_code"]) == (None, None, None)
    assert row["status_timestamp"] == ""


def test_numbers_and_codes_stay_text(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    fields = plivo.fields(
        "failed", "00123", From="0049170", To="+4917", ErrorCode="0450", MCC="001", MNC="004"
    )
    deliver(plivo.post(fields))
    (row,) = query("SELECT * FROM messages")
    assert row["message_uuid"] == "00123"
    assert (row["sender_number"], row["recipient_number"]) == ("0049170", "+4917")
    assert row["error_code"] == "0450"
    (event,) = query(PARAMETERS)
    assert "MCC=001" in event["parameters"]
    assert "MNC=004" in event["parameters"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Status": "sent"}, "MessageUUID is missing"),
        ({"MessageUUID": "a-uuid", "Status": " "}, "Status is missing"),
        ({"MessageUUID": "x" * 65, "Status": "sent"}, "MessageUUID is not 1 to 64"),
        ([("MessageUUID", "a"), ("Status", "sent"), ("Status", "failed")], "more than once"),
        ({}, "MessageUUID is missing"),
    ],
    ids=["no MessageUUID", "blank Status", "long MessageUUID", "two statuses", "nothing"],
)
def test_a_genuine_callback_that_says_nothing_usable_is_kept_with_the_reason(
    deliver: Deliver,
    plivo: Plivo,
    query: Query,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, str],
    reason: str,
) -> None:
    assert deliver(plivo.post(fields)).status_code == 200
    assert query("SELECT * FROM messages") == []
    (kept,) = (settings.spool_dir / "bad").iterdir()
    assert reason in kept.read_text()
    assert reason in caplog.text


other_methods = pytest.mark.parametrize(
    "method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONE"]
)


@other_methods
def test_another_method_is_405(
    client: FlaskClient, query: Query, plivo: Plivo, method: str
) -> None:
    request = plivo.get(plivo.fields("sent"))
    response = client.open(request.target, method=method, headers=request.headers)
    assert response.status_code == 405
    assert query("SELECT * FROM messages") == []


@other_methods
def test_a_405_says_which_methods_are_allowed(client: FlaskClient, method: str) -> None:
    allowed = client.open("/plivo/status", method=method).headers.get("Allow", "")
    assert {"GET", "POST"} <= set(allowed.split(", "))


def test_any_of_several_tokens_may_have_signed(settings: Settings, plivo: Plivo) -> None:
    app = create_app(replace(settings, auth_tokens=("new", plivo.token, "subaccount")))
    for token, status in (("new", 200), (plivo.token, 200), ("subaccount", 200), ("else", 403)):
        request = replace(plivo, token=token).post(plivo.fields("sent"))
        response = app.test_client().post(
            request.target, headers=request.headers, data=request.body
        )
        assert response.status_code == status
    service_of(app).stop()


class MistakenStore(SqliteStore):
    """One whose program has a mistake."""

    def begin(self, update: StatusUpdate, wake: Callable[[], None] | None = None) -> Ticket:
        raise KeyError("+14155550123")


class MistakenSpool(Spool):
    """Another."""

    def begin(self, callback: Callback, reason: str) -> Callable[[], None]:
        raise KeyError("+14155550123")


def test_a_mistake_in_the_program_does_not_cost_a_genuine_callback(
    app: Flask,
    deliver: Deliver,
    plivo: Plivo,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    service = service_of(app)
    service.store, spool = MistakenStore(settings.database_path), service.spool
    service.spool = MistakenSpool(settings.spool_dir)
    assert deliver(plivo.post(plivo.fields("sent"))).status_code == 200
    assert "feed this line to `replay`" in capfd.readouterr().err
    service.spool = spool
    assert deliver(plivo.post(plivo.fields("sent"))).status_code == 200
    (kept,) = settings.spool_dir.glob("*.json")
    assert "KeyError at test_webhook.py:" in json.loads(kept.read_text())["reason"]
    assert "KeyError at test_webhook.py:" in caplog.text
    assert "4155550123" not in caplog.text


@pytest.mark.parametrize(
    "path", ["/plivo/status/", "/plivo//status", "/plivo", "/Plivo/Status", "/plivo/status/x"]
)
def test_another_path_is_404(client: FlaskClient, plivo: Plivo, path: str) -> None:
    request = plivo.post(plivo.fields("sent"))
    assert client.post(path, headers=request.headers, data=request.body).status_code == 404


def filled(plivo: Plivo, size: int) -> Request:
    """A genuine callback whose body has `size` bytes."""
    fields = plivo.fields("sent", "a-uuid", Filler="")
    return plivo.post(fields | {"Filler": "x" * (size - len(urlencode(fields)))})


def test_a_body_of_64_kib_is_taken(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    request = filled(plivo, MAX_BODY)
    assert len(request.body) == 65_536
    assert deliver(request).status_code == 200
    assert len(query("SELECT * FROM messages")) == 1


@pytest.mark.parametrize("more", [1, 2, 100_000])
def test_a_longer_body_is_413(deliver: Deliver, plivo: Plivo, query: Query, more: int) -> None:
    assert deliver(filled(plivo, MAX_BODY + more)).status_code == 413
    assert query("SELECT * FROM messages") == []


def test_a_forged_body_of_64_kib_is_403(deliver: Deliver, plivo: Plivo) -> None:
    forged = filled(replace(plivo, token="another"), MAX_BODY)
    assert deliver(forged).status_code == 403


def test_the_other_refusals_are_short_plain_text_too(
    client: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    too_long, wrong_method = deliver(filled(plivo, MAX_BODY + 1)), client.put("/plivo/status")
    assert (too_long.status_code, wrong_method.status_code) == (413, 405)
    for response in (too_long, wrong_method):
        assert response.mimetype == "text/plain"
        assert len(response.text) < 200


@pytest.mark.parametrize(
    "base_url",
    [
        "https://sms.example.com:8443",
        "https://sms.example.com:443",
        "http://127.0.0.1:8000",
        "https://example.com/sms/live",
        "https://EXAMPLE.com",
    ],
)
def test_the_signature_is_checked_against_base_url_as_written(
    settings: Settings, base_url: str
) -> None:
    app = create_app(replace(settings, base_url=base_url))
    plivo = Plivo(base_url=base_url)
    request = plivo.post(plivo.fields("sent"), query="a=1")
    answer = app.test_client().post(request.target, headers=request.headers, data=request.body)
    other = replace(plivo, base_url="https://sms.example.com").post(plivo.fields("sent"))
    refused = app.test_client().post(other.target, headers=other.headers, data=other.body)
    service_of(app).stop()
    assert (answer.status_code, refused.status_code) == (200, 403)


LIES = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1:1"},
    {"Host": "evil.example\\@{}"},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "1"},
    {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"},
    {"X-Forwarded-Prefix": "/evil"},
    {"Forwarded": "host=evil.example;proto=http"},
    {"X-Script-Name": "/evil", "Script-Name": "/evil", "X-Original-URL": "/evil"},
    {"X-HTTP-Method-Override": "DELETE"},
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: next(iter(lie)))
def test_what_a_client_says_about_the_address_does_not_matter(
    deliver: Deliver, plivo: Plivo, lie: dict[str, str]
) -> None:
    request = plivo.post(plivo.fields("sent"))
    assert deliver(request._replace(headers=request.headers | lie)).status_code == 200
    forged = replace(plivo, base_url="https://evil.example").post(plivo.fields("sent"))
    assert deliver(forged._replace(headers=forged.headers | lie)).status_code == 403


@pytest.mark.parametrize(
    "host", ["", "a b", "a..b", ".", f"{'x' * 64}.com", "[::1", "host:port", "a/b", "-a-", "a,b"]
)
def test_a_host_that_is_no_name_does_not_matter(
    client: FlaskClient, plivo: Plivo, host: str
) -> None:
    request = plivo.post(plivo.fields("sent"))
    answer = client.post(
        request.target,
        headers=request.headers,
        data=request.body,
        environ_overrides={"HTTP_HOST": host},
    )
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(tmp_path_factory.mktemp("webhook"), FORWARDED_ALLOW_IPS="*") as service:
        yield service


def raw_answer(service: LiveService, *parts: bytes) -> bytes:
    """Send these bytes over a socket, say that no more come, and read the answer."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    return answer


def head(request: Request, *lines: str) -> bytes:
    headers = [f"{name}: {value}" for name, value in request.headers.items()]
    first = f"{request.method} {request.target} HTTP/1.1"
    return "\r\n".join([first, "Host: x", "Connection: close", *headers, *lines, "", ""]).encode()


def chunked(body: bytes, size: int = 1000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([b"%x\r\n%s\r\n" % (len(part), part) for part in parts]) + b"0\r\n\r\n"


def test_a_chunked_body_within_the_limit_is_taken(service: LiveService) -> None:
    request = filled(service.plivo, MAX_BODY)
    answer = raw_answer(service, head(request, "Transfer-Encoding: chunked"), chunked(request.body))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_longer_chunked_body_is_413(service: LiveService) -> None:
    request = filled(service.plivo, MAX_BODY + 1)
    answer = raw_answer(service, head(request, "Transfer-Encoding: chunked"), chunked(request.body))
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 10000000"])
def test_a_body_that_is_too_long_is_413_before_all_of_it_came(
    service: LiveService, framing: str
) -> None:
    request = filled(service.plivo, 3 * MAX_BODY)
    body = request.body if "Length" in framing else chunked(request.body)[:-5]
    reply = exchange(service.port, head(request, framing) + body, seconds=60)
    assert reply is not None
    assert reply.status == 413


def test_a_body_shorter_than_its_content_length_is_400(service: LiveService) -> None:
    request = service.plivo.post(service.plivo.fields("sent"))
    length = f"Content-Length: {len(request.body) + 1}"
    answer = raw_answer(service, head(request, length), request.body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: text/plain" in answer


def test_a_chunked_body_that_is_cut_is_400(service: LiveService) -> None:
    request = service.plivo.post(service.plivo.fields("sent"))
    body = chunked(request.body)[:-5]
    answer = raw_answer(service, head(request, "Transfer-Encoding: chunked"), body)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_signature_list_split_over_two_header_lines_is_one_list(service: LiveService) -> None:
    request = service.plivo.post(service.plivo.fields("sent"))
    wrong = f"X-Plivo-Signature-V3: {'A' * 43}="
    length = f"Content-Length: {len(request.body)}"
    answer = raw_answer(service, head(request, wrong, length), request.body)
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("lie", [*LIES, {"SCRIPT_NAME": "/evil"}], ids=lambda lie: next(iter(lie)))
def test_lies_about_the_address_do_not_matter_over_a_socket_either(
    service: LiveService, lie: dict[str, str]
) -> None:
    request = service.plivo.post(service.plivo.fields("sent"))
    assert send(request._replace(headers=request.headers | lie), service.address)[0] == 200


def test_a_get_callback_over_a_socket_keeps_its_text(service: LiveService) -> None:
    request = service.plivo.get(service.plivo.fields("sent", Text="Gr\u00fc\u00dfe+&=%"))
    assert send(request, service.address)[0] == 200
