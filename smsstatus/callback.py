"""What a callback says: form fields in, StatusUpdate (or why not) out. Pure: no Flask, no I/O.

Field names and forms: https://www.plivo.com/docs/messaging/api/message/message-status-callbacks
Only MessageUUID and Status are required: Plivo's own pages list different sets of fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlencode

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

FINAL_STATUSES = frozenset(status for status, rank in RANKS.items() if rank >= 3)
"""The statuses after which nothing more is expected."""

_FINAL_TIMES = ("Timestamp", "DeliveryReportTime", "SentTime", "QueuedTime", "MessageTime")
_SENT_TIMES = ("Timestamp", "SentTime", "QueuedTime", "MessageTime")
_QUEUED_TIMES = ("Timestamp", "QueuedTime", "MessageTime")
_READ_FIELDS = frozenset(
    ("MessageUUID", "Status", "ErrorCode", "Sequence", "From", "To", *_FINAL_TIMES)
)

PROBE_FIELD = "SmsstatusProbe"
PROBE_ANSWER = "probe ok"
"""`doctor` signs a callback with this field alone; it is answered and leaves nothing behind."""

_MAX_FIELDS = 250  # ten times what Plivo sends; bounds what a forged body can cost
_MAX_KEY_TEXT = 200  # a MessageUUID has 36 characters, a status word 11


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


class StatusUpdate(NamedTuple):
    """What one callback, send or Plivo API answer says about one message.

    The order key is (is_final, status_timestamp, sequence, rank, digest): see `order_key`.
    Times are UTC text of fixed width, `2026-11-01T00:00:03.250000Z`, or empty when unknown.
    `digest` identifies the update: Plivo's retry of a callback has the same one. `parameters`
    are as received, application/x-www-form-urlencoded.
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

    @property
    def order_key(self) -> tuple[bool, str, int, int, bytes]:
        """What decides which of two updates of a message stands, whatever order they came in.

        The digest comes last so that no two distinct updates are ever equal.
        """
        return (self.is_final, self.status_timestamp, self.sequence, self.rank, self.digest)


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
    pairs = parse_form(callback.query.encode()) + parse_form(callback.body.encode())
    if callback.method == "SEND":
        text = dict(pairs).get("Text")
        pairs = [pair for pair in pairs if pair[0] != "Text"]
        sent = status_update(pairs, callback._replace(body=urlencode(pairs)), source="send")
        digest = digest_of([*pairs, ("source", "send")])
        return sent._replace(message_body=text, digest=digest, rank=SEND_RANK)
    return status_update(pairs, callback, source=source)


def status_update(
    pairs: list[tuple[str, str]], callback: Callback, *, source: str = "callback"
) -> StatusUpdate:
    """Make a StatusUpdate of a callback whose decoded fields are `pairs`.

    Raises Unusable when MessageUUID or Status is missing, or a field cannot be stored.
    """
    fields = _single_values(pairs)
    return make_update(
        fields,
        digest=digest_of(pairs),
        received_at=callback.received_at,
        source=source,
        parameters="&".join(filter(None, (callback.query, callback.body))),
        v2_nonce=callback.v2_nonce,
    )


def make_update(
    fields: Mapping[str, str],
    *,
    digest: bytes,
    received_at: str,
    source: str,
    parameters: str,
    v2_nonce: str | None = None,
) -> StatusUpdate:
    """Make a StatusUpdate from fields that carry the callback's names. Raises Unusable."""
    message_uuid = _required(fields, "MessageUUID")
    status = _required(fields, "Status").lower()
    rank = RANKS.get(status, 0)
    error_code = fields.get("ErrorCode", "").strip()
    return StatusUpdate(
        message_uuid=message_uuid,
        status=status,
        status_timestamp=_status_timestamp(fields, status),
        error_code=None if error_code in ("", "000") else error_code,
        is_final=status in FINAL_STATUSES,
        sequence=_sequence(fields.get("Sequence", "")),
        rank=rank,
        digest=digest,
        sender_number=fields.get("From", "").strip() or None,
        recipient_number=fields.get("To", "").strip() or None,
        message_body=None,
        queued_at=_first_time(fields, ("QueuedTime", "MessageTime")) or None,
        received_at=received_at,
        source=source,
        parameters=parameters,
        v2_nonce=v2_nonce,
    )


def digest_of(pairs: Iterable[tuple[str, str]]) -> bytes:
    """16 bytes that are equal for equal sets of fields, in whatever order they came."""
    text = "\0".join(chain.from_iterable(sorted(pairs)))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


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


def _single_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
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
    if len(value) > _MAX_KEY_TEXT:
        raise Unusable(f"{name} is longer than {_MAX_KEY_TEXT} characters")
    return value


def _status_timestamp(fields: Mapping[str, str], status: str) -> str:
    if status == "queued":
        return _first_time(fields, _QUEUED_TIMES)
    if status == "sent":
        return _first_time(fields, _SENT_TIMES)
    return _first_time(fields, _FINAL_TIMES)


def _first_time(fields: Mapping[str, str], names: Iterable[str]) -> str:
    for name in names:
        text = fields.get(name)
        if text and (timestamp := utc_timestamp(text)):
            return timestamp
    return ""


def _sequence(text: str) -> int:
    """Plivo's order of generation; 0 when absent or not a number SQLite can hold."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0
