"""How the store's answers look outside: JSON and CSV.

No Flask request in here: the routes, the pages and the commands share these.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import ceil
from typing import Any
from urllib.parse import parse_qsl

from flask import Response

from .model import FINAL_STATUSES
from .plivo.error_codes import explain
from .store.contract import Row, Stats

TOP_ERRORS = 10

PUBLIC_EVENT = (
    *("status", "status_timestamp", "error_code", "sequence", "received_at", "source"),
    "repeats",
)
CSV_COLUMNS = (
    *("message_uuid", "sender_number", "recipient_number", "message_body", "initial_status"),
    *("current_status", "status_timestamp", "error_code", "created_at", "updated_at", "is_final"),
    *("error_reason", "reference"),
)
NUMBER_COLUMNS = ("sender_number", "recipient_number")

_NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})")
_FORMULA = re.compile(r"[\t\r\n]|[\s\"\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_PLAIN_NUMBER = re.compile(r"\+[0-9]+")


def number(stored: str | None) -> str | None:
    """The one notation in which JSON, CSV, pages and commands show who sent and who received.

    A number (7 to 15 digits, not starting with 0) is shown in E.164 with its `+`, which Plivo
    leaves out in some callbacks; a short code, a sender ID or anything else as it was received.
    Only the view: what is stored, and an event's parameters, stay as they came.
    """
    found = _NUMBER.fullmatch(stored or "")
    return f"+{found[1]}" if found else stored


def message_json(message: Row) -> Row:
    """A message as the API shows it."""
    shown = _in_one_notation(message)
    code = shown.get("error_code")
    shown["error"] = explain(code) if code else None
    shown["reference"] = reference_json(shown["reference"])
    if "events" in shown:
        shown["events"] = [
            {name: event[name] for name in PUBLIC_EVENT} for event in shown["events"]
        ]
    return shown


def reference_pairs(query: str | None) -> list[tuple[str, str]]:
    """What the sender put behind the `?` of the callback's address, decoded, in its order."""
    return parse_qsl(query or "", keep_blank_values=True)


def reference_json(query: str | None) -> dict[str, str | list[str]] | None:
    """The same as an object; a name that comes several times has a list. None: nothing there."""
    found: dict[str, list[str]] = {}
    for name, value in reference_pairs(query):
        found.setdefault(name, []).append(value)
    return {n: values[0] if len(values) == 1 else values for n, values in found.items()} or None


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


def _in_one_notation(message: Row) -> Row:
    return {**message, **{name: number(message[name]) for name in NUMBER_COLUMNS}}


def csv_response(messages: Iterable[Row], *, bom: bool) -> Response:
    """The messages as CSV, sent as they are read; with `bom` Excel takes it for UTF-8.

    The first chunk is made at once, so that a database that cannot be read is an error and not an
    answer that breaks off.
    """
    lines = csv_lines(messages)
    return Response(
        chain(["\ufeff" * bom + next(lines)], lines),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="messages.csv"'},
    )


def csv_lines(messages: Iterable[Row]) -> Iterator[str]:
    """CSV (RFC 4180) with a head line, in chunks of text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    for message in messages:
        code = message["error_code"]
        reason = explain(code)["reason"] if code else None
        shown = {**_in_one_notation(message), "error_reason": reason}
        writer.writerow([_harmless(shown[name]) for name in CSV_COLUMNS])
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
