"""The messages at `/ui/messages`: filters as a form, pages by keyset, the same as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from flask import Response, request

from ..notation import is_uuid
from ..query import FILTERS, Fault, Query, decode_cursor, encode_cursor, find_message
from ..store.contract import Filters, Position
from ..views import message_json
from ..web.current import current_service
from ..web.download import csv_response
from ..web.problems import Problem
from . import live, words
from .links import to
from .zone import absolute, current, local, zone_of

PER_PAGE = 50
TIMES = ("since", "until")

_FAULTS = {
    Fault.NO_STATUS: "Give a word such as delivered.",
    Fault.NO_TEXT: "No message can hold this.",
    Fault.NO_ENDING: "Give a number, or at least its last four digits.",
    Fault.NO_REFERENCE: (
        "Give name=value, such as order=42: what stood on the callback's address."
    ),
    Fault.NO_COUNTRY: "Give a code of two letters, such as US, or none.",
    Fault.NO_NETWORK: "Give MCC-MNC, such as 310-260.",
    Fault.NO_TIME: "Give a date and time, such as 2026-11-01T14:30.",
    Fault.LATER_THAN_UNTIL: "This is later than Until.",
}
NOTHING_TO_FIND = (
    "No message has this id. Give its UUID, at least the last four digits of a number, or a "
    "reference such as order=42."
)


@dataclass
class Asked:
    """The form: what was typed, what it means, and what is wrong with it."""

    typed: dict[str, str]
    filters: Filters = field(default_factory=Filters)
    errors: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    """The fields that are filled in, for links: times are UTC."""


def show() -> Response:
    """One page of messages, or what the search box leads to."""
    sought = request.args.get("find", "").strip()
    if sought:
        return _find(sought)
    zone = current()
    asked = read_form(request.args, zone)
    cursor = request.args.get("cursor", "")
    store = current_service().store
    etag = live.tag_of(asked.query, str(zone), cursor, store.change_marker())
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


def read_form(given: Mapping[str, str], shown_in: tzinfo = UTC) -> Asked:
    """Check the filters; an empty field filters nothing.

    A time without a zone is one of the zone that the form was shown in, which `zone` names; or of
    UTC. It is shown in `shown_in`.
    """
    typed = {name: given.get(name, "").strip() for name in FILTERS}
    zone = zone_of(given.get("zone", ""))
    times = {name: absolute(typed[name], zone, is_end=name == "until") for name in TIMES}
    query = Query({name: [text] for name, text in {**typed, **times}.items() if text})
    filters = query.filters_by_ending()
    errors = {name: _FAULTS[fault] for name, fault in query.faults.items()}
    asked = Asked(typed, filters, errors, {name: text for name, text in typed.items() if text})
    for name, timestamp in (("since", filters.since), ("until", filters.until)):
        if timestamp:
            typed[name], asked.query[name] = local(timestamp, shown_in), timestamp
    return asked


def _position(cursor: str) -> Position | None:
    try:
        return decode_cursor(cursor) if cursor else None
    except ValueError:
        raise Problem(400, "This link to a page of messages is not complete.") from None


def _find(sought: str) -> Response:
    """To a message by its id, else to those with a reference, or with a number's last digits.

    What Plivo may know leads to where it can be asked. Anything else is answered where it was
    typed.
    """
    message = find_message(current_service().store, sought)
    if message is not None or is_uuid(sought):
        uuid = message.message_uuid if message else sought
        return _lead(to("message", message_uuid=uuid))
    for name in ("reference", "to"):
        asked = read_form({name: sought})
        if not asked.errors and (asked.filters.reference or asked.filters.recipient_ending):
            return _lead(to("messages", **asked.query))
    asked = Asked(dict.fromkeys(FILTERS, ""), errors={"find": NOTHING_TO_FIND})
    return _page(asked, live.tag_of(sought), status=404, sought=sought)


def _lead(address: str) -> Response:
    return Response(status=303, headers={"Location": address})


def _page(asked: Asked, etag: str, *, status: int = 200, **found: object) -> Response:
    shown = {
        "asked": asked,
        "statuses": words.STATUSES,
        "messages": [],
        "next_cursor": "",
        "first": True,
        "sought": "",
        "zone": str(current()),
        **found,
    }
    return live.page("messages.html", etag, shown, status=status)
