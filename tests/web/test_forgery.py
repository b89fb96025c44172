"""Forged callbacks: one thing changed in each. 403, and nothing is left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from flask.testing import FlaskClient

from smsstatus import create_app
from smsstatus.plivo.signature import V2_NONCE, V2_SIGNATURES, V3_NONCE, V3_SIGNATURES
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from ..conftest import Deliver, Query
from ..live import LiveService, live_service
from ..signed import Plivo, Request, send

V3, MA_V3 = V3_SIGNATURES
V2, MA_V2 = V2_SIGNATURES
NothingLeft = Callable[[], bool]

FIELDS = Plivo().fields("delivered", "a-uuid", ErrorCode="000", Type="sms")
GENUINE = Plivo().post(FIELDS)


@pytest.fixture
def nothing_left(query: Query, settings: Settings) -> NothingLeft:
    """Is there no row in any table and no spool file?"""

    def look() -> bool:
        tables = ("messages", "status_events", "v2_nonces")
        rows = [row for table in tables for row in query(f"SELECT * FROM {table}")]
        return not rows and not spool_files(settings.spool_dir)

    return look


def spool_files(folder: Path) -> list[Path]:
    """All but the lock of whoever drains it."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".drain-lock"]


def signed_by(**changes: str) -> Request:
    """The genuine callback as signed with another token or for another address."""
    return replace(Plivo(), **changes).post(FIELDS)


def with_header(name: str, value: str | None, request: Request = GENUINE) -> Request:
    headers = {key: text for key, text in request.headers.items() if key != name}
    return request._replace(headers=headers if value is None else {**headers, name: value})


def with_fields(*pairs: tuple[str, str]) -> Request:
    return GENUINE._replace(body=urlencode(pairs).encode())


def with_v2(request: Request, scheme: str) -> Request:
    """The same with the right headers of an older scheme beside its own."""
    older = Plivo().post(FIELDS, scheme=scheme).headers
    return request._replace(headers={**older, **request.headers})


def as_get(request: Request) -> Request:
    """The same fields, moved to the query."""
    return request._replace(
        method="GET", target=f"{request.target}?{request.body.decode()}", body=b""
    )


SIGNATURE = GENUINE.headers[V3]
NONCE = GENUINE.headers[V3_NONCE]
FLIPPED = chr(ord(SIGNATURE[9]) ^ 1).join([SIGNATURE[:9], SIGNATURE[10:]])
PAIRS = tuple(FIELDS.items())
GET = Plivo().get(FIELDS)

FORGERIES = {
    "a bit of the signature flipped": with_header(V3, FLIPPED),
    "the signature's padding gone": with_header(V3, SIGNATURE.rstrip("=")),
    "the signature in another case": with_header(V3, SIGNATURE.swapcase()),
    "the signature gone": with_header(V3, None),
    "the signature empty": with_header(V3, ""),
    "the signature only commas": with_header(V3, ",,,"),
    "the signature not ASCII": with_header(V3, "\u00fc" * 44),
    "the signature of 8 KB": with_header(V3, "A" * 8192),
    "the signature of 8 KB of commas": with_header(V3, "," * 8192),
    "the signature under the V2 name": with_header(V2, SIGNATURE, with_header(V3, None)),
    "all headers gone": GENUINE._replace(headers={"Content-Type": GENUINE.headers["Content-Type"]}),
    "another token": signed_by(token="another"),
    "an empty token": signed_by(token=""),
    "another host": signed_by(base_url="https://sms.example.org"),
    "another scheme": signed_by(base_url="http://sms.example.com"),
    "another port": signed_by(base_url="https://sms.example.com:8443"),
    "the default port written out": signed_by(base_url="https://sms.example.com:443"),
    "another path": signed_by(base_url="https://sms.example.com/other"),
    "a slash too many": signed_by(base_url="https://sms.example.com/"),
    "the nonce gone": with_header(V3_NONCE, None),
    "the nonce empty": with_header(V3_NONCE, ""),
    "the nonce changed": with_header(V3_NONCE, NONCE + "0"),
    "the nonce not ASCII": with_header(V3_NONCE, NONCE + "\u00fc"),
    "the nonce under the V2 name": with_header(V2_NONCE, NONCE, with_header(V3_NONCE, None)),
    "POST made GET": as_get(GENUINE),
    "POST made GET, the query empty": GENUINE._replace(method="GET", body=b""),
    "GET made POST": GET._replace(
        method="POST", target="/plivo/status", body=GET.target.partition("?")[2].encode()
    ),
    "a parameter added": with_fields(*PAIRS, ("Extra", "1")),
    "an empty parameter added": with_fields(*PAIRS, ("Extra", "")),
    "a parameter removed": with_fields(*PAIRS[:-1]),
    "a parameter changed": with_fields(*(dict(PAIRS) | {"Status": "failed"}).items()),
    "a parameter repeated": with_fields(*PAIRS, ("Type", "sms")),
    "a parameter in the query": GENUINE._replace(target=f"{GENUINE.target}?Extra=1"),
    "a parameter in the query changed": GET._replace(
        target=GET.target.replace("Status=delivered", "Status=failed")
    ),
    "a parameter moved to the query": with_fields(*PAIRS[:-1])._replace(
        target=f"{GENUINE.target}?{urlencode(PAIRS[-1:])}"
    ),
    "a parameter's name in another case": GENUINE._replace(
        body=GENUINE.body.replace(b"Status=", b"status=")
    ),
    "the body cut": GENUINE._replace(body=GENUINE.body[:-1]),
    "the body empty": GENUINE._replace(body=b""),
    "V3 wrong beside a right V2": with_v2(with_header(V3, FLIPPED), "V2"),
    "V3 wrong beside a right Ma-V2": with_v2(with_header(V3, FLIPPED), "Ma-V2"),
    "V3 empty beside a right V2": with_v2(with_header(V3, ""), "V2"),
    "V3 nonce alone beside a right V2": with_v2(with_header(V3, None), "V2"),
    "Ma-V3 wrong beside a right V2": with_header(MA_V3, FLIPPED, Plivo().post(FIELDS, scheme="V2")),
}


@pytest.mark.parametrize("request_", [GENUINE, GET], ids=["POST", "GET"])
def test_the_callback_that_is_forged_below_is_genuine(
    deliver: Deliver, request_: Request, nothing_left: NothingLeft
) -> None:
    assert deliver(request_).status_code == 200
    assert not nothing_left()


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_callback_becomes_nothing(
    deliver: Deliver, forged: Request, nothing_left: NothingLeft
) -> None:
    response = deliver(forged)
    assert response.status_code == 403
    assert response.content_type == "text/plain; charset=utf-8"
    assert len(response.text) < 200
    assert nothing_left()


MALFORMED = {
    "NUL, encoded": b"&Extra=%00",
    "NUL, raw": b"&Extra=\x00",
    "lone surrogate": b"&Extra=%ED%A0%80",
    "lone surrogate, raw": b"&Extra=\xed\xa0\x80",
    "not UTF-8, encoded": b"&Extra=%FF",
    "not UTF-8, raw": b"&Extra=\xff",
    "cut UTF-8": b"&Extra=%C3",
    "overlong UTF-8": b"&Extra=%C0%AF",
    "too many fields": b"&a=1" * 300,
    "NUL in a name": b"&%00=1",
}


@pytest.mark.parametrize("ending", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_is_not_a_utf8_form_is_refused_even_if_somebody_signed_it(
    client: FlaskClient,
    nothing_left: NothingLeft,
    caplog: pytest.LogCaptureFixture,
    ending: bytes,
    method: str,
) -> None:
    """Signed as a lenient parser would read it, so that only the strict one refuses it."""
    raw = GENUINE.body + ending
    pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")
    query, body = ([], pairs) if method == "POST" else (pairs, [])
    response = client.open(
        "/plivo/status",
        method=method,
        headers=GENUINE.headers | Plivo().headers(method, query, body),
        data=raw if method == "POST" else b"",
        environ_overrides={} if method == "POST" else {"QUERY_STRING": raw.decode("latin-1")},
    )
    assert response.status_code == 403
    assert "not a UTF-8 form" in caplog.text
    assert nothing_left()


@pytest.mark.parametrize("scheme", ["V2", "Ma-V2"])
class TestV2NonceOwnership:
    """V2 does not cover the body: the first body seen with a nonce owns it."""

    def test_the_same_body_again_is_a_retry(
        self, deliver: Deliver, plivo: Plivo, query: Query, scheme: str
    ) -> None:
        request = plivo.post(FIELDS, scheme=scheme)
        assert [deliver(request).status_code for _ in range(2)] == [200, 200]
        assert query("SELECT repeats FROM status_events") == [{"repeats": 1}]

    @pytest.mark.parametrize(
        "other",
        [
            {**FIELDS, "Status": "failed"},
            {**FIELDS, "MessageUUID": "another"},
            {**FIELDS, "Extra": ""},
            {"Status": "failed"},
            {},
        ],
        ids=["other status", "other message", "more fields", "no MessageUUID", "nothing"],
    )
    def test_another_body_is_refused_and_leaves_nothing(
        self,
        deliver: Deliver,
        plivo: Plivo,
        query: Query,
        settings: Settings,
        scheme: str,
        other: dict[str, str],
    ) -> None:
        request = plivo.post(FIELDS, scheme=scheme)
        assert deliver(request).status_code == 200
        before = query("SELECT * FROM messages"), query("SELECT * FROM status_events")
        assert deliver(request._replace(body=urlencode(other).encode())).status_code == 403
        assert (query("SELECT * FROM messages"), query("SELECT * FROM status_events")) == before
        assert spool_files(settings.spool_dir) == []

    def test_another_query_is_refused(
        self, deliver: Deliver, plivo: Plivo, query: Query, scheme: str
    ) -> None:
        request = plivo.get(FIELDS, scheme=scheme)
        assert deliver(request).status_code == 200
        target = request.target.replace("Status=delivered", "Status=failed")
        assert deliver(request._replace(target=target)).status_code == 403
        assert query("SELECT current_status FROM messages") == [{"current_status": "delivered"}]

    @pytest.mark.parametrize("genuine", [FIELDS, {"Status": "sent"}], ids=["stored", "unusable"])
    @pytest.mark.parametrize("other", [{"MessageUUID": "another"}, {}], ids=["other", "same"])
    def test_what_came_beside_v3_brings_nothing_without_it(
        self,
        deliver: Deliver,
        query: Query,
        settings: Settings,
        scheme: str,
        genuine: dict[str, str],
        other: dict[str, str],
    ) -> None:
        older = Plivo().post(genuine, scheme=scheme)
        request = Plivo().post(genuine)
        request = request._replace(headers={**older.headers, **request.headers})
        assert deliver(request).status_code == 200
        before = query("SELECT * FROM messages"), query("SELECT * FROM status_events")
        files = spool_files(settings.spool_dir)
        body = urlencode(genuine | other).encode()
        assert deliver(older._replace(body=body)).status_code == 403
        assert (query("SELECT * FROM messages"), query("SELECT * FROM status_events")) == before
        assert spool_files(settings.spool_dir) == files

    def test_whoever_owns_it_v3_vouches_for_what_comes_with_it(
        self, deliver: Deliver, plivo: Plivo, query: Query, scheme: str
    ) -> None:
        older = plivo.post({**FIELDS, "MessageUUID": "first"}, scheme=scheme)
        assert deliver(older).status_code == 200
        request = plivo.post(FIELDS)
        request = request._replace(headers={**older.headers, **request.headers})
        assert deliver(request).status_code == 200
        uuids = query("SELECT message_uuid FROM messages ORDER BY id")
        assert [row["message_uuid"] for row in uuids] == ["first", "a-uuid"]

    def test_it_is_refused_when_v2_is_switched_off(
        self, settings: Settings, plivo: Plivo, nothing_left: NothingLeft, scheme: str
    ) -> None:
        app = create_app(replace(settings, accept_v2=False))
        request = plivo.post(FIELDS, scheme=scheme)
        response = app.test_client().post(
            request.target, headers=request.headers, data=request.body
        )
        service_of(app).stop()
        assert response.status_code == 403
        assert nothing_left()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(tmp_path_factory.mktemp("forgery"), BASE_URL=Plivo.base_url) as service:
        yield service


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_over_a_real_socket_it_is_refused_too(service: LiveService, forged: Request) -> None:
    headers = {key: value.encode().decode("latin-1") for key, value in forged.headers.items()}
    status, _ = send(forged._replace(headers=headers), service.address)
    assert status == 403
    with closing(sqlite3.connect(service.database)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchall() == [(0,)]
    assert spool_files(service.spool) == []
