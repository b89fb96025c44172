"""An event's parameters in few bytes, and exactly as they were again. Pure.

Nearly all of a callback's text follows from what its event's columns hold anyway, so it is deflated
with a dictionary made of those: 377 bytes become some 64. The first byte is the format's number.
What is stored can be read only with the very dictionary it was written with, so a format never
changes: a better one gets the next number.
"""

from __future__ import annotations

import zlib

PLAIN = b"\x00"
"""UTF-8, where deflating does not pay."""
DEFLATED = b"\x01"
"""A raw deflate stream, with the dictionary of `_dictionary`."""

LIMIT = 1 << 17
"""Longer texts, in bytes, stay plain; no stream is inflated any further. A callback has half."""

_WINDOW = -11  # raw, 2 KiB: a callback and its dictionary
_LEVEL, _MEMORY = 6, 4  # more of either saves nothing; these may change, the window may not


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
    if len(text) <= LIMIT:
        dictionary = _dictionary(message_uuid, status, status_timestamp, error_code, sequence)
        stream = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, dictionary
        )
        deflated = stream.compress(text) + stream.flush()
        if len(deflated) < len(text):
            return DEFLATED + deflated
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
    if kind == DEFLATED:
        dictionary = _dictionary(message_uuid, status, status_timestamp, error_code, sequence)
        stream = zlib.decompressobj(_WINDOW, dictionary)
        try:
            text = stream.decompress(text, LIMIT + 1)
        except zlib.error as error:
            raise ValueError(f"packed parameters are damaged: {error}") from None
        if not stream.eof or stream.unused_data:
            raise ValueError("packed parameters are damaged: not one whole stream")
    elif kind != PLAIN:
        raise ValueError(f"packed parameters are of unknown format {kind.hex() or 'none'}")
    return text.decode("utf-8", "surrogatepass")


def _dictionary(
    message_uuid: str, status: str, status_timestamp: str, error_code: str | None, sequence: int
) -> bytes:
    """A callback as Plivo sends it, of what these columns say. Never changes: see above.

    Only of columns that nothing ever changes, so not of received_at, which a repeat sets back.
    """
    time = ""
    if status_timestamp:  # 2026-11-01T00:00:03.250000Z
        hours, minutes = status_timestamp[11:13], status_timestamp[14:16]
        time = f"{status_timestamp[:10]}+{hours}%3A{minutes}%3A{status_timestamp[17:26]}"
    return (
        "&PowerpackUUID=&requester_ip=&ConversationID=&ConversationOrigin="
        "&ConversationExpirationTimestamp=&Type=whatsapp&Type=mms&ErrorCode="
        f"&Status={status}&From=1&ParentMessageUUID={message_uuid}&TotalRate=0.00&MCC=310"
        f"&PartInfo=1+of+1&ErrorCode={error_code or '000'}&To=1&Units=1&TotalAmount=0.00&MNC=0"
        f"&MessageUUID={message_uuid}&Type=sms&Sequence={sequence}&MessageTime={time}"
        f"&QueuedTime={time}&SentTime={time}&DeliveryReportTime={time}"
    ).encode("utf-8", "surrogatepass")
