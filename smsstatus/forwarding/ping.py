"""Asks the receiver whether it is there, and whether it checks who sends."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import datetime

from ..model import timestamp
from ..settings import Settings
from .deliver import Answer, Receiver
from .request import headers_of

TYPE = "ping"


def ping(settings: Settings, moment: datetime, *, genuine: bool) -> Answer:
    """Deliver a ping that is signed rightly, or with a key that the receiver cannot have.

    Its type is one that no change has, so a receiver has nothing to do but to answer.
    """
    url = settings.forward_url
    assert url is not None
    if not genuine:
        settings = replace(settings, forward_secrets=(secrets.token_bytes(32),))
    told = {"type": TYPE, "timestamp": timestamp(moment), "data": {}}
    body = json.dumps(told, separators=(",", ":")).encode()
    headers = headers_of(settings, f"ping_{secrets.token_hex(8)}", moment, body)
    receiver = Receiver(url, settings.forward_timeout)
    try:
        return receiver.post(body, headers)
    finally:
        receiver.close()
