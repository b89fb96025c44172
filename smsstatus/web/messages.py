"""Blueprint /messages, /stats, /openapi.json: send, look up, list, count."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response, jsonify, request, url_for
from werkzeug.datastructures import MIMEAccept

from .. import sending
from ..model import utc_timestamp
from ..plivo import api as plivo_api
from ..plivo.form import Malformed, parse_form
from ..service import current_service
from ..store.sqlite.listing import Filters, Position
from ..views import csv_response, decode_cursor, encode_cursor, message_json, stats_json
from . import openapi
from .problems import Problem, require_token, require_token_to_change

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
STATS_WINDOW = timedelta(hours=24)

blueprint = Blueprint("messages", __name__)


@blueprint.errorhandler(sqlite3.Error)
def database_trouble(error: sqlite3.Error) -> Response:
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
    rendered = _render_description(current_service().settings.base_url)
    return Response(rendered, content_type="application/json")


@cache
def _render_description(base_url: str) -> bytes:
    """Once, since anybody may ask for it."""
    return jsonify(openapi.description(base_url)).get_data()


@blueprint.post("/messages")
def send_message() -> tuple[Response, int, dict[str, str]]:
    """Send one SMS through Plivo."""
    require_token_to_change()
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(sending.KEY, key):
        raise Problem(400, "Idempotency-Key must be 1 to 255 printable characters of ASCII.")
    service = current_service()
    message = sending.send(service, _sent_fields(), key)
    path = url_for("messages.show_message", message_uuid=message["message_uuid"])
    location = service.settings.prefix + path
    return jsonify(message_json(message)), 202, {"Location": location}


@blueprint.get("/messages/<path:message_uuid>")
def show_message(message_uuid: str) -> Response:
    """One message and its events."""
    require_token()
    message = current_service().store.find(message_uuid)
    if message is None:
        # Werkzeug puts U+FFFD for bytes of a path that are not UTF-8.
        if not re.fullmatch(openapi.TEXT_PATTERN, message_uuid) or "\ufffd" in message_uuid:
            raise Problem(400, "No message can have this id: look at its message_uuid.")
        raise Problem(404, "No callback has told of this message, and it was not sent from here.")
    return jsonify(message_json(message))


@blueprint.get("/messages")
def list_messages() -> Response:
    """Messages, newest first, as JSON or CSV."""
    require_token()
    asked = _Query(("status", "to", "from", "error_code", "reference", "since", "until"))
    filters = asked.filters()
    store = current_service().store
    if _wants_csv():
        asked.refuse_others("limit", "bom")
        limit = asked.limit() if "limit" in request.args else None
        response = csv_response(store.walk(filters, limit), bom=asked.bom())
        response.vary.add("Accept")
        return response
    asked.refuse_others("limit", "cursor")
    page = store.list(filters, asked.limit(), asked.cursor())
    response = jsonify(
        messages=[message_json(message) for message in page.messages],
        next_cursor=encode_cursor(page.next) if page.next else None,
    )
    response.vary.add("Accept")
    return response


@blueprint.get("/stats")
def show_stats() -> Response:
    """Counts, delivery rate, time to deliver and top errors of a window."""
    require_token()
    asked = _Query(("since", "until"))
    asked.refuse_others()
    since, until = asked.window()
    until = until or utc_timestamp(str(current_service().clock.now()))
    since = since or _before(until, STATS_WINDOW)
    return jsonify(stats_json(current_service().store.stats(since, until), since, until))


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


def _before(timestamp: str, span: timedelta) -> str:
    try:
        return utc_timestamp(str(datetime.fromisoformat(timestamp) - span))
    except OverflowError:
        return utc_timestamp("0001-01-01")


class _Query:
    """The query parameters of a listing, checked; each raises Problem 400 with what to do."""

    def __init__(self, known: Iterable[str]) -> None:
        try:
            unquote_to_bytes(request.query_string).decode()
        except UnicodeDecodeError:
            raise Problem(400, "The query is not UTF-8: percent-encode it as UTF-8.") from None
        self._given = request.args
        self._known = set(known)

    def refuse_others(self, *more: str) -> None:
        """A misspelt filter must not list everything."""
        for name, values in self._given.lists():
            if name not in self._known.union(more):
                raise self._bad(name[:40], "unknown here")
            if len(values) > 1 and name != "status":
                raise self._bad(name, "given more than once")

    def filters(self) -> Filters:
        since, until = self.window()
        return Filters(
            statuses=tuple(self._status(value) for value in self._given.getlist("status")),
            recipient=self._text("to"),
            sender=self._text("from"),
            error_code=self._text("error_code"),
            reference=self._reference(),
            since=since,
            until=until,
        )

    def window(self) -> tuple[str | None, str | None]:
        """`since` and `until`; two that were exchanged would find nothing, and not say why."""
        since, until = self.time("since"), self.time("until")
        if since and until and since > until:
            raise self._bad("since", "must not be later than until: exchange the two")
        return since, until

    def time(self, name: str) -> str | None:
        text = self._given.get(name)
        if text is None:
            return None
        timestamp = utc_timestamp(text) if re.fullmatch(openapi.TIME_PATTERN, text) else ""
        if not timestamp:
            raise self._bad(
                name, "must be ISO 8601, for example 2026-11-01T00:00:00Z; write + as %2B"
            )
        return timestamp

    def limit(self) -> int:
        text = self._given.get("limit", str(DEFAULT_LIMIT))
        if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_LIMIT:
            raise self._bad("limit", f"must be a number from 1 to {MAX_LIMIT}")
        return int(text)

    def bom(self) -> bool:
        text = self._given.get("bom", "0")
        if text not in ("0", "1"):
            raise self._bad("bom", "must be 1, for a byte order mark, or 0")
        return text == "1"

    def cursor(self) -> Position | None:
        text = self._given.get("cursor")
        if text is None:
            return None
        try:
            return decode_cursor(text)
        except ValueError:
            raise self._bad("cursor", "must be a next_cursor of an earlier answer") from None

    def _status(self, text: str) -> str:
        if not re.fullmatch(openapi.STATUS_PATTERN, text):
            raise self._bad("status", "must be a word such as delivered")
        return text.lower()

    def _reference(self) -> str | None:
        text = self._given.get("reference")
        if text is not None and not re.fullmatch(openapi.REFERENCE_PATTERN, text):
            raise self._bad("reference", "must be name=value, for example reference=order%3D42")
        return text

    def _text(self, name: str) -> str | None:
        """Whatever can be stored can be asked for. A number may start with curl's blank for +."""
        text = self._given.get(name)
        if text is not None and not re.fullmatch(openapi.TEXT_PATTERN, text):
            raise self._bad(name, "must not be blank, or hold a NUL")
        return text.strip() if text else text

    @staticmethod
    def _bad(name: str, expected: str) -> Problem:
        return Problem(400, f"{name} {expected}.", errors={name: expected})
