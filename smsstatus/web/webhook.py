"""Blueprint /plivo/status: a raw body in; 200, or why not, out.

200 always means: the callback is on disk, fsynced, in the store or in the spool; or, if both
fail, written to the log, in ERROR lines that `replay` reads back. Anything but 200 makes Plivo try
again 60, 120 and 240 s later and then forget the callback
(https://support.plivo.com/hc/en-us/articles/360041344652), so a genuine one that arrives whole
never gets it, with one exception: if not even the log takes it, 503, since a 200 would lose it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, request
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import MethodNotAllowed

from ..intake.keep import Keeping, Place
from ..logs import more, names_of, without_values
from ..model import utc_now
from ..plivo.callback import PROBE_ANSWER, Callback, is_probe, status_update
from ..plivo.form import MAX_BODY, Malformed, Pairs, parse_form
from ..plivo.signature import HEADERS, verify
from ..service import Service
from ..settings import WEBHOOK_PATH
from .current import current_service
from .problems import PLAIN_TEXT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TAKEN_HEADERS = (("Content-Type", PLAIN_TEXT), ("Content-Length", "0"))

_SIGNATURE_KEYS = [(name, "HTTP_" + name.upper().replace("-", "_")) for name in HEADERS]

_FORGED = {
    Place.NONCE_TAKEN: "V2 nonce came with another body",
    Place.TEXT_TAKEN: "what V3 signed came as other fields before",
}
_NOWHERE = Place.NOWHERE  # once: in Python 3.11 each look at an enum's member is a call

blueprint = Blueprint("webhook", __name__)
log = logging.getLogger(__name__)


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
        return _refuse(service, str(error), (), environ)
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
        return _refuse(service, verdict.reason, query_pairs, environ)

    if is_probe(query_pairs if method == "GET" else body_pairs):
        service.metrics.count_callback(200, "probe")
        return _plain(PROBE_ANSWER, 200)

    callback = Callback(
        method=method,
        query=query.decode(),
        body=body.decode(),
        received_at=utc_now(),
        v2_nonce=verdict.v2_nonce,
        used_nonce=verdict.used_nonce,
    )
    keeping = Keeping(
        service,
        callback,
        lambda: status_update(query_pairs, body_pairs, callback, text=verdict.text),
        environ.get("smsstatus.wake"),
    )
    return _OnceKept(service, keeping, query_pairs)


class _OnceKept(Response):
    """The answer to a genuine callback, given once it is kept: in the first step of the iterable.

    A server may take that step at once, and wait (PEP 3333). Or it has the callback handed in, and
    takes it when the iterable says that it `is_ready`; then it waits only if it is not `is_stored`,
    and for less if it was told to `hand_on` the callback before.
    """

    def __init__(self, service: Service, keeping: Keeping, query: Pairs) -> None:
        super().__init__(content_type=PLAIN_TEXT)
        self._service = service
        self._keeping = keeping
        self._query = query

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._environ = environ
        self._start_response = start_response
        return self

    def hand_in(self) -> None:
        self._keeping.hand_in()

    def hand_on(self) -> None:
        self._keeping.hand_on()

    @property
    def is_ready(self) -> bool:
        return self._keeping.is_ready

    @property
    def is_stored(self) -> bool:
        return self._keeping.is_stored

    def __iter__(self) -> Iterator[bytes]:
        service, place = self._service, self._keeping.end().place
        if place in _FORGED:
            refusal = _refuse(service, _FORGED[place], self._query, self._environ)
            yield from refusal(self._environ, self._start_response)
        elif place is _NOWHERE:
            service.metrics.count_callback(503, place)
            answer = _plain("It could not be kept anywhere: try again.", 503)
            yield from answer(self._environ, self._start_response)
        else:
            service.metrics.count_callback(200, place)
            self._start_response("200 OK", [*_TAKEN_HEADERS])
            yield b""


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
    """Each server has exceptions of its own for a chunked body that is not one."""
    try:
        body: bytes = environ["wsgi.input"].read(size)
    except Exception as error:
        abort(400, f"The body cannot be read: {type(error).__name__}.")
    return body


def _refuse(service: Service, reason: str, query: Pairs, environ: WSGIEnvironment) -> Response:
    """Answer 403 and tell whoever runs this what to compare."""
    service.metrics.count_callback(403, reason)
    left_out = service.refusals.allow()
    if left_out is not None:
        log.warning(
            "refused with 403: %s; %s checked against %s (is that the URL given to Plivo, and is "
            "PLIVO_AUTH_TOKEN of the same account? `doctor` tells more); headers: %s%s",
            reason,
            environ["REQUEST_METHOD"],
            without_values(service.settings.webhook_url, query),
            names_of(EnvironHeaders(environ).keys()),
            more(left_out),
        )
    return _plain("The signature does not match. See the service's log.", 403)


def _plain(text: str, status: int) -> Response:
    return Response(text + "\n", status, content_type=PLAIN_TEXT)
