"""Signatures published in the test suites of Plivo's own SDKs and its CLI, with their verdicts.

From plivo-python tests/resources/test_signature.py, plivo-java UtilsTest.java, plivo-node
test/utils.js, plivo-ruby spec/signature_spec.rb, plivo-go utils_test.go and plivo-cli
internal/plivosig/verify_test.go.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from smsstatus.plivo.signature import (
    V2_NONCE,
    V2_SIGNATURES,
    V3_NONCE,
    V3_SIGNATURES,
    Verdict,
    verify,
)

_V3_TOKEN = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4"
_V3_URL = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml"
_UUID = "3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"
_CALL = (
    ("Direction", "outbound"),
    ("From", "19792014278"),
    ("ALegUUID", _UUID),
    ("CallStatus", "in-progress"),
    ("BillRate", "0.002"),
    ("ParentAuthID", "MANWVLYTK4ZWU1YTY4QA"),
    ("To", "sip:PlivoSignature382029104058171078704104@phone-qa.voice.plivodev.com"),
    ("ALegRequestUUID", _UUID),
    ("CallUUID", _UUID),
    ("RequestUUID", _UUID),
    ("SIP-H-To", "<sip:PlivoSignature382029104058171078704104@52.9.11.55;transport=udp>;tag=1"),
    ("SessionStart", "2020-04-08 11:34:33.238707"),
    ("Event", "StartApp"),
)
_V2_NO_PATH = "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc="
_POST = "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c="
_GET = "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ="


class V2(NamedTuple):
    """A V2 signature: of a URL and a nonce."""

    about: str
    signature: str
    valid: bool
    url: str = "https://answer.url"
    nonce: str = "12345"
    token: str = "my_auth_token"

    def verdict(self) -> Verdict:
        """What our verifier says."""
        headers = {V2_SIGNATURES[0]: self.signature, V2_NONCE: self.nonce}
        return verify(headers, method="POST", url=self.url, query=[], body=[], tokens=[self.token])


class V3(NamedTuple):
    """A V3 signature of the call above: its fields are a POST's body, or a GET's query."""

    about: str
    signature: str
    valid: bool
    method: str = "POST"
    url: str = f"{_V3_URL}/?a=b&c=d"
    nonce: str = "31627761595286130198"
    token: str = _V3_TOKEN

    def verdict(self) -> Verdict:
        """What our verifier says."""
        headers = {V3_SIGNATURES[0]: self.signature, V3_NONCE: self.nonce}
        url, _, text = self.url.partition("?")
        query, body = parse_qsl(text), list(_CALL)
        if self.method == "GET":
            query, body = query + body, []
        return verify(
            headers, method=self.method, url=url, query=query, body=body, tokens=[self.token]
        )


VECTORS: list[V2 | V3] = [
    V2("no path", _V2_NO_PATH, True),
    V2("wrong token", _V2_NO_PATH, False, token="my_auth_tokens"),
    V2("wrong nonce and token", _V2_NO_PATH, False, nonce="123456", token="my_auth_tokens"),
    V2("wrong token, no padding", _V2_NO_PATH.rstrip("="), False, token="my_auth_tokens"),
    V2("slash", "do1CXv+k99A6+B+eTcyqbxWlezFIxJ/1vz72787r37g=", True, "https://answer.url/"),
    V2("port", "Gm7Z7AGBmf5JpSHrtUmeofrGyA4xV0ZiV0rH8JPXWGU=", True, "https://answer.url:8000"),
    V3("POST with query", _POST, True),
    V3("GET with query", _GET, True, "GET"),
    V3("POST", "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=", True, "POST", _V3_URL),
    V3("GET", "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc=", True, "GET", _V3_URL),
    V3("wrong token", _POST, False, token="not-the-token"),
    V3("wrong nonce", _POST, False, nonce="0000000000"),
    V3("wrong URL", _POST, False, url="https://evil.example/x"),
    V3("GET's signature on a POST", _GET, False),
    V3("empty signature", "", False),
    V3("empty nonce", _POST, False, nonce=""),
    V3("empty token", _POST, False, token=""),
    V3("only commas", ",,,", False),
    V3("first of a list", f"{_POST},AAAAfake=", True),
    V3("middle of a list", f"AAAAfake=,{_POST},BBBBfake=", True),
    V3("list with spaces (plivo-cli trims them)", f" {_POST} , AAAAfake= ", True),
]
