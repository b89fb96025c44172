"""What a callback says: form fields in, StatusUpdate (or why not) out. Pure: no Flask, no I/O.

Field names and forms: https://www.plivo.com/docs/messaging/api/message/message-status-callbacks
Only MessageUUID and Status are required: Plivo's own pages list different sets of fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote_plus

from ..model import (
    EARLIEST,
    FINAL_STATUSES,
    RANKS,
    TEXT_DIGEST_SIZE,
    StatusUpdate,
    timestamp,
    utc_timestamp,
)
from .countries import network_of
from .form import Pairs, parse_form
from .signature import signed_text

_FINAL_TIMES = ("Timestamp", "DeliveryReportTime", "SentTime", "QueuedTime", "MessageTime")
_SENT_TIMES = ("Timestamp", "SentTime", "QueuedTime", "MessageTime")
_QUEUED_TIMES = ("Timestamp", "QueuedTime", "MessageTime")
_TIMES = {"queued": _QUEUED_TIMES, "sent": _SENT_TIMES}
_READ_FIELDS = frozenset(
    ("MessageUUID", "Status", "ErrorCode", "Sequence", "From", "To", *_FINAL_TIMES)
)

PROBE_FIELD = "SmsstatusProbe"
PROBE_ANSWER = "probe ok"
"""`doctor` signs a callback with this field alone; it is answered and leaves nothing behind."""

_MAX_STATUS = 200  # the longest word has 11 letters
_MAX_WORD = 500  # 2,000 bytes: a store indexes numbers and codes, and PostgreSQL no longer ones
_MESSAGE_UUID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_CLOCK_IS_SET = "2025"
"""A clock that shows less was never set, so it does not say which times lie ahead."""

_UNITS = re.compile(r"[0-9]{1,4}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,12})?", re.ASCII)

_DOMAINS = ("V3", "V2", "reconcile", "send")
"""Of digests; see `digest_of`."""
_READING_SIZE = 8

_FACTS = ("MCC", "MNC", "Units", "TotalAmount")
_TOO_LONG = 17
"""Characters: none of the four has as many, so what is remembered of them is small."""
_KEPT = re.compile(rf"&({'|'.join(_FACTS)})=([^&]*)")
"""One of them in what is kept of a callback."""

_TIME = re.compile(r"(20\d\d)-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)


class Unusable(ValueError):
    """A genuine callback that says nothing we can store. The text is the reason."""


class Facts(NamedTuple):
    """What a callback says of where a message went and what it cost, as in StatusUpdate."""

    network: str | None
    units: int | None
    amount: int | None


class Callback(NamedTuple):
    """A verified callback as it came, enough to read it again later (spool, replay)."""

    method: str
    query: str
    body: str
    received_at: str
    v2_nonce: str | None = None
    used_nonce: str | None = None


def is_probe(fields: Pairs) -> bool:
    """Are these the fields of `doctor`'s question, and not of a callback?"""
    return len(fields) == 1 and fields[0][0] == PROBE_FIELD


def read_callback(callback: Callback, *, source: str) -> StatusUpdate:
    """Read a callback that was kept earlier. Raises Malformed or Unusable."""
    query = parse_form(callback.query.encode())
    body = parse_form(callback.body.encode())
    return status_update(query, body, callback, source=source)


def status_update(
    query: Pairs,
    body: Pairs,
    callback: Callback,
    *,
    source: str = "callback",
    text: str | None = None,
) -> StatusUpdate:
    """Make a StatusUpdate of a callback whose decoded fields are `query` and `body`.

    `text` is their signed_text, if it is known.

    In a POST the body is Plivo's word, and the query is the sender's own: V3 signs the two apart,
    so a parameter named like a field is not that field. A GET has only its query.

    Raises Unusable when MessageUUID or Status is missing, or a field cannot be stored.
    """
    is_get = callback.method == "GET"
    return make_update(
        _single_values(query if is_get else body),
        digest=digest_of(callback.method, query, body, domain=domain_of(callback), text=text),
        received_at=callback.received_at,
        source=source,
        parameters=parameters_of(callback),
        v2_nonce=callback.v2_nonce,
        used_nonce=callback.used_nonce,
        reference=callback.query if query and not is_get else None,
    )


def make_update(
    fields: Mapping[str, str],
    *,
    digest: bytes,
    received_at: str,
    source: str,
    parameters: str,
    v2_nonce: str | None = None,
    used_nonce: str | None = None,
    reference: str | None = None,
) -> StatusUpdate:
    """Make a StatusUpdate from fields that carry the callback's names. Raises Unusable."""
    message_uuid = _required(fields, "MessageUUID")
    if not _MESSAGE_UUID.fullmatch(message_uuid):
        raise Unusable("MessageUUID is not 1 to 64 letters, digits and hyphens")
    status = _required(fields, "Status").lower()
    if len(status) > _MAX_STATUS:
        raise Unusable(f"Status is longer than {_MAX_STATUS} characters")
    rank = RANKS.get(status, 0)
    error_code = _word(fields, "ErrorCode")
    status_timestamp = _first_time(fields, _TIMES.get(status, _FINAL_TIMES), received_at)
    queued_at = _first_time(fields, ("QueuedTime", "MessageTime"), received_at)
    if received_at < _CLOCK_IS_SET:
        received_at = status_timestamp or queued_at or received_at
    facts = facts_in(fields)
    return StatusUpdate(
        message_uuid=message_uuid,
        status=status,
        status_timestamp=status_timestamp,
        error_code=None if error_code == "000" else error_code,
        is_final=status in FINAL_STATUSES,
        sequence=_sequence(fields.get("Sequence", "")),
        rank=rank,
        digest=digest,
        sender_number=_word(fields, "From"),
        recipient_number=_word(fields, "To"),
        message_body=None,
        queued_at=queued_at or None,
        received_at=received_at,
        source=source,
        parameters=parameters,
        v2_nonce=v2_nonce,
        used_nonce=used_nonce,
        reference=reference,
        network=facts.network,
        units=facts.units,
        amount=facts.amount,
    )


def facts_in(fields: Mapping[str, str]) -> Facts:
    """What MCC, MNC, Units and TotalAmount say; None for what is missing or no such thing."""
    return _facts(*[fields.get(name, "").strip()[:_TOO_LONG] for name in _FACTS])


@lru_cache(1024)
def _facts(mcc: str, mnc: str, units: str, amount: str) -> Facts:
    """Nearly all messages of an account go to few networks, at few prices."""
    return Facts(
        network_of(mcc, mnc),
        int(units) if _UNITS.fullmatch(units) else None,
        _millionths(amount) if _AMOUNT.fullmatch(amount) else None,
    )


def facts_of(parameters: str, reference: str | None, digest: bytes) -> Facts:
    """The same of what was kept of a callback: of the body, not of the sender's query before it.

    `reference` is the query that the message is found by; None where none of its callbacks has one.
    There may be millions to read, so the other fields are not decoded where that says all.
    """
    found = _KEPT.findall(f"&{parameters}")
    if found and (reference or len(found) > len(dict(found))):
        fields = fields_read(parameters, reference, digest)
        if fields is not None:
            return facts_in(dict(fields))
        found = _KEPT.findall("&" + parameters.removeprefix(f"{reference or ''}&"))
    return facts_in({name: unquote_plus(value) for name, value in found})


def fields_read(parameters: str, reference: str | None, digest: bytes) -> Pairs | None:
    """The fields that made an update: those of the one cut into query and body with its digest.

    `reference` is as in `facts_of`. None if there is none, as for a digest of version 2 of the
    schema.
    """
    if len(digest) != TEXT_DIGEST_SIZE + _READING_SIZE:
        return None
    parts = parameters.split("&")
    likely = reference.count("&") + 1 if reference else 0
    for cut in dict.fromkeys((likely, 0, *range(len(parts) + 1))):
        with suppress(ValueError):  # more fields than one form may have
            query = parse_form("&".join(parts[:cut]).encode())
            body = parse_form("&".join(parts[cut:]).encode())
            method, fields = ("POST", body) if body else ("GET", query)
            for domain in _DOMAINS:
                if digest_of(method, query, body, domain=domain) == digest:
                    return fields
    return None


def _millionths(amount: str) -> int:
    """0.00550 as 5500. Plivo's prices have five decimals; of more than six the rest is rounded."""
    return int((Decimal(amount) * 1_000_000).to_integral_value(ROUND_HALF_EVEN))


def digest_of(
    method: str, query: Pairs, body: Pairs, *, domain: str, text: str | None = None
) -> bytes:
    """What identifies an update: first a digest of the text that V3 signs, then one of its reading.

    V3 joins names and values with nothing between them, so a captured text can be cut into other
    fields. All cuts of one text share the first TEXT_DIGEST_SIZE bytes. Those begin with a time in
    the text, so that updates which arrive together are near each other in an index. `domain` keeps
    what V3 does not vouch for from taking a text that it does vouch for.
    """
    if text is None:
        text = signed_text(method, query, body)
    time = _TIME.search(text)
    near = int("".join(time.groups())) if time else 0
    hashed = blake2b(_utf8(text), digest_size=TEXT_DIGEST_SIZE - 6, person=domain.encode())
    digest = near.to_bytes(6, "big") + hashed.digest()
    cut = "\0".join(map("\0".join, [(method, str(len(query))), *sorted(query), *sorted(body)]))
    hashed.update(_utf8(cut))
    return digest + hashed.digest()[:_READING_SIZE]


def parameters_of(callback: Callback) -> str:
    """Query and body as they came."""
    return "&".join(filter(None, (callback.query, callback.body)))


def domain_of(callback: Callback | StatusUpdate) -> str:
    """The domain of a callback's digest: V2 does not vouch for its text."""
    return "V3" if callback.v2_nonce is None else "V2"


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _single_values(pairs: Pairs) -> dict[str, str]:
    """The fields by name. A field we act on must not be given twice with two values.

    A V3 signature sorts repeated keys, so it does not say which value came first.
    """
    fields = dict(pairs)
    if len(fields) != len(pairs):
        for key, value in pairs:
            if key in _READ_FIELDS and fields[key] != value:
                raise Unusable(f"{key} is given more than once with different values")
    return fields


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "").strip()
    if not value:
        raise Unusable(f"{name} is missing")
    return value


def _word(fields: Mapping[str, str], name: str) -> str | None:
    """None also where it is too long to be what the field is for; the parameters have it."""
    value = fields.get(name, "").strip()
    return value if 0 < len(value) <= _MAX_WORD else None


def _first_time(fields: Mapping[str, str], names: Iterable[str], received_at: str) -> str:
    for name in names:
        text = fields.get(name)
        if text and (time := utc_timestamp(text)) and _can_be(time, received_at):
            return time
    return ""


def _can_be(time: str, received_at: str) -> bool:
    """Is this not a filler such as 0001-01-01, and at most a day after it was received?"""
    if time <= received_at or received_at < _CLOCK_IS_SET:
        return time >= EARLIEST
    return time <= _day_after(received_at)


def _day_after(moment: str) -> str:
    try:
        return timestamp(datetime.fromisoformat(moment) + timedelta(days=1))
    except (ValueError, OverflowError):  # not from our clock, so it says nothing about this time
        return "~"


def _sequence(text: str) -> int:
    """Plivo's order of generation; 0 when absent or not a number that every store can hold."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0
