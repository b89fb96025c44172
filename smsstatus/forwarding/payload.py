"""What a receiver is told of a change: JSON, as docs/forwarding.md describes it. Pure.

Fields are only ever added. What would break a receiver gets a new `type`.
"""

from __future__ import annotations

import json
from typing import Any

from ..notation import fields_json, form_json, form_pairs, number
from ..plivo.callback import fields_read
from ..plivo.error_codes import explain
from ..plivo.form import Pairs
from ..store.outbox import Change

TYPE = "message.status_changed"
MOST_RAW = 16_384
"""Plivo's fields are left out where they are longer than this; they are 0.6 kB as a rule."""


def body(change: Change) -> bytes:
    """Compact JSON in ASCII. What is signed and sent are these bytes."""
    return json.dumps(payload(change), separators=(",", ":")).encode()


def payload(change: Change) -> dict[str, Any]:
    """The same as an object, for who asks for changes instead."""
    return {
        "type": TYPE,
        "timestamp": change.status_timestamp or change.received_at,
        "data": {
            "message_uuid": change.message_uuid,
            "status": change.status,
            "previous_status": change.previous_status,
            "is_final": change.is_final,
            "status_timestamp": change.status_timestamp,
            "sender_number": number(change.sender_number),
            "recipient_number": number(change.recipient_number),
            "reference": form_json(change.reference),
            "error": explain(change.error_code) if change.error_code else None,
            "order": order(change),
            "received_at": change.received_at,
            "source": change.source,
            "plivo": _raw(change),
        },
    }


def order(change: Change) -> str:
    """The order key as text: of two changes of a message the later one has the greater text.

    The phase (1 digit), the digits of status_timestamp (20, all 0 where it is unknown), Plivo's
    sequence (18), the rank (1, from our own send's 0 upwards), then the digest in hexadecimal. All
    but the digest is of fixed width, and there are lower-case letters and digits alone, so every
    program and every collation of a database compares it as the store compares the key.
    """
    moment = "".join(filter(str.isdigit, change.status_timestamp)).zfill(20)
    place = f"{change.phase}{moment}{change.sequence:018}{change.rank + 1}"
    return place + change.digest.hex()


def _raw(change: Change) -> dict[str, str | list[str]] | None:
    """Plivo's fields as received, but not those of the sender's query, nor a message's text.

    The query of this update can be another one than the message's reference. None also where the
    two cannot be told apart.
    """
    parameters, reference = change.parameters, change.reference
    if not 0 < len(parameters) <= MOST_RAW:
        return None
    pairs: Pairs | None = None
    if reference is not None:
        pairs = fields_read(parameters, reference, change.digest)
    if pairs is None:
        query = "" if reference is None else f"{reference}&"
        if not parameters.startswith(query):
            return None
        pairs = form_pairs(parameters.removeprefix(query))
    return fields_json([pair for pair in pairs if pair[0].lower() != "text"])
