"""Sending a test message at `/ui/send`: a small form, then straight to the message's page."""

from __future__ import annotations

import json
import re
import secrets
from hashlib import sha256

from flask import Response, request

from ..plivo.api import NotConfigured, PlivoError
from ..sending import KEY, BadInput, KeyBusy
from ..sending import send as send_message
from ..service import Service
from ..store.contract import Message
from ..web.current import current_service
from . import live
from .links import to

FIELDS = ("to", "from", "text")
PATIENCE_SECONDS = 15.0
"""How long a second click waits for the outcome of the first one."""
NOT_CONFIGURED = "Sending is not configured: set PLIVO_AUTH_ID, and restart."


def show() -> Response:
    """The form, empty."""
    return _page(current_service(), dict.fromkeys(FIELDS, ""))


def send_now() -> Response:
    """Send, once for all clicks; on trouble show the form again as it was filled in."""
    service = current_service()
    typed = {name: request.form.get(name, "")[:5000] for name in FIELDS}
    try:
        message = _send_once(service, fields_of(typed))
    except BadInput as error:
        return _page(service, typed, status=422, errors=error.errors)
    except NotConfigured:
        return _page(service, typed, status=503)
    except PlivoError as error:
        return _page(service, typed, status=error.status, trouble=f"{error.title}. {error.advice}")
    address = to("message", message_uuid=message.message_uuid, asked="sent")
    return Response(status=303, headers={"Location": address})


def _send_once(service: Service, fields: dict[str, object]) -> Message:
    """Raises as sending.send. A browser shows the answer to the last click, so that one waits."""
    key = request.form.get("key", "")
    if not re.fullmatch(KEY, key):  # not from one of our forms: its content is its key
        key = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    deadline = service.clock.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return send_message(service, fields, key)
        except KeyBusy:
            if service.clock.monotonic() > deadline:
                raise
            service.clock.sleep(0.1)


def fields_of(typed: dict[str, str]) -> dict[str, object]:
    """What `sending` expects: numbers without the spaces people type, line ends as phones write."""
    recipient = re.sub(r"[\s().-]", "", typed["to"])
    fields: dict[str, object] = {"to": recipient, "text": typed["text"].replace("\r\n", "\n")}
    if typed["from"].strip():
        fields["from"] = typed["from"].strip()
    return fields


def _page(
    service: Service,
    typed: dict[str, str],
    *,
    status: int = 200,
    errors: dict[str, str] | None = None,
    trouble: str = "",
) -> Response:
    why_not = NOT_CONFIGURED if service.settings.auth_id is None else ""
    shown = {
        "typed": typed,
        "key": secrets.token_urlsafe(16),
        "errors": errors or {},
        "trouble": trouble,
        "why_not": why_not,
        "sender": service.settings.sender or "",
    }
    return live.page("send.html", live.tag_of("send", why_not), shown, status=status)
