"""The messages at `/ui/messages`: filters as a form, pages by keyset, the same as CSV.

A number is taken as its ending, in whatever way it is written; at least four digits. Anything else
that a recipient can be is taken as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Response, request

from ..model import utc_timestamp
from ..service import current_service
from ..store.sqlite.listing import Filters, Position
from ..views import csv_response, decode_cursor, encode_cursor, message_json
from ..web import openapi
from ..web.problems import Problem
from . import live, words
from .links import to

PER_PAGE = 50
FIELDS = ("status", "to", "from", "error_code", "reference", "since", "until")
FEWEST_DIGITS = 4


@dataclass
class Asked:
    """The form: what was typed, what it means, and what is wrong with it."""

    typed: dict[str, str]
    filters: Filters = field(default_factory=Filters)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        """The fields that are filled in, for links."""
        return {name: text for name, text in self.typed.items() if text}


def show() -> Response:
    """One page of messages. A UUID leads straight to its message."""
    uuid = request.args.get("uuid", "").strip()
    if uuid:
        return _jump(uuid)
    asked = read_form(request.args)
    cursor = request.args.get("cursor", "")
    store = current_service().store
    etag = live.tag_of(asked.query, cursor, store.change_marker())
    unchanged = live.not_modified(etag)
    if unchanged:
        return unchanged
    if asked.errors:
        return _page(asked, etag, status=400)
    page = store.list(asked.filters, PER_PAGE, _position(cursor))
    return _page(
        asked,
        etag,
        messages=[message_json(message) for message in page.messages],
        next_cursor=encode_cursor(page.next) if page.next else "",
        first=not cursor,
    )


def download() -> Response:
    """All messages that the filters let through, as CSV."""
    asked = read_form(request.args)
    if asked.errors:
        raise Problem(400, "; ".join(f"{name}: {text}" for name, text in asked.errors.items()))
    messages = current_service().store.walk(asked.filters)
    return csv_response(messages, bom=request.args.get("bom") == "1")


def read_form(given: Mapping[str, str]) -> Asked:
    """Check the filters; an empty field filters nothing."""
    typed = {name: given.get(name, "").strip() for name in FIELDS}
    asked = Asked(typed)
    status = _text(asked, "status", openapi.STATUS_PATTERN, "Give a word such as delivered.")
    recipient = _text(asked, "to")
    digits = re.sub(r"[\s().+-]", "", recipient or "")
    is_ending = digits.isascii() and digits.isdecimal()
    if is_ending and len(digits) < FEWEST_DIGITS:
        asked.errors["to"] = "Give a number, or at least its last four digits."
    asked.filters = Filters(
        statuses=(status.lower(),) if status else (),
        recipient=None if is_ending else recipient,
        recipient_ending=digits if is_ending else None,
        sender=_text(asked, "from"),
        error_code=_text(asked, "error_code"),
        reference=_text(
            *(asked, "reference", openapi.REFERENCE_PATTERN),
            "Give name=value, such as order=42: what stood on the callback's address.",
        ),
        since=_time(asked, "since"),
        until=_time(asked, "until"),
    )
    if asked.filters.since and asked.filters.until and asked.filters.since > asked.filters.until:
        asked.errors["since"] = "This is later than Until."
    return asked


def _text(
    asked: Asked,
    name: str,
    pattern: str = openapi.TEXT_PATTERN,
    fault: str = "No message can hold this.",
) -> str | None:
    """Whatever can be stored can be asked for."""
    text = asked.typed[name]
    if text and not re.fullmatch(pattern, text):
        asked.errors[name] = fault
        return None
    return text or None


def _time(asked: Asked, name: str) -> str | None:
    text = asked.typed[name]
    if not text:
        return None
    timestamp = utc_timestamp(text) if re.fullmatch(openapi.TIME_PATTERN, text) else ""
    if not timestamp:
        asked.errors[name] = "Give a date and time, such as 2026-11-01T14:30."
        return None
    asked.typed[name] = timestamp[:16] if timestamp[17:].strip("0.Z") == "" else timestamp[:19]
    return timestamp


def _position(cursor: str) -> Position | None:
    try:
        return decode_cursor(cursor) if cursor else None
    except (ValueError, TypeError):
        raise Problem(400, "This link to a page of messages is not complete.") from None


def _jump(uuid: str) -> Response:
    """An unknown UUID is answered where it was typed."""
    if current_service().store.find(uuid) is not None:
        return Response(status=303, headers={"Location": to("message", message_uuid=uuid)})
    asked = Asked(dict.fromkeys(FIELDS, ""), errors={"uuid": "No message has this UUID."})
    return _page(asked, live.tag_of(uuid), status=404, uuid=uuid)


def _page(asked: Asked, etag: str, *, status: int = 200, **found: object) -> Response:
    shown = {
        "asked": asked,
        "statuses": words.STATUSES,
        "messages": [],
        "next_cursor": "",
        "first": True,
        "uuid": "",
        **found,
    }
    return live.page("messages.html", etag, shown, status=status)
