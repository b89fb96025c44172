"""How numbers, references, pauses and strangers' text are written where shown or sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from math import ceil, floor
from typing import Any
from urllib.parse import parse_qsl

CLOCK_SECONDS = 60
"""Two clocks that are further apart than that are worth a warning."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})")


def is_uuid(value: object) -> bool:
    """Does it have the form of Plivo's message UUIDs?"""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def number(stored: str | None) -> str | None:
    """The one notation in which it is shown and forwarded who sent and who received a message.

    A number (7 to 15 digits, not starting with 0) is shown in E.164 with its `+`, which Plivo
    leaves out in some callbacks; a short code, a sender ID or anything else as it was received.
    Only the view: what is stored, and an event's parameters, stay as they came.
    """
    found = _NUMBER.fullmatch(stored or "")
    return f"+{found[1]}" if found else stored


def visible(text: str) -> str:
    """Text of a stranger's, or a file's name, whose bytes can be anything: what would move the
    cursor, hide something or be half a character becomes `\\x1b`.
    """
    return "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text])


def form_pairs(form: str | None) -> list[tuple[str, str]]:
    """The fields of a form or of a query, decoded, in their order: a reference's, or Plivo's."""
    text = (form or "").replace("%3A", ":")  # the colons of times are most of what is escaped
    if "%" in text:
        return parse_qsl(text, keep_blank_values=True)
    pairs = (field.partition("=") for field in text.replace("+", " ").split("&") if field)
    return [(name, value) for name, _, value in pairs]


def form_json(form: str | None) -> dict[str, str | list[str]] | None:
    """The same as an object. None: nothing there."""
    return fields_json(form_pairs(form)) or None


def fields_json(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Names and values as an object; a name that comes several times has a list."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {n: values[0] if len(values) == 1 else values for n, values in found.items()}


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    if not ordered:
        return None
    return round(ordered[max(ceil(share * len(ordered)) - 1, 0)], 3)


def percent(share: float) -> str:
    """A share in per cent with one decimal, to the nearest; 100 only of all, 0 only of none."""
    tenths = floor(share * 1000 + 0.5)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:.1f}".removesuffix(".0")


def of_sample(figures: Mapping[str, Any]) -> str:
    """`of a sample of 2,000`, where fewer deliveries were timed than there are; else empty.

    `figures` are those of a window or of a group, as the API shows them.
    """
    timed = figures["seconds_to_deliver"]["sample"]
    return f"of a sample of {timed:,}" if 0 < timed < figures["delivered"] else ""


def dollars(millionths: int) -> str:
    """5500 as 0.0055: exactly, without zeros at the end."""
    return f"{(Decimal(millionths) / 1_000_000).normalize():f}"


def http_date(text: str) -> datetime | None:
    """A date in a header; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # -0000: by RFC 5322


def seconds_apart(date: str, ours: datetime) -> float | None:
    """How far the clock behind a Date header is from ours; None if the header says no time."""
    moment = http_date(date)
    return abs((moment - ours).total_seconds()) if moment else None


def pause_asked_for(retry_after: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, in seconds or as a date; 0: for nothing.

    https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after
    """
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    moment = http_date(text)
    return max((moment - now).total_seconds(), 0.0) if moment else 0.0
