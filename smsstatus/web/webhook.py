"""Blueprint /plivo/status: a raw body in; 200, or why not, out.

200 always means: the callback is on disk, fsynced, in the store or in the spool; or, if both
fail, written to the log, in ERROR lines that `replay` reads back. Anything but 200 makes Plivo try
again 60, 120 and 240 s later and then forget the callback
(https://support.plivo.com/hc/en-us/articles/360041344652), so a genuine one that arrives whole
never gets it, with one exception: if not even the log takes it, 503, since a 200 would lose it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, request
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import Headers
from werkzeug.exceptions import MethodNotAllowed

from ..intake.spool import SpoolUnavailable
from ..logs import more, names_of, without_text, without_values
from ..model import utc_now
from ..plivo.callback import (
    PROBE_ANSWER,
    PROBE_FIELD,
    Callback,
    Unusable,
    digest_of,
    domain_of,
    parameters_of,
    status_update,
)
from ..plivo.form import Malformed, Pairs, parse_form
from ..plivo.signature import HEADERS, verify
from ..service import Service, current_service
from ..settings import WEBHOOK_PATH
from ..store.contract import Outcome, StoreUnavailable, WorkRefused

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY = 65_536  # bytes; a status callback has about 600
PLAIN_TEXT = "text/plain; charset=utf-8"
NOWHERE = "kept nowhere"
_TAKEN_HEADERS = {"Content-Type": PLAIN_TEXT, "Content-Length": "0"}

_SIGNATURE_KEYS = [(name, "HTTP_" + name.upper().replace("-", "_")) for name in HEADERS]

_FORGED = {
    Outcome.NONCE_TAKEN.value: "V2 nonce came with another body",
    Outcome.TEXT_TAKEN.value: "what V3 signed came as other fields before",
}

blueprint = Blueprint("webhook", __name__)
log = logging.getLogger(__name__)


class _Taken(Response):
    """200 without a body, which gunicorn would send apart from the head; its head is complete."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


@blueprint.route(WEBHOOK_PATH, methods=["GET", "POST"], provide_automatic_options=False)
def receive_status() -> Response:
    """Verify, keep, answer. A sender may have told Plivo to use GET: then all is in the query."""
    environ = request.environ  # once: each use of Flask's proxy costs a look-up
    method = environ["REQUEST_METHOD"]
    if method == "HEAD":  # which Flask adds wherever there is a GET
        raise MethodNotAllowed(["GET", "POST"])
    service = current_service()
    query = environ["QUERY_STRING"].encode("latin-1")
    body = _raw_body(environ) if method == "POST" else b""
    try:
        query_pairs = parse_form(query)
        body_pairs = parse_form(body)
    except Malformed as error:
        return _refuse(service, str(error), ())
    verdict = verify(
        {name: environ[key] for name, key in _SIGNATURE_KEYS if key in environ},
        method=method,
        url=service.settings.webhook_url,
        query=query_pairs,
        body=body_pairs,
        tokens=service.settings.auth_tokens,
        accept_v2=service.settings.accept_v2,
    )
    if not verdict.genuine:
        return _refuse(service, verdict.reason, query_pairs)

    callback = Callback(
        *(method, query.decode(), body.decode(), utc_now()),
        *(verdict.v2_nonce, verdict.used_nonce),
    )
    kept = _keep(service, callback, query_pairs, body_pairs, verdict.text)
    if kept in _FORGED:
        return _refuse(service, _FORGED[kept], query_pairs)
    if kept == NOWHERE:
        service.metrics.count_callback(503, kept)
        return _plain("It could not be kept anywhere: try again.", 503)
    service.metrics.count_callback(200, kept)
    if kept == "probe":
        return _plain(PROBE_ANSWER, 200)
    return _Taken(headers=_TAKEN_HEADERS)


def _raw_body(environ: WSGIEnvironment) -> bytes:
    """The body, whole, read as it comes.

    Werkzeug would cut a chunked body at the limit and take one that ends before its
    Content-Length, and say nothing of either.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        if int(length) > MAX_BODY:
            abort(413)
        body = _read(environ, int(length))
        if len(body) < int(length):
            abort(400, "The body is shorter than its Content-Length.")
        return body
    if not environ.get("wsgi.input_terminated"):
        return b""
    body = _read(environ, MAX_BODY + 1)
    if len(body) > MAX_BODY:
        abort(413)
    return body


def _read(environ: WSGIEnvironment, size: int) -> bytes:
    """gunicorn raises what it thinks of a chunked body while it is read."""
    try:
        body: bytes = environ["wsgi.input"].read(size)
    except (OSError, ParseException) as error:
        abort(400, f"The body cannot be read: {type(error).__name__}.")
    return body


def _keep(service: Service, callback: Callback, query: Pairs, body: Pairs, text: str | None) -> str:
    """Put a genuine callback where it is safe; what became of it, in the word for /metrics."""
    try:
        return service.store.record(status_update(query, body, callback, text=text)).value
    except Unusable as error:
        if [name for name, _ in (query if callback.method == "GET" else body)] == [PROBE_FIELD]:
            return "probe"
        if taken := _taken(service, callback, query, body):
            return taken.value
        place, keep, reason = "bad", _keep_bad, str(error)
    except (StoreUnavailable, WorkRefused) as error:
        place, keep, reason = "spooled", _spool, str(error)
    except Exception as error:  # a mistake of ours must not cost the callback
        place, keep, reason = "spooled", _spool, without_text(error)
        log.error("a mistake in the program, callback goes to the spool: %s", reason)
    try:
        keep(service, callback, reason)
        return place
    except Exception as error:
        why = str(error) if isinstance(error, SpoolUnavailable) else without_text(error)
        return _keep_in_log(service, callback, f"{reason}; {why}")


def _spool(service: Service, callback: Callback, reason: str) -> None:
    service.spool.keep(callback, reason)


def _keep_bad(service: Service, callback: Callback, reason: str) -> None:
    """A captured one can come again and again: it has one file, and few lines."""
    if service.spool.keep_bad(callback, reason):
        left_out = service.spool.lines.allow()
        if left_out is not None:
            log.error(
                "genuine callback cannot be used, kept in the spool's bad/: %s%s",
                *(reason, more(left_out)),
            )


def _keep_in_log(service: Service, callback: Callback, reasons: str) -> str:
    try:
        service.last_resort.keep(callback, service.settings.auth_tokens[0])
        place, what = "logged", "the callback is in lines of the log, for `replay`"
    except Exception as error:
        place, what = NOWHERE, f"answered 503, since the log fails too: {without_text(error)}"
    left_out = service.last_resort.lines.allow()
    if left_out is not None:
        log.error("store and spool both failed (%s): %s%s", reasons, what, more(left_out))
    return place


def _taken(service: Service, callback: Callback, query: Pairs, body: Pairs) -> Outcome | None:
    """What of a callback that says nothing we can store belongs to another one: its nonce or text.

    A V2 nonce belongs to the first body, so this one takes it if nobody has.
    """
    digest = digest_of(callback.method, query, body, domain=domain_of(callback))
    nonce = callback.v2_nonce or callback.used_nonce
    try:
        owns = nonce is None or service.store.claim_nonce(nonce, digest, parameters_of(callback))
        if callback.v2_nonce is None:
            return Outcome.TEXT_TAKEN if service.store.knows_text(digest) else None
        return None if owns else Outcome.NONCE_TAKEN
    except (StoreUnavailable, WorkRefused):
        return None  # kept as bad in any case, and never applied by itself


def _refuse(service: Service, reason: str, query: Pairs) -> Response:
    """Answer 403 and tell whoever runs this what to compare."""
    service.metrics.count_callback(403, reason)
    left_out = service.refusals.allow()
    if left_out is not None:
        log.warning(
            "refused with 403: %s; %s checked against %s (is that the URL given to Plivo, and is "
            "PLIVO_AUTH_TOKEN of the same account? `doctor` tells more); headers: %s%s",
            *(reason, request.method),
            without_values(service.settings.webhook_url, query),
            names_of(request.headers.keys()),
            f"; {left_out} more refused since the last such line" if left_out else "",
        )
    return _plain("The signature does not match. See the service's log.", 403)


def _plain(text: str, status: int) -> Response:
    return Response(text + "\n", status, content_type=PLAIN_TEXT)
