"""An event's parameters in few bytes, and exactly as they were again. Pure.

Nearly all of a callback's text follows from what its event's columns hold anyway, or is the same in
all of them. So what a column holds becomes one character, then the digits are taken out, and what
is left is deflated with a dictionary: 377 bytes become some 35. The first byte is the format's
number. What is stored can be read only with the very dictionary it was written with, so a format
never changes: a better one gets the next number.
"""

from __future__ import annotations

import zlib

PLAIN = b"\x00"
"""UTF-8, where deflating does not pay."""
DEFLATED = b"\x01"
"""A raw deflate stream, with the dictionary of `_dictionary`. Read, but no longer written."""
SPLIT = b"\x02"
"""A raw deflate stream, with the dictionary _FORM, in which each digit is a 0; then the digits, as
one number.
"""

LIMIT = 1 << 17
"""Longer texts, in bytes, stay plain; no stream is inflated any further. A callback has half."""
MAX_DIGITS = 4000
"""Texts with more digits stay plain: Python makes no number of them."""

_WINDOW = -11  # raw, 2 KiB: a callback and its dictionary
_LEVEL, _MEMORY = 2, 1  # more of either saves nothing; these may change, the window may not

_UUID, _STATUS, _TIME, _MINUTE, _HOUR = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
_MARKS = _UUID + _STATUS + _TIME + _MINUTE + _HOUR
"""What stands for a value of the event's columns. A text that has one of its own stays plain."""
_TO_MINUTE, _TO_HOUR = len("2026-11-01+00%3A00%3A"), len("2026-11-01+00%3A")

_FORM = (
    b"&PowerpackUUID=&requester_ip=&ConversationID=&ConversationOrigin="
    b"&ConversationExpirationTimestamp=&Type=whatsapp&Type=mms&SentTime=\x03"
    b"&DeliveryReportTime=\x05.000000&ErrorCode=00&ErrorCode=&To=00000000000Status=\x02"
    b"&From=00000000000&ParentMessageUUID=\x01&TotalRate=0.00000&MCC=000&PartInfo=0+of+0"
    b"&ErrorCode=000&To=00000000000&Units=0&TotalAmount=0.00000&MNC=000&MessageUUID=\x01"
    b"&Type=sms&Sequence=0&MessageTime=\x0400.000000&QueuedTime=\x0400.000000"
    b"&SentTime=\x0400.000000&DeliveryReportTime=\x03"
)
"""A callback as Plivo sends it. Never changes: see above."""

_primed = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _FORM)

_DIGITS = b"0123456789"
_TO_ZEROS = bytes.maketrans(_DIGITS, b"0" * 10)
_NO_DIGITS = bytes(set(range(256)) - set(_DIGITS))


def pack(
    parameters: str,
    message_uuid: str,
    status: str,
    status_timestamp: str,
    error_code: str | None,
    sequence: int,
) -> bytes:
    """These parameters for storing beside the other values, which are the event's own columns."""
    text = parameters.encode("utf-8", "surrogatepass")
    if len(text) <= LIMIT and len(text.translate(None, _MARKS)) == len(text):
        marked = text
        for value, mark in _values(message_uuid, status, status_timestamp):
            marked = marked.replace(value, mark)
        digits = marked.translate(None, _NO_DIGITS)
        if len(digits) <= MAX_DIGITS:
            stream = _primed.copy()
            deflated = stream.compress(marked.translate(_TO_ZEROS)) + stream.flush()
            packed = deflated + int(digits or b"0").to_bytes(_size(len(digits)), "big")
            if len(packed) < len(text):
                return SPLIT + packed
    return PLAIN + text


def unpack(
    packed: bytes,
    message_uuid: str,
    status: str,
    status_timestamp: str,
    error_code: str | None,
    sequence: int,
) -> str:
    """What was given to `pack` with the same columns.

    Raises ValueError for bytes that it has not made: of a later format, or damaged.
    """
    kind, text = packed[:1], packed[1:]
    if kind == SPLIT:
        text, number = _inflate(text, _FORM)
        text = _with_digits(text, number)
        for value, mark in _values(message_uuid, status, status_timestamp)[::-1]:
            text = text.replace(mark, value)
    elif kind == DEFLATED:
        text, rest = _inflate(
            text, _dictionary(message_uuid, status, status_timestamp, error_code, sequence)
        )
        if rest:
            raise ValueError("packed parameters are damaged: not one whole stream")
    elif kind != PLAIN:
        raise ValueError(f"packed parameters are of unknown format {kind.hex() or 'none'}")
    return text.decode("utf-8", "surrogatepass")


def _values(message_uuid: str, status: str, status_timestamp: str) -> list[tuple[bytes, bytes]]:
    """What is replaced, in this order, and by what. Only of columns that nothing ever changes, so
    not of received_at, which a repeat sets back.
    """
    found = [
        (message_uuid.encode("utf-8", "surrogatepass"), _UUID),
        (status.encode("utf-8", "surrogatepass"), _STATUS),
    ]
    if status_timestamp:  # as a whole, to the minute, to the hour
        time = _form_time(status_timestamp).encode()
        found += [(time, _TIME), (time[:_TO_MINUTE], _MINUTE), (time[:_TO_HOUR], _HOUR)]
    return found


def _form_time(time: str) -> str:
    """2026-11-01T00:00:03.250000Z as a form has it."""
    return f"{time[:10]}+{time[11:13]}%3A{time[14:16]}%3A{time[17:26]}"


def _inflate(packed: bytes, dictionary: bytes) -> tuple[bytes, bytes]:
    """The text, and what follows its stream."""
    stream = zlib.decompressobj(_WINDOW, dictionary)
    try:
        text = stream.decompress(packed, LIMIT + 1)
    except zlib.error as error:
        raise ValueError(f"packed parameters are damaged: {error}") from None
    if not stream.eof:
        raise ValueError("packed parameters are damaged: not one whole stream")
    return text, stream.unused_data


def _with_digits(text: bytes, number: bytes) -> bytes:
    """The text with the digits of a number in the place of its zeros."""
    count = text.count(b"0")
    digits = ""
    if 0 < count <= MAX_DIGITS and len(number) == _size(count):
        digits = f"{int.from_bytes(number, 'big'):0{count}}"
    if (len(digits), len(number)) != (count, _size(count)):
        raise ValueError("packed parameters are damaged: not as many digits as places")
    return text.replace(b"%", b"%%").replace(b"0", b"%c") % tuple(digits.encode())


def _size(digits: int) -> int:
    """Bytes for a number of so many digits."""
    return (digits * 10 + 23) // 24


def _dictionary(
    message_uuid: str, status: str, status_timestamp: str, error_code: str | None, sequence: int
) -> bytes:
    """For DEFLATED: a callback of what these columns say. Never changes."""
    time = _form_time(status_timestamp) if status_timestamp else ""
    return (
        "&PowerpackUUID=&requester_ip=&ConversationID=&ConversationOrigin="
        "&ConversationExpirationTimestamp=&Type=whatsapp&Type=mms&ErrorCode="
        f"&Status={status}&From=1&ParentMessageUUID={message_uuid}&TotalRate=0.00&MCC=310"
        f"&PartInfo=1+of+1&ErrorCode={error_code or '000'}&To=1&Units=1&TotalAmount=0.00&MNC=0"
        f"&MessageUUID={message_uuid}&Type=sms&Sequence={sequence}&MessageTime={time}"
        f"&QueuedTime={time}&SentTime={time}&DeliveryReportTime={time}"
    ).encode("utf-8", "surrogatepass")
