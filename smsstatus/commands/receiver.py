"""What `doctor` finds out about the receiver of what is forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from ..forwarding.deliver import Answer
from ..forwarding.ping import ping
from ..forwarding.signing import TOLERANCE_SECONDS
from ..notation import CLOCK_SECONDS, seconds_apart
from ..service import Service

Found = tuple[Literal["ok", "warn", "FAIL"], str, str]

_NOT_ANSWERED = {
    "timeout": "did not answer in time: raise FORWARD_TIMEOUT, or let it answer before it works",
    "connect": "takes no connection: does it run, and is the port the right one?",
    "dns": "has a name that leads nowhere: correct FORWARD_URL",
    "tls": "has no certificate that is trusted here: renew it, or name your own authority in "
    "SSL_CERT_FILE",
    "refused_address": "has an address of the host's own, to which nothing is sent: correct "
    "FORWARD_URL",
}


def receiver_checks(service: Service) -> Iterator[Found]:
    """A ping that is signed rightly and one that is not."""
    settings = service.settings
    assert settings.forward_url is not None
    host = urlsplit(settings.forward_url).hostname
    moment = service.clock.now()
    right = ping(settings, moment, genuine=True)
    apart = seconds_apart(right.date, moment)
    if right.result in _NOT_ANSWERED:
        yield "FAIL", "receiver", f"{host} {_NOT_ANSWERED[right.result]}"
        return
    if right.is_taken:
        yield "ok", "receiver", f"{host} takes what is signed with FORWARD_SECRET"
    else:
        yield "FAIL", "receiver", f"{host} {_refusal(right, apart)}"
    if apart is not None and apart > CLOCK_SECONDS:
        yield "warn", "receiver's clock", f"{apart:.0f} s apart from ours: turn on NTP on both"
    wrong = ping(settings, service.clock.now(), genuine=False)
    if wrong.is_taken:
        text = f"{host} takes what is wrongly signed too: anybody who knows its address can make "
        yield "warn", "receiver's check", f"{text}up a status. Verify webhook-signature there"
    elif right.is_taken:
        yield "ok", "receiver's check", f"what is wrongly signed is answered {wrong.result}"


def _refusal(answer: Answer, apart: float | None) -> str:
    said = f"answered {answer.result} to what is signed with FORWARD_SECRET"
    if answer.points_to:
        return f"{said}, pointing to {answer.points_to}: write FORWARD_URL as it should be"
    if apart is not None and apart > TOLERANCE_SECONDS:
        return f"{said}: its clock is {apart:.0f} s apart from ours, so it finds the signature old"
    if answer.result in ("400", "401", "403"):
        return f"{said}: has it the same secret, and does it want FORWARD_AUTHORIZATION?"
    return f"{said}: it must answer 2xx to a type that it does not know, such as this ping"
