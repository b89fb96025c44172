"""How the store's answers look outside: JSON and CSV.

The routes, the pages and the commands share these.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Any

from .model import FINAL_STATUSES
from .notation import number, reference_json
from .plivo.error_codes import explain
from .store.contract import Event, Message, Stats
from .store.outbox import Forward

TOP_ERRORS = 10

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
)

_FORMULA = re.compile(r"[\t\r\n]|[\s\"\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_PLAIN_NUMBER = re.compile(r"\+[0-9]+")


def message_json(message: Message) -> dict[str, Any]:
    """A message as the API shows it; `events` only where they were read.

    `forwarded` only where changes are: of the latest one, and with each event that is one.
    """
    shown = _columns(message)
    shown["reference"] = reference_json(message.reference)
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


def stats_json(stats: Stats, since: str, until: str) -> dict[str, Any]:
    """Stats as the API shows them. Rates are None where there is nothing to divide by."""
    final = sum(stats.counts.get(status, 0) for status in FINAL_STATUSES)
    delivered = stats.counts.get("delivered", 0) + stats.counts.get("read", 0)
    worst = sorted(stats.errors.items(), key=lambda item: (-item[1], item[0]))[:TOP_ERRORS]
    return {
        "since": since,
        "until": until,
        "total": sum(stats.counts.values()),
        "counts": stats.counts,
        "final": final,
        "delivered": delivered,
        "delivery_rate": delivered / final if final else None,
        "seconds_to_deliver": {
            "p50": percentile(stats.delivered_in, 0.50),
            "p95": percentile(stats.delivered_in, 0.95),
            "sample": len(stats.delivered_in),
        },
        "top_errors": [{**explain(code), "count": count} for code, count in worst],
    }


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    if not ordered:
        return None
    return round(ordered[max(ceil(share * len(ordered)) - 1, 0)], 3)


def csv_lines(messages: Iterable[Message]) -> Iterator[str]:
    """CSV (RFC 4180) with a head line, in chunks of text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    for message in messages:
        reason = explain(message.error_code)["reason"] if message.error_code else None
        values = (*_columns(message).values(), reason, message.reference)
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
