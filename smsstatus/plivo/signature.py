"""Is this request from Plivo? Pure: no Flask, no I/O, and it never raises on hostile input.

Plivo signs with HMAC-SHA256 under an account's auth token, base64, in headers:

* V3 and Ma-V3 cover URL, query and body:
  https://www.plivo.com/docs/voice/concepts/signature-validation
* V2 and Ma-V2 cover the URL without its query, and a nonce, but neither query nor body:
  https://www.plivo.com/docs/messaging/concepts/signature-validation

The project verifies by itself because the SDK raises on hostile input and does not compare in
constant time. A property test holds the two equal on ordinary requests.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Protocol

from .form import Pairs

V3_SIGNATURES = ("X-Plivo-Signature-V3", "X-Plivo-Signature-Ma-V3")
V3_NONCE = "X-Plivo-Signature-V3-Nonce"
V2_SIGNATURES = ("X-Plivo-Signature-V2", "X-Plivo-Signature-Ma-V2")
V2_NONCE = "X-Plivo-Signature-V2-Nonce"
HEADERS = (*V3_SIGNATURES, V3_NONCE, *V2_SIGNATURES, V2_NONCE)

_SIGNATURE_LENGTH = 44  # base64 of 32 bytes
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
"""Plivo's are digits. With `?` or `.` in a nonce, what V3 signs could pass as a V2 message."""


class Headers(Protocol):
    """What is used of request headers: a dict will do, and Werkzeug's, which ignore case."""

    def get(self, name: str, default: str, /) -> str: ...

    def __contains__(self, name: str, /) -> bool: ...


class Verdict(NamedTuple):
    """`genuine`, and if not, why (for a log line: it holds no value from the request).

    `v2_nonce` is set when only V2 vouches for the request: its body is then unsigned, and the
    store must ensure that the nonce brings no second body. `used_nonce` is that of a right V2
    signature beside a right V3 one: whoever captured the request could strip V3 and change the
    body, so the store must ensure that the nonce brings none at all. `text` is what V3 vouches for.
    """

    genuine: bool
    reason: str = ""
    v2_nonce: str | None = None
    text: str | None = None
    used_nonce: str | None = None


def verify(
    headers: Headers,
    *,
    method: str,
    url: str,
    query: Pairs,
    body: Pairs,
    tokens: Sequence[str],
    accept_v2: bool = True,
) -> Verdict:
    """Check the request's signature headers.

    `url` is the address as Plivo knows it, without query; `query` and `body` are decoded
    pairs in any order; `method` is GET or POST. Any listed signature under any token is enough.
    If a V3-family header is present, V2 is not looked at: an attacker who breaks the V3 header
    must not be let in by the weaker scheme.
    """
    if V3_NONCE in headers or any(name in headers for name in V3_SIGNATURES):
        nonce = headers.get(V3_NONCE, "")
        candidates = _candidates(headers, V3_SIGNATURES)
        if not _NONCE.fullmatch(nonce) or not candidates:
            return Verdict(False, "V3 nonce or signature is missing or malformed")
        text = signed_text(method, query, body)
        if not _any_match(_v3_message(url, text, nonce), candidates, tokens):
            return Verdict(False, "no V3 signature matches")
        beside = _verify_v2(headers, url, tokens) if accept_v2 and V2_NONCE in headers else None
        return Verdict(True, text=text, used_nonce=beside and beside.v2_nonce)

    if not any(name in headers for name in V2_SIGNATURES):
        return Verdict(False, "no signature header")
    if not accept_v2:
        return Verdict(False, "only a V2 signature, and ACCEPT_V2 is off")
    return _verify_v2(headers, url, tokens)


def _verify_v2(headers: Headers, url: str, tokens: Sequence[str]) -> Verdict:
    nonce = headers.get(V2_NONCE, "")
    candidates = _candidates(headers, V2_SIGNATURES)
    if not _NONCE.fullmatch(nonce) or not candidates:
        return Verdict(False, "V2 nonce or signature is missing or malformed")
    if _any_match(signed_v2(url, nonce), candidates, tokens):
        return Verdict(True, v2_nonce=nonce)
    return Verdict(False, "no V2 signature matches")


def signed_v3(method: str, url: str, query: Pairs, body: Pairs, nonce: str) -> bytes:
    """The bytes that a V3 signature covers."""
    return _v3_message(url, signed_text(method, query, body), nonce)


def _v3_message(url: str, text: str, nonce: str) -> bytes:
    return f"{url}{text}.{nonce}".encode("utf-8", "surrogatepass")


def signed_text(method: str, query: Pairs, body: Pairs) -> str:
    """What V3 signs of query and body.

    A POST with a body and no query has a bare `?` between the two; with a query, a `.`. A GET has
    no body: its parameters are the query's. Names and values of a body are joined with nothing
    between them, so other fields can have the same text.
    """
    if method == "GET" or not body:
        return "?" + _joined(query) if query else ""
    values = "".join(chain.from_iterable(sorted(body)))
    return f"?{_joined(query)}.{values}" if query else "?" + values


def _joined(query: Pairs) -> str:
    return "&".join([f"{key}={value}" for key, value in sorted(query)])


def signed_v2(url: str, nonce: str) -> bytes:
    """The bytes that a V2 signature covers: nothing that the callback says."""
    return (url + nonce).encode()


def sign(message: bytes, token: str) -> str:
    """The base64 signature of `message` under `token`."""
    return b64encode(hmac.digest(token.encode(), message, "sha256")).decode()


def _candidates(headers: Headers, names: Iterable[str]) -> list[bytes]:
    """The signatures listed in these headers, as bytes; what cannot be one is left out."""
    listed = ",".join([headers.get(name, "") for name in names]).split(",")
    stripped = [signature.strip() for signature in listed]
    return [s.encode() for s in stripped if len(s) == _SIGNATURE_LENGTH and s.isascii()]


@lru_cache(8)
def _keyed(token: str) -> hmac.HMAC:
    """To be copied: `hmac.digest` makes it each time, and lets other threads go first."""
    return hmac.new(token.encode(), digestmod="sha256")


def _any_match(message: bytes, candidates: list[bytes], tokens: Iterable[str]) -> bool:
    """Compare in constant time, under every token, without stopping at the first match."""
    matched = False
    for token in tokens:
        keyed = _keyed(token).copy()
        keyed.update(message)
        expected = b64encode(keyed.digest())
        for candidate in candidates:
            matched |= hmac.compare_digest(expected, candidate)
    return matched
