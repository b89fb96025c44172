"""Plivo's side of the webhook: callbacks signed as Plivo signs them.

Every test that wants something stored goes through this; none bypasses the signature.
"""

from __future__ import annotations

import http.client
import itertools
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from smsstatus.plivo.signature import sign, signed_v2, signed_v3
from smsstatus.settings import WEBHOOK_PATH

Fields = Mapping[str, str] | Iterable[tuple[str, str]]

SECONDS = 60.0
"""What a test waits for has this long: a bound for a machine that is slow and busy, not what the
event may take.
"""

_nonces = itertools.count(10_000)


class Request(NamedTuple):
    """One HTTP request, ready to be sent by a test client or over a socket."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Plivo:
    """Signs callbacks with `token` for the address `base_url` that it was given."""

    token: str = "test-token"
    base_url: str = "https://sms.example.com"

    def fields(self, status: str, message_uuid: str | None = None, **more: str) -> dict[str, str]:
        """A realistic callback's fields; `more` adds or replaces some."""
        message_uuid = message_uuid or str(uuid.uuid4())
        return {
            "Status": status,
            "From": "14155550100",
            "ParentMessageUUID": message_uuid,
            "TotalRate": "0.0025",
            "MCC": "310",
            "PartInfo": "1 of 1",
            "ErrorCode": "",
            "To": "14155550123",
            "Units": "1",
            "TotalAmount": "0.0025",
            "MNC": "004",
            "MessageUUID": message_uuid,
            **more,
        }

    def post(self, fields: Fields, *, query: str = "", scheme: str = "V3") -> Request:
        """A signed POST. `scheme` is V3, Ma-V3, V2 or Ma-V2."""
        body = _pairs(fields)
        headers = self.headers("POST", _query_pairs(query), body, scheme)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        target = WEBHOOK_PATH + (f"?{query}" if query else "")
        return Request("POST", target, headers, urlencode(body).encode())

    def get(self, fields: Fields, *, scheme: str = "V3") -> Request:
        """A signed GET: a sender may ask Plivo for it; all fields are in the query."""
        query = _pairs(fields)
        headers = self.headers("GET", query, [], scheme)
        return Request("GET", f"{WEBHOOK_PATH}?{urlencode(query)}", headers, b"")

    def headers(
        self,
        method: str,
        query: list[tuple[str, str]],
        body: list[tuple[str, str]],
        scheme: str = "V3",
        nonce: str | None = None,
    ) -> dict[str, str]:
        """The signature and nonce headers."""
        nonce = nonce or f"{next(_nonces)}{uuid.uuid4().int % 10**15}"
        url = self.base_url + WEBHOOK_PATH
        version = scheme[-2:]
        if version == "V3":
            message = signed_v3(method, url, query, body, nonce)
        else:
            message = signed_v2(url, nonce)
        return {
            f"X-Plivo-Signature-{scheme}": sign(message, self.token),
            f"X-Plivo-Signature-{version}-Nonce": nonce,
        }


def send(request: Request, address: str, seconds: float = SECONDS) -> tuple[int, bytes]:
    """Send over a real socket to `address` (http://host:port) and return status and body."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request(request.method, request.target, request.body, request.headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def _query_pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)
