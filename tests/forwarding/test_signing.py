"""Signatures: ours are the official library's, and a secret is strong or refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from smsstatus.forwarding.signing import (
    NotASecret,
    NotVerified,
    headers,
    message_id,
    read_secret,
    verify,
    write_secret,
)

NOW = datetime.now(UTC)
NEW, OLD = bytes(range(32)), bytes(range(24))


@given(st.binary(min_size=24, max_size=64), st.text(max_size=100), st.binary(max_size=26))
def test_the_official_library_signs_the_same_and_verifies(
    key: bytes, text: str, digest: bytes
) -> None:
    now = datetime.now(UTC)
    body = text.encode("utf-8", "replace")
    library = Webhook(write_secret(key))
    sent = headers(message_id(digest), now, body, [key])
    expected = library.sign(f"evt_{digest.hex()}", now, body.decode())
    assert sent["webhook-signature"] == expected
    library.verify(body, sent, json_parse=False)


def test_a_fixed_vector() -> None:
    """Made with openssl: `printf ... | openssl dgst -sha256 -mac HMAC -macopt hexkey:...`."""
    sent = headers("evt_00", datetime.fromtimestamp(1_700_000_000, UTC), b"{}", [OLD])
    assert sent == {
        "webhook-id": "evt_00",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1,e0MoCrPi397s2C0Wndui5Cz739zUpK7jutuW8pcin28=",
    }


@pytest.mark.parametrize("key", [NEW, OLD])
def test_while_two_secrets_sign_a_receiver_with_either_of_them_verifies(key: bytes) -> None:
    now = datetime.now(UTC)
    sent = headers("evt_00", now, b"{}", [NEW, OLD])
    assert len(sent["webhook-signature"].split(" ")) == 2
    Webhook(write_secret(key)).verify(b"{}", sent)
    verify(sent, now, b"{}", [key])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "evt_01"),
        ("webhook-id", ""),
        pytest.param("webhook-timestamp", str(int(NOW.timestamp()) - 1), id="a second before"),
        ("webhook-timestamp", "now"),
        ("webhook-timestamp", "9" * 400),
        ("webhook-timestamp", ""),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", "v1a,\udcff \xff"),
        ("webhook-signature", ""),
    ],
)
def test_whatever_is_changed_is_not_verified(name: str, value: str) -> None:
    now = datetime.now(UTC)
    sent = headers("evt_00", now, b"{}", [NEW])
    with pytest.raises(NotVerified):
        verify({**sent, name: value}, now, b"{}", [NEW])


def test_another_body_another_key_and_no_headers_are_not_verified() -> None:
    now = datetime.now(UTC)
    sent = headers("evt_00", now, b"{}", [NEW])
    for given_headers, body, key in ((sent, b"{ }", NEW), (sent, b"{}", OLD), ({}, b"{}", NEW)):
        with pytest.raises(NotVerified):
            verify(given_headers, now, body, [key])


@pytest.mark.parametrize("seconds", [-301, 360])  # what is ahead comes nearer meanwhile
def test_what_is_five_minutes_old_or_ahead_is_refused_as_the_library_does(seconds: int) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    sent = headers("evt_00", moment, b"{}", [NEW])
    with pytest.raises(NotVerified, match="from this clock"):
        verify(sent, datetime.now(UTC), b"{}", [NEW])
    with pytest.raises(WebhookVerificationError):
        Webhook(write_secret(NEW)).verify(b"{}", sent)


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_read_as_it_was_written(key: bytes) -> None:
    assert read_secret(write_secret(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        base64.b64encode(NEW).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(NEW).decode().rstrip("="),
        "whsec_" + base64.b64encode(NEW).decode() + "\n",
        "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "whsec_" + base64.b64encode(NEW).decode().replace("8=", "9="),
        "whsec_whsec_" + base64.b64encode(NEW).decode(),
    ],
)
def test_a_weak_or_misspelt_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(NotASecret) as refused:
        read_secret(text)
    assert text.removeprefix("whsec_")[:8] not in str(refused.value) or len(text) < 8
