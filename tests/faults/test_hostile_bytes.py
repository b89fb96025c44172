"""Bytes nobody would send on purpose, and some that somebody would."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsstatus.plivo.callback import Callback, Unusable, status_update
from smsstatus.plivo.form import Malformed, parse_form
from smsstatus.plivo.signature import HEADERS, V3_NONCE, V3_SIGNATURES, sign, signed_v3, verify
from smsstatus.settings import WEBHOOK_PATH

from ..live import LiveService
from ..rounds import examples
from ..signed import Plivo
from .conftest import Figure
from .places import on_both_in_full
from .raw import exchange, wire

ANSWERS = {200, 400, 401, 403, 404, 405, 413, 414, 417, 431, 501, 505}
"""What may be answered. 417, 501 and 505 are gunicorn's: an Expect, a transfer coding or an HTTP
version it does not know. Bytes that make no request are answered nothing."""

_URL = Plivo().base_url + WEBHOOK_PATH
_FORM_BYTES = st.binary(max_size=200) | st.text(max_size=200).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
_FORM_PIECES = st.lists(
    st.sampled_from([b"MessageUUID=", b"Status=", b"sent", b"&", b"=", b"%", b"%00", b"%ff", b"+"])
    | st.binary(max_size=8),
    max_size=30,
).map(b"".join)
_FORMS = st.lists(
    st.tuples(
        st.sampled_from(["MessageUUID", "Status", "ErrorCode", "Sequence", "SentTime", "To"]),
        st.text(st.characters(codec="utf-8"), max_size=20)
        | st.sampled_from(["sent", "delivered", "9" * 30, "2026-11-01"]),
    ),
    max_size=8,
).map(lambda pairs: urlencode([("MessageUUID", "a"), ("Status", "read"), *pairs]).encode())
_HEADER_VALUES = st.text(max_size=100) | st.sampled_from(["", ",", "A" * 44, "A" * 44 + ", " * 9])


def _tries(number: int, full: bool) -> settings:
    """This many; in `make test` the same ones each time, and never too slow."""
    return settings(
        max_examples=number,
        derandomize=not full,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def test_no_bytes_make_parsing_or_verifying_raise_anything_but_their_own_errors(
    full: bool, figure: Figure
) -> None:
    tried = Counter[str]()

    @_tries(20_000 if full else examples(2000), full)
    @given(
        body=_FORM_BYTES | _FORM_PIECES | _FORMS,
        query=_FORM_BYTES | _FORM_PIECES,
        headers=st.dictionaries(st.sampled_from(HEADERS), _HEADER_VALUES, max_size=6),
        method=st.sampled_from(["GET", "POST"]),
    )
    def attempt(body: bytes, query: bytes, headers: dict[str, str], method: str) -> None:
        try:
            query_pairs, body_pairs = parse_form(query), parse_form(body)
        except Malformed:
            tried["malformed"] += 1
            return
        common: dict[str, Any] = {
            "method": method,
            "url": _URL,
            "query": query_pairs,
            "body": body_pairs,
        }
        assert not verify(headers, tokens=("test-token",), **common).genuine
        nonce = "12345678901234567890"
        signature = sign(signed_v3(method, _URL, query_pairs, body_pairs, nonce), "test-token")
        signed = {**headers, V3_SIGNATURES[0]: signature, V3_NONCE: nonce}
        assert verify(signed, tokens=("test-token",), **common).genuine
        try:
            callback = Callback(method, query.decode(), body.decode(), "")
            update = status_update(query_pairs, body_pairs, callback)
        except Unusable:
            tried["unusable"] += 1
            return
        assert update.message_uuid
        tried["usable"] += 1

    attempt()
    figure(
        "hypothesis: bytes into parsing and verifying",
        f"{tried.total():,} examples ({tried['malformed']:,} malformed, {tried['unusable']:,} "
        f"without what is needed, {tried['usable']:,} usable), unhandled exceptions: 0",
    )


@pytest.mark.timeout(600)
@on_both_in_full
def test_no_bytes_over_a_socket_get_an_answer_outside_the_table_or_leave_a_traceback(
    shared_service: LiveService, full: bool, figure: Figure
) -> None:
    answers = Counter[int | None]()
    genuine = wire(shared_service.plivo.post(shared_service.plivo.fields("sent")))
    positions = st.integers(0, len(genuine))
    edits = st.tuples(positions, positions, st.binary(max_size=20))
    lines = st.lists(
        st.sampled_from(
            [
                b"Host: a",
                b"Content-Length: 3",
                b"Content-Length: -1",
                b"Content-Length: 99999999999999999999",
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: gzip",
                b"Expect: 100-continue",
                b"Expect: nothing",
                b"Upgrade: h2c",
                b"SCRIPT_NAME: /x",
                b"Content-Type: multipart/form-data; boundary=x",
            ]
        )
        | st.binary(max_size=30),
        max_size=8,
    )
    starts = st.sampled_from(
        [
            *(f"{method} {WEBHOOK_PATH} HTTP/1.1".encode() for method in ("POST", "GET", "PUT")),
            b"OPTIONS * HTTP/1.1",
            b"HEAD /plivo/status HTTP/1.1",
            b"GET / HTTP/1.0",
            b"GET /readyz HTTP/3.7",
            b"PRI * HTTP/2.0",
            b"get /metrics HTTP/1.1",
            b"GET http://[/ HTTP/1.1",
            b"GET /plivo/status?%ff=%00 HTTP/1.1",
            b"CONNECT a:1",
        ]
    ) | st.binary(max_size=30)

    def edited(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = genuine
        for start, end, new in changes:
            data = data[:start] + new + data[max(start, end) :]
        return data

    requests = st.builds(
        lambda start, headers, body: b"\r\n".join([start, *headers, b"", body]),
        starts,
        lines,
        st.binary(max_size=40),
    )

    @_tries(5000 if full else 300, full)
    @given(data=st.binary(max_size=300) | st.lists(edits, max_size=3).map(edited) | requests)
    def attempt(data: bytes) -> None:
        reply = exchange(shared_service.port, data, half_close=True)
        answers[reply.status if reply else None] += 1
        assert reply is None or reply.status in ANSWERS

    attempt()
    assert shared_service.answers()
    log = shared_service.log.read_text()
    by_answer = ", ".join(
        f"{status or 'none'}: {count:,}" for status, count in sorted(answers.items(), key=str)
    )
    figure(
        "hypothesis: bytes over a socket",
        f"{answers.total():,} examples ({by_answer}), answers outside the table: 0, "
        f"tracebacks: {log.count('Traceback')}",
    )
    assert "Traceback" not in log
