"""One attempt: what of a change goes to the receiver, signed at that moment."""

from __future__ import annotations

from datetime import datetime

from ..settings import Settings
from ..store.outbox import Change
from ..version import VERSION
from . import payload, signing

USER_AGENT = f"smsstatus/{VERSION}"


def request_of(
    settings: Settings, change: Change, moment: datetime
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an attempt at this moment."""
    body = payload.body(change)
    return body, headers_of(settings, signing.message_id(change.digest), moment, body)


def headers_of(
    settings: Settings, message_id: str, moment: datetime, body: bytes
) -> dict[str, str]:
    """All headers of an attempt at this moment, its own: receivers refuse old signatures."""
    headers = signing.headers(message_id, moment, body, settings.forward_secrets)
    headers |= {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    if settings.forward_authorization is not None:
        headers["Authorization"] = settings.forward_authorization
    return headers
