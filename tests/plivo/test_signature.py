"""The verifier alone: published vectors, the SDK as the oracle, hostile headers."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plivo.utils import validate_v3_signature
from plivo.utils.signature_v3 import construct_get_url, construct_post_url, get_signature_v3

from smsstatus.plivo.form import parse_form
from smsstatus.plivo.signature import (
    HEADERS,
    V2_NONCE,
    V2_SIGNATURES,
    V3_NONCE,
    V3_SIGNATURES,
    Verdict,
    sign,
    signed_v2,
    signed_v3,
    verify,
)

from ..rounds import examples
from ..vectors import V2, V3, VECTORS

URL = "https://sms.example.com/plivo/status"
BODY = [("MessageUUID", "a-uuid"), ("Status", "sent")]
V3_RIGHT = sign(signed_v3("POST", URL, [], BODY, "1"), "old")
V2_RIGHT = sign(signed_v2(URL, "1"), "old")
WRONG = sign(b"something else", "old")


def check(headers: Mapping[str, str], **more: bool) -> Verdict:
    return verify(
        headers, method="POST", url=URL, query=[], body=BODY, tokens=("new", "old"), **more
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{type(v).__name__} {v.about}")
def test_a_published_signature_gets_its_published_verdict(vector: V2 | V3) -> None:
    assert vector.verdict().genuine is vector.valid


@pytest.mark.parametrize("header", V3_SIGNATURES)
@pytest.mark.parametrize(
    "listed", ["{0}", "{1},{0}", "{0} , {1}", " {1},,{0},", "x,{0}", "\u00e9,{0}"]
)
def test_any_of_the_listed_v3_signatures_is_enough(header: str, listed: str) -> None:
    assert check({header: listed.format(V3_RIGHT, WRONG), V3_NONCE: "1"}).genuine


@pytest.mark.parametrize("right", V3_SIGNATURES)
def test_one_v3_header_may_be_wrong_when_the_other_is_right(right: str) -> None:
    headers = dict.fromkeys(V3_SIGNATURES, WRONG) | {right: V3_RIGHT, V3_NONCE: "1"}
    assert check(headers).genuine


@pytest.mark.parametrize("header", V2_SIGNATURES)
def test_v2_vouches_with_its_nonce_when_no_v3_header_is_there(header: str) -> None:
    assert check({header: f"{WRONG},{V2_RIGHT}", V2_NONCE: "1"}) == Verdict(True, v2_nonce="1")


def test_v2_is_refused_when_it_is_switched_off() -> None:
    assert not check({V2_SIGNATURES[0]: V2_RIGHT, V2_NONCE: "1"}, accept_v2=False).genuine


@pytest.mark.parametrize("name", [*V3_SIGNATURES, V3_NONCE])
@pytest.mark.parametrize("value", ["", ",", "1", WRONG, "\u00e9"])
def test_a_v3_header_that_does_not_match_is_not_downgraded_to_v2(name: str, value: str) -> None:
    headers = {V2_SIGNATURES[0]: V2_RIGHT, V2_NONCE: "1"}
    assert check(headers).genuine
    assert not check({**headers, name: value}).genuine


def test_a_v2_signature_in_the_v3_header_is_refused() -> None:
    assert not check({V3_SIGNATURES[0]: V2_RIGHT, V3_NONCE: "1"}).genuine


@pytest.mark.parametrize(
    ("signature", "nonce", "right"), [("V3", "V3", V3_RIGHT), ("V2", "V2", V2_RIGHT)]
)
@pytest.mark.parametrize("other", ["", None, "2", "1\u0661", "1 "])
def test_a_nonce_that_is_missing_or_another_is_refused(
    signature: str, nonce: str, right: str, other: str | None
) -> None:
    headers = {f"X-Plivo-Signature-{signature}": right, f"X-Plivo-Signature-{nonce}-Nonce": "1"}
    assert check(headers).genuine
    headers = {name: value for name, value in headers.items() if not name.endswith("Nonce")}
    if other is not None:
        headers[f"X-Plivo-Signature-{nonce}-Nonce"] = other
    assert not check(headers).genuine


@pytest.mark.parametrize(
    "nonce", ["", "1\u00fc", "1\u0661", "1.2", "?1", "1?a=1.2", "a/b", "1 ", "1\n", "1" * 129]
)
def test_a_nonce_that_plivo_never_sends_is_refused_even_if_it_is_signed(nonce: str) -> None:
    v3 = sign(signed_v3("POST", URL, [], BODY, nonce), "new")
    assert not check({V3_SIGNATURES[0]: v3, V3_NONCE: nonce}).genuine
    v2 = sign(signed_v2(URL, nonce), "new")
    assert not check({V2_SIGNATURES[0]: v2, V2_NONCE: nonce}).genuine


@pytest.mark.parametrize("nonce", ["0", "aZ_-9", "1" * 128])
def test_a_nonce_is_letters_digits_hyphens_and_underscores(nonce: str) -> None:
    v3 = sign(signed_v3("POST", URL, [], BODY, nonce), "new")
    assert check({V3_SIGNATURES[0]: v3, V3_NONCE: nonce}).genuine
    v2 = sign(signed_v2(URL, nonce), "new")
    assert check({V2_SIGNATURES[0]: v2, V2_NONCE: nonce}).genuine


_tricky = st.text("?.&=/-_1a", max_size=8)
_tricky_pairs = st.lists(st.tuples(_tricky, _tricky), max_size=3)
_other_urls = st.sampled_from(
    [URL + "/inbound", URL + ".1", URL + "/", URL[:-1], "https://sms.example.com/", URL + "%3Fa"]
)


@st.composite
def _signed_elsewhere(draw: st.DrawFn) -> tuple[str, bytes]:
    """What V2 or V3 signs for another path, or for ours: the version, and the bytes."""
    url = draw(_other_urls | st.just(URL))
    nonce = draw(st.text("-_1a", min_size=1, max_size=8))
    if draw(st.booleans()):
        return ("" if url != URL else "V2"), signed_v2(url, nonce)
    method = draw(st.sampled_from(["GET", "POST"]))
    signed = signed_v3(method, url, draw(_tricky_pairs), draw(_tricky_pairs), nonce)
    return ("" if url != URL else "V3"), signed


@given(_signed_elsewhere())
@settings(max_examples=examples(1000), deadline=None, derandomize=True)
def test_what_was_signed_for_something_else_cannot_be_read_as_a_callback(
    signed: tuple[str, bytes],
) -> None:
    """All headers and fields that could make this message ours are tried."""
    ours, message = signed
    signature = sign(message, "new")
    text = message.decode()
    if not text.startswith(URL):
        return
    rest = text.removeprefix(URL)
    if ours != "V2":
        assert not check({V2_SIGNATURES[0]: signature, V2_NONCE: rest}).genuine
    if ours == "V3":
        return  # cut into other fields it is the same text: the store knows that
    for dot in (place for place, sign_ in enumerate(rest) if sign_ == "."):
        said, nonce = rest[:dot], rest[dot + 1 :]
        name, _, value = said[1:].partition("=")
        for method, query, body in (
            ("POST", [], [(said[1:], "")] if said else []),
            ("POST", [(name, value)] if said else [], []),
            ("GET", [(name, value)] if said else [], []),
        ):
            headers = {V3_SIGNATURES[0]: signature, V3_NONCE: nonce}
            verdict = verify(
                headers, method=method, url=URL, query=query, body=body, tokens=["new"]
            )
            assert not verdict.genuine or not (query or body)


def test_a_captured_v3_signature_vouches_for_no_body_as_v2() -> None:
    headers = {V2_SIGNATURES[0]: V3_RIGHT, V2_NONCE: "?MessageUUIDa-uuidStatussent.1"}
    assert signed_v2(URL, headers[V2_NONCE]) == signed_v3("POST", URL, [], BODY, "1")
    assert not check(headers).genuine


def test_a_get_has_no_body() -> None:
    message = signed_v3("GET", URL, BODY, [], "1")
    assert signed_v3("GET", URL, BODY, [("Status", "failed")], "1") == message
    assert signed_v3("GET", URL, [], [("Status", "failed")], "1") == f"{URL}.1".encode()


def test_every_signature_is_compared_in_constant_time_under_every_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare_digest = hmac.compare_digest

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare_digest(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    assert check({V3_SIGNATURES[0]: f"{V3_RIGHT},{WRONG}", V3_NONCE: "1"}).genuine
    message = signed_v3("POST", URL, [], BODY, "1")
    assert set(compared) == {
        (sign(message, token).encode(), candidate.encode())
        for token in ("new", "old")
        for candidate in (V3_RIGHT, WRONG)
    }


_anything = st.text(st.characters(), max_size=60)  # lone surrogates too
_hostile = st.sampled_from(["", ",", "\ud800" * 44, "\u00fc" * 44, "A" * 44, "A" * 8192])


@given(st.dictionaries(st.sampled_from(HEADERS), _hostile | _anything), _anything)
@settings(max_examples=examples(500), deadline=None, derandomize=True)
def test_hostile_headers_are_refused_without_an_error(headers: dict[str, str], text: str) -> None:
    pairs = [(text, text)]
    verdict = verify(headers, method="POST", url=URL, query=pairs, body=pairs, tokens=("a", "b"))
    assert not verdict.genuine
    assert verdict.reason


@pytest.mark.parametrize("version", ["V3", "V2"])
@pytest.mark.parametrize("nonce", ["1", "\ud800"])
@pytest.mark.parametrize("signature", [WRONG, "\ud800" * 44])
def test_a_lone_surrogate_anywhere_is_refused_without_an_error(
    version: str, nonce: str, signature: str
) -> None:
    headers = {
        f"X-Plivo-Signature-{version}": signature,
        f"X-Plivo-Signature-{version}-Nonce": nonce,
    }
    pairs = [("\ud800", "\udfff")]
    assert not verify(
        headers, method="POST", url=URL, query=pairs, body=pairs, tokens=["a"]
    ).genuine


# The SDK is the oracle, on what it can read: it raises on a query that is not ASCII.

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
_ascii = st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=6)
_names = st.sampled_from(["MessageUUID", "Status", "From", "To", "ErrorCode", "a", "A", "b", ""])
_Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Signed:
    """A callback, the signature header it comes with, and who says so."""

    method: str
    query: _Pairs
    body: _Pairs
    nonce: str
    token: str
    signature: str = ""

    def signed_by_sdk(self) -> Signed:
        if self.method == "GET":
            message = construct_get_url(URL, _lists(self.query))
        else:
            message = construct_post_url(self._address(), _lists(self.body))
        signature = get_signature_v3(self.token.encode(), message.decode(), self.nonce.encode())
        return replace(self, signature=signature.decode())

    def accepted_by_sdk(self) -> bool:
        address = URL if self.method == "GET" else self._address()
        params = _lists(self.query if self.method == "GET" else self.body)
        return bool(
            validate_v3_signature(
                self.method, address, self.nonce, self.token, self.signature, params
            )
        )

    def accepted_by_us(self) -> bool:
        return verify(
            {V3_SIGNATURES[0]: self.signature, V3_NONCE: self.nonce},
            method=self.method,
            url=URL,
            query=parse_form(urlencode(self.query).encode()),
            body=parse_form(urlencode(self.body).encode()),
            tokens=[self.token],
        ).genuine

    def _address(self) -> str:
        return URL + (f"?{urlencode(self.query)}" if self.query else "")


def _lists(pairs: _Pairs) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for key, value in pairs:
        lists.setdefault(key, []).append(value)
    return lists


@st.composite
def _callbacks(draw: st.DrawFn) -> Signed:
    method = draw(st.sampled_from(["GET", "POST"]))
    query = st.lists(st.tuples(_names | _text, _text), max_size=6)
    if method == "POST":
        query = st.lists(st.tuples(_names | _ascii, _ascii), max_size=3)
    body = st.lists(st.tuples(_names | _text, _text), max_size=6 if method == "POST" else 0)
    nonce = draw(st.text("0123456789", min_size=1, max_size=20))
    return Signed(
        method, draw(query), draw(body), nonce, draw(st.sampled_from(["token", "\u00fc"]))
    )


@st.composite
def _altered(draw: st.DrawFn, genuine: Signed) -> Signed:
    """One thing changed, or nothing that matters."""
    signature = genuine.signature
    place = draw(st.integers(0, len(signature) - 1))
    changes = [
        replace(genuine, signature=f"{WRONG},{signature}"),
        replace(genuine, signature=f"{signature},{WRONG}"),
        replace(genuine, signature=signature[:place] + "A" + signature[place + 1 :]),
        replace(genuine, signature=signature[:place]),
        replace(genuine, signature=""),
        replace(genuine, nonce=genuine.nonce + "0"),
        replace(genuine, token=genuine.token + "x"),
        replace(genuine, method="GET", query=genuine.query + genuine.body, body=[]),
    ]
    if genuine.method == "POST":
        changes.append(replace(genuine, body=[*genuine.body, ("a", "")]))
        changes.append(replace(genuine, query=[*genuine.query, ("a", "")]))
    if pairs := genuine.body or genuine.query:
        (key, value), rest = pairs[0], pairs[1:]
        others = (
            rest,
            pairs[::-1],
            [pairs[0], *pairs],
            [(key, value + "x"), *rest],
            [(key.swapcase(), value), *rest],
            [(key + value[:1], value[1:]), *rest],
        )
        changes += [
            replace(genuine, body=other) if genuine.body else replace(genuine, query=other)
            for other in others
        ]
    return draw(st.sampled_from(changes))


@given(st.data())
@settings(max_examples=examples(1000), deadline=None, derandomize=True)
def test_the_verifier_accepts_exactly_what_the_sdk_accepts(data: st.DataObject) -> None:
    genuine = data.draw(_callbacks()).signed_by_sdk()
    assert genuine.accepted_by_sdk()
    assert genuine.accepted_by_us()
    altered = data.draw(_altered(genuine))
    assert altered.accepted_by_us() is altered.accepted_by_sdk()
