"""Requests that are too much, too little, or two things at once."""

from __future__ import annotations

import pytest

from smsstatus.settings import WEBHOOK_PATH

from ..live import LiveService
from ..signed import Request
from .conftest import Figure
from .places import on_both
from .raw import chunked, exchange, head
from .reconcile import bodies_in_store
from .tracing import resident_bytes, worker_pid

_POST = f"POST {WEBHOOK_PATH} HTTP/1.1"
_FORM = {"Host": "127.0.0.1", "Content-Type": "application/x-www-form-urlencoded"}
_MEGABYTES = 8 * 2**20
_CHUNKED = {"Transfer-Encoding": "chunked"}

HOSTILE = {
    "body of 8 MB": (
        head(_POST, {**_FORM, "Content-Length": str(_MEGABYTES)}) + b"a" * _MEGABYTES,
        413,
    ),
    "body of 64 KiB and a byte": (
        head(_POST, {**_FORM, "Content-Length": "65537"}) + b"a" * 65_537,
        413,
    ),
    "chunked body of 8 MB": (head(_POST, {**_FORM, **_CHUNKED}) + chunked(b"a" * _MEGABYTES), 413),
    "chunked body of 64 KiB and a byte": (
        head(_POST, {**_FORM, **_CHUNKED}) + chunked(b"a" * 65_537),
        413,
    ),
    "body that ends early": (head(_POST, {**_FORM, "Content-Length": "100"}) + b"a" * 40, 400),
    "chunked body that ends early": (
        head(_POST, {**_FORM, **_CHUNKED}) + b"64\r\n" + b"a" * 40,
        400,
    ),
    "chunk size that is no number": (
        head(_POST, {**_FORM, **_CHUNKED}) + b"zz\r\nStatus=sent\r\n0\r\n\r\n",
        400,
    ),
    "chunk longer than its size": (
        head(_POST, {**_FORM, **_CHUNKED}) + b"3\r\nStatus=sent\r\n0\r\n\r\n",
        400,
    ),
    "Content-Length and chunked": (
        head(_POST, {**_FORM, **_CHUNKED, "Content-Length": "5"}) + chunked(b"a=b&c"),
        400,
    ),
    "101 headers": (head(_POST, {**_FORM, **{f"X-{n}": "a" for n in range(99)}}), 431),
    "header of 8.3 KB": (head(_POST, {**_FORM, "X-Long": "a" * 8500}), 431),
    "URL of 5 KB": (head(f"GET {WEBHOOK_PATH}?a={'a' * 5000} HTTP/1.1", _FORM), 414),
}


@pytest.fixture(scope="module")
def service(shared_service: LiveService) -> LiveService:
    return shared_service


@on_both
def test_what_is_too_much_too_little_or_ambiguous_is_refused_and_costs_no_memory(
    service: LiveService, full: bool, figure: Figure
) -> None:
    """A body that ends early: the client half-closes, so that it can still read the answer."""
    rounds = 20 if full else 3
    worker = worker_pid(service)
    _ask_all(service)  # what is loaded or allocated once does not count
    before = resident_bytes(worker)
    answers = [_ask_all(service) for _ in range(rounds)]
    grown = (resident_bytes(worker) - before) / 2**20
    said = ", ".join(f"{name}: {status}" for name, status in answers[0].items())
    figure("oversized, cut and ambiguous requests", said)
    figure(
        f"memory after {rounds * len(HOSTILE)} oversized, cut and ambiguous requests",
        f"{grown:+.1f} MB resident",
    )
    for answer in answers:
        assert answer == {name: status for name, (_, status) in HOSTILE.items()}
    assert grown < 10
    assert "Traceback" not in service.log.read_text()


@on_both
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_chunked_callback_within_the_limit_is_stored(service: LiveService, size: int) -> None:
    """Proxies make chunked bodies of plain ones."""
    request: Request = service.plivo.post(service.plivo.fields("delivered"))
    data = head(_POST, {**_FORM, **request.headers, **_CHUNKED}) + chunked(request.body, size)
    reply = exchange(service.port, data)
    assert reply is not None
    assert reply.status == 200
    assert request.body.decode() in bodies_in_store(service)


def _ask_all(service: LiveService) -> dict[str, int]:
    """What each of the requests is answered; 0: nothing."""
    replies = {name: exchange(service.port, data, half_close=True) for name, (data, _) in _all()}
    return {name: reply.status if reply else 0 for name, reply in replies.items()}


def _all() -> list[tuple[str, tuple[bytes, int]]]:
    return list(HOSTILE.items())
