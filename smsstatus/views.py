"""How the store's answers look outside: JSON and CSV.

The routes, the pages and the commands share these.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .notation import dollars, form_json, number
from .plivo.error_codes import explain
from .store.contract import Event, Message
from .store.outbox import Forward

CSV_COLUMNS = (
    "message_uuid",
    "sender_number",
    "recipient_number",
    "message_body",
    "initial_status",
    "current_status",
    "status_timestamp",
    "error_code",
    "created_at",
    "updated_at",
    "is_final",
    "error_reason",
    "reference",
    "country",
    "network",
    "units",
    "amount",
)

_FORMULA = re.compile(r"[\t\r\n]|[\s\"\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_PLAIN_NUMBER = re.compile(r"\+[0-9]+")


def message_json(message: Message) -> dict[str, Any]:
    """A message as the API shows it; `events` only where they were read.

    `forwarded` only where changes are: of the latest one, and with each event that is one.
    """
    shown = _columns(message)
    shown["reference"] = form_json(message.reference)
    shown.update(zip(CSV_COLUMNS[-4:], _facts(message), strict=True))
    if message.events is not None:
        shown["events"] = [_event_json(event) for event in message.events]
        for event in message.events:
            if event.forward is not None:
                shown["forwarded"] = {"status": event.status, **_forward_json(event.forward)}
    shown["error"] = explain(message.error_code) if message.error_code else None
    return shown


def _columns(message: Message) -> dict[str, Any]:
    """What JSON and CSV begin with, in this order."""
    return {
        "message_uuid": message.message_uuid,
        "sender_number": number(message.sender_number),
        "recipient_number": number(message.recipient_number),
        "message_body": message.message_body,
        "initial_status": message.initial_status,
        "current_status": message.current_status,
        "status_timestamp": message.status_timestamp,
        "error_code": message.error_code,
        "created_at": message.created_at,
        "updated_at": message.updated_at,
        "is_final": message.is_final,
    }


def _facts(message: Message) -> tuple[str | int | None, ...]:
    """Country, network, units, and the amount in US dollars, as text: it is no binary fraction."""
    amount = None if message.amount is None else dollars(message.amount)
    return message.country, message.network, message.units, amount


def _event_json(event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "status": event.status,
        "status_timestamp": event.status_timestamp,
        "error_code": event.error_code,
        "sequence": event.sequence,
        "received_at": event.received_at,
        "source": event.source,
        "repeats": event.repeats,
    }
    if event.forward is not None:
        shown["forwarded"] = _forward_json(event.forward)
    return shown


def _forward_json(forward: Forward) -> dict[str, Any]:
    return {
        "state": forward.fate.value,
        "seconds": forward.seconds,
        "attempts": forward.attempts,
        "answer": forward.answer or None,
        "next_at": forward.due_at,
    }


def csv_lines(messages: Iterable[Message]) -> Iterator[str]:
    """CSV (RFC 4180) with a head line, in chunks of text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    for message in messages:
        reason = explain(message.error_code)["reason"] if message.error_code else None
        values = (*_columns(message).values(), reason, message.reference, *_facts(message))
        writer.writerow([_harmless(value) for value in values])
        if buffer.tell() > 16_384:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _harmless(value: object) -> object:
    """A spreadsheet takes text that starts like this for a formula; a quote makes it text again.

    https://owasp.org/www-community/attacks/CSV_Injection names the characters, full-width ones too.
    Blanks and double quotes before them do not count, since some programs drop those. A number
    with its + is no formula, and other programs look for it as it is.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and _FORMULA.match(value) and not _PLAIN_NUMBER.fullmatch(value):
        return "'" + value
    return value
