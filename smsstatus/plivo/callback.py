"""What a callback says: form fields in, StatusUpdate (or why not) out. Pure: no Flask, no I/O.

Field names and forms: https://www.plivo.com/docs/messaging/api/message/message-status-callbacks
Only MessageUUID and Status are required: Plivo's own pages list different sets of fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlencode

from .signature import Pairs, signed_text

RANKS = {
    "queued": 1,
    "sent": 2,
    "rejected": 3,
    "failed": 3,
    "undelivered": 3,
    "delivered": 4,
    "read": 5,
}
"""How far along a status is. A word Plivo has not documented ranks 0 and is not final."""

SEND_RANK = -1
"""Of the row we write when we send: any callback stands above it."""

PHASES = {SEND_RANK: 0, 0: 1, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4}
"""By rank: what comes first in the order key, so that an update that tells less about time still
wins where its status is further along. `store.rules` makes SQL of this.
"""

_FINAL_PHASE = 3

FINAL_STATUSES = frozenset(word for word, rank in RANKS.items() if PHASES[rank] >= _FINAL_PHASE)
"""The statuses after which nothing more is expected."""

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

_MAX_FIELDS = 250  # ten times what Plivo sends; bounds what a forged body can cost
_MAX_STATUS = 200  # the longest word has 11
_MESSAGE_UUID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
EARLIEST = "2000"
"""A time before that is a filler."""
_CLOCK_IS_SET = "2025"
"""A clock that shows less was never set, so it does not tell which times lie ahead."""

TEXT_DIGEST_SIZE = 18
"""The part of an update's digest that is of the text Plivo signed; the rest is of its reading."""
_TIME = re.compile(r"(20\d\d)-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)


class Malformed(ValueError):
    """The bytes are not a UTF-8 form, so there is nothing a signature could vouch for."""


class Unusable(ValueError):
    """A genuine callback that says nothing we can store. The text is the reason."""


class Callback(NamedTuple):
    """A verified callback as it came, enough to read it again later (spool, replay)."""

    method: str
    query: str
    body: str
    received_at: str
    v2_nonce: str | None = None
    used_nonce: str | None = None


class StatusUpdate(NamedTuple):
    """What one callback, send or Plivo API answer says about one message.

    The order key is (phase, status_timestamp, sequence, rank, digest): see `order_key`.
    Times are UTC text of fixed width, `2026-11-01T00:00:03.250000Z`, or empty when unknown.
    `digest` identifies the update: Plivo's retry of a callback has the same one. `parameters`
    are as received, application/x-www-form-urlencoded. `reference` is the query of a POST, as
    received: what the sender added to the URL, not a word of Plivo's.
    """

    message_uuid: str
    status: str
    status_timestamp: str
    error_code: str | None
    is_final: bool
    sequence: int
    rank: int
    digest: bytes
    sender_number: str | None
    recipient_number: str | None
    message_body: str | None
    queued_at: str | None
    received_at: str
    source: str
    parameters: str
    v2_nonce: str | None = None
    used_nonce: str | None = None
    reference: str | None = None

    @property
    def order_key(self) -> tuple[int, str, int, int, bytes]:
        """What decides which of two updates of a message stands, whatever order they came in.

        The digest comes last so that no two distinct updates are ever equal.
        """
        return (PHASES[self.rank], self.status_timestamp, self.sequence, self.rank, self.digest)


def parse_form(raw: bytes) -> list[tuple[str, str]]:
    """Decode a form body or a query string, sorted: blank values and repeated keys are kept.

    Sorted, because a signature and a digest are made of sorted fields: sorting again costs little.
    Raises Malformed when it is not UTF-8, before or after percent-decoding, or holds a NUL.
    """
    if not raw:
        return []
    try:
        text = raw.decode("utf-8")
        if "\0" in text or "%00" in text:
            raise ValueError("NUL")
        text = text.replace("+", " ")
        text = text.replace("%3A", ":")  # colons of times: most of what is escaped
        fields = text.split("&")
        if len(fields) > _MAX_FIELDS:
            raise ValueError("too many")
        pairs = [field.partition("=")[::2] for field in fields if field]
        if "%" in text:  # seldom by now: decoding costs as much as all the rest
            pairs = [(_unquote(name), _unquote(value)) for name, value in pairs]
        return sorted(pairs)
    except ValueError:
        raise Malformed(f"not a UTF-8 form of at most {_MAX_FIELDS} fields without NUL") from None


def _unquote(text: str) -> str:
    return unquote_to_bytes(text).decode() if "%" in text else text


def read_callback(callback: Callback, *, source: str) -> StatusUpdate:
    """Read a callback that was kept earlier. Raises Malformed or Unusable.

    A message we sent ourselves is kept in the same form, with the method SEND and a Text.
    """
    query = parse_form(callback.query.encode())
    body = parse_form(callback.body.encode())
    if callback.method == "SEND":
        text = dict(body).get("Text")
        pairs = [pair for pair in body if pair[0] != "Text"]
        sent = status_update([], pairs, callback._replace(body=urlencode(pairs)), source="send")
        digest = digest_of("POST", [], pairs, domain="send")
        return sent._replace(message_body=text, digest=digest, rank=SEND_RANK)
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

    Of a POST the body is Plivo's word. Its query is the sender's own: V3 signs the two apart, so a
    parameter named like a field is not that field. A GET has only its query.

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
    error_code = fields.get("ErrorCode", "").strip()
    status_timestamp = _first_time(fields, _TIMES.get(status, _FINAL_TIMES), received_at)
    queued_at = _first_time(fields, ("QueuedTime", "MessageTime"), received_at)
    if received_at < _CLOCK_IS_SET:
        received_at = status_timestamp or queued_at or received_at
    return StatusUpdate(
        message_uuid=message_uuid,
        status=status,
        status_timestamp=status_timestamp,
        error_code=None if error_code in ("", "000") else error_code,
        is_final=PHASES[rank] >= _FINAL_PHASE,
        sequence=_sequence(fields.get("Sequence", "")),
        rank=rank,
        digest=digest,
        sender_number=fields.get("From", "").strip() or None,
        recipient_number=fields.get("To", "").strip() or None,
        message_body=None,
        queued_at=queued_at or None,
        received_at=received_at,
        source=source,
        parameters=parameters,
        v2_nonce=v2_nonce,
        used_nonce=used_nonce,
        reference=reference,
    )


def digest_of(
    method: str, query: Pairs, body: Pairs, *, domain: str, text: str | None = None
) -> bytes:
    """What identifies an update: first a digest of the text that V3 signs, then one of its reading.

    V3 joins names and values with nothing between them, so a captured text can be cut into other
    fields. All cuts of one text share the first TEXT_DIGEST_SIZE bytes. Those begin with a time in
    the text, which keeps what comes together near each other in an index. `domain` keeps what V3
    does not vouch for from taking a text that it does.
    """
    if text is None:
        text = signed_text(method, query, body)
    time = _TIME.search(text)
    near = int("".join(time.groups())) if time else 0
    hashed = blake2b(_utf8(text), digest_size=TEXT_DIGEST_SIZE - 6, person=domain.encode())
    digest = near.to_bytes(6, "big") + hashed.digest()
    cut = "\0".join(map("\0".join, [(method, str(len(query))), *sorted(query), *sorted(body)]))
    hashed.update(_utf8(cut))
    return digest + hashed.digest()[:8]


def parameters_of(callback: Callback) -> str:
    """Query and body as they came."""
    return "&".join(filter(None, (callback.query, callback.body)))


def domain_of(callback: Callback | StatusUpdate) -> str:
    """The domain of a callback's digest: V2 does not vouch for its text."""
    return "V3" if callback.v2_nonce is None else "V2"


def former_digest(parameters: str, source: str) -> bytes:
    """What version 2 of the schema had for `digest`: of all fields together, sorted."""
    try:
        pairs = parse_form(parameters.encode())
    except Malformed:  # more fields than one form may have
        return b""
    if source in ("send", "reconcile"):
        pairs.append(("source", source))
    text = "\0".join(chain.from_iterable(sorted(pairs)))
    return blake2b(_utf8(text), digest_size=16).digest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def utc_timestamp(text: str) -> str:
    """Normalise a time to UTC, fixed width, so that text compares as time; empty if unusable.

    Plivo writes `2026-11-01 00:00:03.250000` in callbacks (no offset is documented: taken as
    UTC) and appends the account's offset in its API (`+05:30`).
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds") + "Z"
    except (ValueError, OverflowError):
        return ""


def utc_now() -> str:
    """Our clock in the form of `utc_timestamp`."""
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


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


def _first_time(fields: Mapping[str, str], names: Iterable[str], received_at: str) -> str:
    for name in names:
        text = fields.get(name)
        if text and (timestamp := utc_timestamp(text)) and _can_be(timestamp, received_at):
            return timestamp
    return ""


def _can_be(timestamp: str, received_at: str) -> bool:
    """Is this no filler such as 0001-01-01, and at most a day ahead of when it was received?"""
    if timestamp <= received_at or received_at < _CLOCK_IS_SET:
        return timestamp >= EARLIEST
    return timestamp <= _day_after(received_at)


def _day_after(moment: str) -> str:
    try:
        return utc_timestamp(str(datetime.fromisoformat(moment) + timedelta(days=1)))
    except (ValueError, OverflowError):  # not of our clock, so it says nothing about this time
        return "~"


def _sequence(text: str) -> int:
    """Plivo's order of generation; 0 when absent or not a number SQLite can hold."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0
