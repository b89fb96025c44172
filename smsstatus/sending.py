"""Sending a message: check the input, ask Plivo, remember the row. Used by route, command, page."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from . import plivo_api
from .callback import Callback, read_callback, utc_now
from .service import Service
from .spool import SpoolUnavailable
from .store import StoreUnavailable, WorkRefused

E164 = r"^\+[1-9][0-9]{6,14}$"
SENDER = r"^(\+?[1-9][0-9]{2,14}|[A-Za-z0-9][A-Za-z0-9 ]{0,10})$"
GSM7_LIMIT = 1600
UCS2_LIMIT = 737

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€\f"
)
"""The characters of 3GPP TS 23.038, 6.2.1: default alphabet and its extension."""

log = logging.getLogger(__name__)


class BadInput(ValueError):
    """Fields that cannot be sent. `errors`: field name -> what is expected."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {expected}" for name, expected in errors.items()))
        self.errors = errors


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


def send(service: Service, fields: Mapping[str, object]) -> str:
    """Send one message through Plivo and remember it; its UUID.

    Raises BadInput, plivo_api.NotConfigured or plivo_api.PlivoError.
    """
    sender, recipient, text = check(service, fields)
    message_uuid = plivo_api.send_message(
        service.settings, sender=sender, recipient=recipient, text=text
    )
    _remember(service, message_uuid, sender, recipient, text)
    return message_uuid


def _remember(service: Service, message_uuid: str, sender: str, recipient: str, text: str) -> None:
    """The message is on its way, so failing to write the row must not look like not sending."""
    sent = Callback(
        method="SEND",
        query="",
        body=urlencode(
            {
                "MessageUUID": message_uuid,
                "Status": "queued",
                "From": sender,
                "To": recipient,
                "Text": text,
            }
        ),
        received_at=utc_now(),
    )
    try:
        service.store.record(read_callback(sent, source="send"))
    except (StoreUnavailable, WorkRefused) as error:
        log.error("message %s was sent, its row goes to the spool: %s", message_uuid, error)
        try:
            service.spool.keep(sent, str(error))
        except SpoolUnavailable as trouble:
            log.error("message %s was sent, its text is not kept: %s", message_uuid, trouble)


def _text_fits(text: str) -> bool:
    if not text or "\0" in text or re.search("[\ud800-\udfff]", text):
        return False
    if _GSM7.issuperset(text):
        return len(text) <= GSM7_LIMIT
    return len(text.encode("utf-16-le")) // 2 <= UCS2_LIMIT
