"""Signatures on what is forwarded, as Standard Webhooks has them. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
A receiver checks them with the official library of its language, or with a few lines of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"
SECRET_BYTES = (24, 64)
"""A secret has at least and at most this many, by the specification."""
TOLERANCE_SECONDS = 300
"""Receivers refuse what was signed longer ago than that, or that much ahead of their clock."""

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class NotASecret(ValueError):
    """The text says what a secret looks like, and repeats nothing of this one."""


class NotVerified(ValueError):
    """A delivery is not what the owner of a secret has sent just now. The text says why."""


def read_secret(text: str) -> bytes:
    """The key that a secret stands for. Raises NotASecret.

    The base64 must be exactly what encoding the key gives: a decoder that skips what it does not
    know makes a short key, or another one than the receiver's, out of a slip of the pen.
    """
    encoded = text.removeprefix(PREFIX)
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if encoded == text or base64.b64encode(key).decode() != encoded or not key:
        raise NotASecret(f"must be {PREFIX} and base64, with nothing left out at its end")
    if not least <= len(key) <= most:
        raise NotASecret(f"must have {least} to {most} bytes behind {PREFIX}, not {len(key)}")
    return key


def write_secret(key: bytes) -> str:
    """What `read_secret` reads."""
    return PREFIX + base64.b64encode(key).decode()


def message_id(digest: bytes) -> str:
    """The id of a change: the same after a restart, a replay, or with a restored backup."""
    return f"evt_{digest.hex()}"


def headers(
    message_id: str, moment: datetime, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """The three headers of one attempt. `moment` is now: a receiver refuses what is old.

    Every key signs, so that a receiver may change from one to the other when it likes.
    """
    seconds = str(int(moment.timestamp()))
    return {
        ID: message_id,
        TIMESTAMP: seconds,
        SIGNATURE: " ".join([_signature(message_id, seconds, body, key) for key in keys]),
    }


def verify(sent: Mapping[str, str], moment: datetime, body: bytes, keys: Sequence[bytes]) -> None:
    """Check a delivery as its receiver would; names in `sent` are in lower case.

    Raises NotVerified.
    """
    message_id, seconds, given = (sent.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id and seconds and given):
        raise NotVerified(f"one of {ID}, {TIMESTAMP} and {SIGNATURE} is missing")
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 12):
        raise NotVerified(f"{TIMESTAMP} is not a number of seconds")
    if abs(int(seconds) - moment.timestamp()) > TOLERANCE_SECONDS:
        raise NotVerified(f"{TIMESTAMP} is more than {TOLERANCE_SECONDS} s from this clock")
    expected = [_signature(message_id, seconds, body, key).encode() for key in keys]
    offered = [one.encode(errors="replace") for one in given.split(" ")]
    if not any(hmac.compare_digest(one, right) for one in offered for right in expected):
        raise NotVerified(f"no part of {SIGNATURE} was made with this secret")


def _signature(message_id: str, seconds: str, body: bytes, key: bytes) -> str:
    signed = b".".join([message_id.encode(), seconds.encode(), body])
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
