"""Sending a message: check the input, ask Plivo, remember the row. Used by route, command, page."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from hashlib import sha256
from typing import Any

from .intake.keep import Place, keep
from .intake.records import send_record, sent_update
from .model import utc_now
from .plivo import api as plivo_api
from .service import Service
from .settings import SENDER
from .store.contract import Event, Message, StoreError

E164 = r"^\+[1-9][0-9]{6,14}$"
KEY = r"^[!-~]([ -~]{0,253}[!-~])?$"
"""1 to 255 printable characters of ASCII. HTTP takes blanks off the ends."""
GSM7_LIMIT = 1600
UCS2_LIMIT = 737

UNDER_WAY = timedelta(seconds=60)
"""A send takes a fraction of it, so one that is not answered by then was broken off."""
BUSY_SECONDS = 2
_TROUBLE = ("status", "title", "detail", "retry_after")

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€\f"
)
"""The characters of 3GPP TS 23.038, 6.2.1: default alphabet and its extension."""

_WHERE = {
    Place.BAD: "its row goes to the spool's bad/",
    Place.SPOOLED: "its row goes to the spool",
    Place.LOGGED: "its row goes to the log, for `replay`",
    Place.NOWHERE: "its text is not kept",
}

log = logging.getLogger(__name__)


class BadInput(ValueError):
    """Fields that cannot be sent. `errors`: field name -> what is expected."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {expected}" for name, expected in errors.items()))
        self.errors = errors


class KeyRefused(plivo_api.PlivoError):
    """The Idempotency-Key stands in the way: Plivo was not asked, nothing was sent."""


class KeyBusy(KeyRefused):
    """The first request with this key is under way."""


def check(service: Service, fields: Mapping[str, object]) -> tuple[str, str, str]:
    """Sender, recipient and text of a message to send. Raises BadInput naming each bad field."""
    errors: dict[str, str] = {}
    recipient, text = fields.get("to"), fields.get("text")
    sender = fields.get("from", service.settings.sender)
    for name in fields.keys() - {"to", "text", "from"}:
        errors[name[:40]] = "unknown; the fields are to, text and from"
    if not isinstance(recipient, str) or not re.fullmatch(E164, recipient, re.ASCII):
        errors["to"] = "a number in E.164, for example +14155550123"
    if sender is None:
        errors["from"] = "a number or sender ID, or set PLIVO_SENDER"
    elif not isinstance(sender, str) or not re.fullmatch(SENDER, sender, re.ASCII):
        errors["from"] = "a number in E.164, a short code, or a sender ID of 1 to 11 letters"
    elif isinstance(recipient, str) and sender.lstrip("+") == recipient.lstrip("+"):
        errors["from"] = "another number than `to`"
    if not isinstance(text, str) or not _text_fits(text):
        errors["text"] = (
            f"1 to {GSM7_LIMIT} characters of the GSM-7 alphabet, "
            f"or 1 to {UCS2_LIMIT} UTF-16 units with any other character"
        )
    if errors:
        raise BadInput(errors)
    return str(sender), str(recipient), str(text)


def send(service: Service, fields: Mapping[str, object], key: str | None = None) -> Message:
    """Send one message through Plivo and remember it; the message, as Store.find gives it.

    With a `key` (an Idempotency-Key, see KEY) once only: for 24 hours who comes again with it gets
    the same message, or the same error if nobody knows what became of it. A refusal frees the key.
    Raises BadInput, plivo_api.NotConfigured, KeyRefused or plivo_api.PlivoError.
    """
    sender, recipient, text = check(service, fields)
    known = _claim(service, key, fields) if key else None
    if known is not None:
        return known
    try:
        message_uuid = plivo_api.send_message(
            service.settings, sender=sender, recipient=recipient, text=text
        )
    except (plivo_api.NotConfigured, plivo_api.PlivoError) as error:
        _settle(service, key, _lasting(error))
        raise
    _remember(service, message_uuid, sender, recipient, text)
    message = _find(service, message_uuid) or _on_its_way(message_uuid, sender, recipient, text)
    _settle(service, key, {"message": asdict(message)})
    return message


def _claim(service: Service, key: str, fields: Mapping[str, object]) -> Message | None:
    """None if the key is ours from now on, else the message that was sent with it.

    Raises KeyRefused, or the PlivoError of the first request.
    """
    digest = sha256(json.dumps(dict(fields), sort_keys=True).encode()).digest()
    try:
        claim = service.store.claim_key(key, digest)
    except StoreError as error:
        raise KeyRefused(
            503,
            "The Idempotency-Key cannot be kept",
            f"Nothing was sent, since it could be sent twice ({error}): see /readyz.",
        ) from None
    if claim is None:
        return None
    if claim.digest != digest:
        raise KeyRefused(
            422,
            "This Idempotency-Key belongs to another message",
            "Nothing was sent. Give each message a key of its own.",
        )
    if claim.answer is not None:
        answer = json.loads(claim.answer)
        if "trouble" in answer:
            raise plivo_api.PlivoError(**answer["trouble"], may_have_happened=True)
        return _kept_message(answer["message"])
    if abs(claim.age) < UNDER_WAY:
        raise KeyBusy(
            409,
            "The first request with this Idempotency-Key is under way",
            "Ask again to get its answer.",
            retry_after=BUSY_SECONDS,
        )
    raise plivo_api.PlivoError(
        502,
        "Nobody knows what became of this message",
        "The first request with this Idempotency-Key was broken off. It may have been carried out.",
        may_have_happened=True,
    )


def _kept_message(kept: dict[str, Any]) -> Message:
    events = tuple([Event(**event) for event in kept.pop("events")])
    return Message(**kept, events=events)


def _lasting(error: Exception) -> dict[str, Any] | None:
    """What a key's later requests get in the place of a message; None if nothing was sent."""
    if not isinstance(error, plivo_api.PlivoError) or not error.may_have_happened:
        return None
    return {"trouble": {name: getattr(error, name) for name in _TROUBLE}}


def _settle(service: Service, key: str | None, answer: dict[str, Any] | None) -> None:
    """Keep the answer for who comes again with the key, or free it where there is none.

    If that fails the key stays claimed, and who comes again learns that nobody knows.
    """
    if key is None:
        return
    try:
        if answer is None:
            service.store.free_key(key)
        else:
            service.store.keep_answer(key, json.dumps(answer))
    except StoreError as error:
        log.error("what became of an Idempotency-Key's message is not kept: %s", error)


def _find(service: Service, message_uuid: str) -> Message | None:
    try:
        return service.store.find(message_uuid)
    except StoreError:
        return None


def _remember(service: Service, message_uuid: str, sender: str, recipient: str, text: str) -> None:
    """The message is on its way, so failing to write the row must not look like not sending."""
    fields = {"MessageUUID": message_uuid, "Status": "queued", "From": sender, "To": recipient}
    now = utc_now()
    kept = keep(service, send_record(fields, text, now), lambda: sent_update(fields, text, now))
    if kept.place in _WHERE:
        log.error("message %s was sent, %s: %s", message_uuid, _WHERE[kept.place], kept.reason)


def _on_its_way(message_uuid: str, sender: str, recipient: str, text: str) -> Message:
    """A message that was sent while the database could not take its row."""
    now = utc_now()
    return Message(
        message_uuid=message_uuid,
        sender_number=sender,
        recipient_number=recipient,
        message_body=text,
        initial_status="queued",
        current_status="queued",
        status_timestamp="",
        error_code=None,
        created_at=now,
        updated_at=now,
        is_final=False,
        reference=None,
        events=(),
    )


def _text_fits(text: str) -> bool:
    if not text or "\0" in text or re.search("[\ud800-\udfff]", text):
        return False
    if _GSM7.issuperset(text):
        return len(text) <= GSM7_LIMIT
    return len(text.encode("utf-16-le")) // 2 <= UCS2_LIMIT
