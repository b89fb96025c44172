"""Blueprint /messages, /changes, /stats, /openapi.json: send, look up, list, follow, count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response, jsonify, request, url_for
from werkzeug.datastructures import MIMEAccept

from .. import sending
from ..figures.window import group_figures, window_figures
from ..plivo import api as plivo_api
from ..plivo.form import Malformed, parse_form
from ..query import (
    FILTERS,
    MAX_LIMIT,
    MAX_WAIT,
    TEXT_PATTERN,
    Fault,
    Query,
    encode_cursor,
    find_message,
)
from ..store.contract import GROUPS, StoreUnavailable
from ..store.outbox import CursorUnknown
from ..views import message_json
from . import openapi
from .access import keep_nowhere, require_token, require_token_to_change
from .current import current_service
from .download import csv_response
from .news import change_json, wait_for_news
from .problems import Problem

UNKNOWN = (
    "No callback has reported this message, and it was not sent from here, or it has been removed."
)
_EXPECTED = {
    Fault.UNKNOWN: "unknown here",
    Fault.REPEATED: "given more than once",
    Fault.NO_STATUS: "must be a word such as delivered",
    Fault.NO_TEXT: "must not be blank, or hold a NUL",
    Fault.NO_REFERENCE: "must be name=value, for example reference=order%3D42",
    Fault.NO_COUNTRY: "must be an ISO 3166 code of two letters, for example US, or none",
    Fault.NO_NETWORK: "must be MCC-MNC, for example 310-260",
    Fault.NO_GROUPS: f"must be one of {', '.join(GROUPS)}, or two of them with a comma between",
    Fault.NO_TIME: "must be ISO 8601, for example 2026-11-01T00:00:00Z; write + as %2B",
    Fault.LATER_THAN_UNTIL: "must not be later than until: exchange the two",
    Fault.NO_LIMIT: f"must be a number from 1 to {MAX_LIMIT}",
    Fault.NO_FLAG: "must be 1, for a byte order mark, or 0",
    Fault.NO_CURSOR: "must be a next_cursor of an earlier answer",
    Fault.NO_WAIT: f"must be a number of seconds from 0 to {MAX_WAIT}",
}

blueprint = Blueprint("messages", __name__)
blueprint.after_request(keep_nowhere)


@blueprint.errorhandler(StoreUnavailable)
def database_trouble(error: StoreUnavailable) -> Response:
    """The database cannot be read now; callbacks are still taken, into the spool."""
    return Problem(503, f"The database cannot be read ({error}): see /readyz.").response()


@blueprint.errorhandler(plivo_api.NotConfigured)
def not_configured(error: plivo_api.NotConfigured) -> Response:
    return Problem(503, str(error), title="Not configured").response()


@blueprint.errorhandler(plivo_api.PlivoError)
def plivo_refused(error: plivo_api.PlivoError) -> Response:
    """Pass Plivo's refusal on in words."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return Problem(error.status, error.advice, title=error.title, headers=headers).response()


@blueprint.errorhandler(sending.BadInput)
def bad_input(error: sending.BadInput) -> Response:
    return Problem(422, f"Correct these fields: {error}.", errors=error.errors).response()


@blueprint.get("/openapi.json")
def describe() -> Response:
    """The OpenAPI 3.1 description of these routes."""
    rendered = openapi.rendered(current_service().settings.base_url)
    return Response(rendered, content_type="application/json")


@blueprint.post("/messages")
def send_message() -> tuple[Response, int, dict[str, str]]:
    """Send one SMS through Plivo."""
    require_token_to_change()
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(sending.KEY, key):
        raise Problem(400, "Idempotency-Key must be 1 to 255 printable characters of ASCII.")
    service = current_service()
    message = sending.send(service, _sent_fields(), key)
    path = url_for("messages.show_message", message_uuid=message.message_uuid)
    location = service.settings.prefix + path
    return jsonify(message_json(message)), 202, {"Location": location}


@blueprint.get("/messages/<path:message_uuid>")
def show_message(message_uuid: str) -> Response:
    """One message and its events."""
    require_token()
    message = find_message(current_service().store, message_uuid)
    if message is None:
        # Werkzeug puts U+FFFD for bytes of a path that are not UTF-8.
        if not re.fullmatch(TEXT_PATTERN, message_uuid) or "\ufffd" in message_uuid:
            raise Problem(400, "No message can have this id: look at its message_uuid.")
        raise Problem(404, UNKNOWN)
    return jsonify(message_json(message))


@blueprint.get("/messages")
def list_messages() -> Response:
    """Messages, newest first, as JSON or CSV."""
    require_token()
    asked = _query()
    filters, limit = asked.filters(), asked.limit()
    store = current_service().store
    if _wants_csv():
        bom = asked.flag("bom")
        _refuse(asked, *FILTERS, "limit", "bom")
        messages = store.walk(filters, limit if "limit" in request.args else None)
        response = csv_response(messages, bom=bom)
        response.vary.add("Accept")
        return response
    cursor = asked.cursor()
    _refuse(asked, *FILTERS, "limit", "cursor")
    page = store.list(filters, limit, cursor)
    response = jsonify(
        messages=[message_json(message) for message in page.messages],
        next_cursor=encode_cursor(page.next) if page.next else None,
    )
    response.vary.add("Accept")
    return response


@blueprint.get("/changes")
def list_changes() -> Response:
    """Changes of status in the order in which they became known; with `wait`, the next ones."""
    require_token()
    service = current_service()
    asked = _query()
    after, limit, wait = asked.place(), asked.limit(), asked.wait()
    _refuse(asked, "after", "limit", "wait")
    is_stopping = request.environ.get("smsstatus.is_stopping", lambda: False)
    try:
        news = wait_for_news(service.store.outbox, service.clock, after, limit, wait, is_stopping)
    except CursorUnknown:
        raise Problem(
            410,
            "The database was replaced since this cursor was given. Begin again without after; a "
            "change that you know already has the id that you know.",
        ) from None
    except ValueError:
        expected = _EXPECTED[Fault.NO_CURSOR]
        raise Problem(400, f"after {expected}.", errors={"after": expected}) from None
    return jsonify(
        changes=[change_json(change) for change in news.changes], next_cursor=news.cursor
    )


@blueprint.get("/stats")
def show_stats() -> Response:
    """Counts, rates, time to deliver, cost and top errors of a window, or of groups of it."""
    require_token()
    service = current_service()
    asked = _query()
    window, groups = asked.stats_window(service.clock.now()), asked.groups()
    _refuse(asked, "since", "until", "group_by")
    if groups:
        return jsonify(group_figures(service, *window, groups))
    return jsonify(window_figures(service, *window))


def _wants_csv() -> bool:
    """What `Accept` prefers, whatever parameters stand there (`text/csv; charset=utf-8`)."""
    accepted = MIMEAccept(
        (kind.partition(";")[0], quality) for kind, quality in request.accept_mimetypes
    )
    return accepted.best_match(("application/json", "text/csv")) == "text/csv"


def _sent_fields() -> Mapping[str, object]:
    if request.is_json:
        try:
            content = request.get_json(silent=True)
        except RecursionError:
            content = None
        if not isinstance(content, dict):
            raise Problem(400, 'The body is not a JSON object like {"to": "+1...", "text": "..."}.')
        return content
    pairs = _form_pairs()
    names = [name for name, _ in pairs]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise sending.BadInput({name[:40]: "give it once" for name in repeated})
    return {name: _plus(value, name) for name, value in pairs}


def _form_pairs() -> list[tuple[str, str]]:
    """Strictly decoded where Werkzeug would replace bytes that are not UTF-8, and send that."""
    if request.mimetype == "multipart/form-data":
        pairs = list(request.form.items(multi=True))
        if not any("\ufffd" in value for _, value in pairs):
            return pairs
        raise Problem(400, "The form cannot be read: it is not UTF-8.")
    if request.get_data().lstrip().startswith((b"{", b"[")):
        raise Problem(415, "The body looks like JSON: send it with Content-Type: application/json.")
    if request.mimetype != "application/x-www-form-urlencoded":
        raise Problem(415, "Send JSON (Content-Type: application/json) or a form.")
    try:
        return parse_form(request.get_data())
    except Malformed as error:
        raise Problem(400, f"The form cannot be read: it is {error}.") from None


def _plus(value: str, name: str) -> str:
    """A form decodes the + of `curl -d to=+1415...` to a space; a number starts with none."""
    return f"+{value[1:]}" if name in ("to", "from") and value.startswith(" ") else value


def _query() -> Query:
    """The request's parameters. Raises Problem 400 if they are not UTF-8."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError:
        raise Problem(400, "The query is not UTF-8: percent-encode it as UTF-8.") from None
    return Query(request.args.to_dict(flat=False))


def _refuse(asked: Query, *known: str) -> None:
    """Raises Problem 400, with what to do, if a parameter is faulty or none of `known`."""
    asked.refuse_others(*known)
    if asked.faults:
        name, fault = next(iter(asked.faults.items()))
        raise Problem(400, f"{name} {_EXPECTED[fault]}.", errors={name: _EXPECTED[fault]})
