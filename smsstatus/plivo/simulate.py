"""Plays Plivo: sends signed callbacks over HTTP and checks the answers.

It needs only the token and the address, so it also tests a tunnel or a deployment.
"""

from __future__ import annotations

import http.client
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from ..model import SIMULATED
from ..settings import WEBHOOK_PATH
from .form import parse_form
from .signature import V3_NONCE, V3_SIGNATURES, sign, signed_v3

ANSWER_SECONDS = 10.0

LIVES = (
    (("queued", ""), ("sent", ""), ("delivered", "")),
    (("queued", ""), ("sent", ""), ("undelivered", "30")),
    (("queued", ""), ("failed", "450")),
)
"""Statuses and error codes of messages' lives; simulated messages take them in turn."""


class NoAnswer(Exception):
    """Nothing answered at the address. The text says what to look at."""


@dataclass(frozen=True)
class Step:
    """One callback to send, and the answer that is expected."""

    message: int
    fields: dict[str, str]
    note: str = ""
    genuine: bool = True

    @property
    def expected(self) -> int:
        return 200 if self.genuine else 403


@dataclass(frozen=True)
class Played:
    """What came back for a step, and after how many milliseconds."""

    step: Step
    status: int
    milliseconds: float

    @property
    def as_expected(self) -> bool:
        return self.status == self.step.expected


def steps(count: int) -> Iterator[Step]:
    """The callbacks of `count` messages, with a duplicate, a pair out of order and a forgery."""
    for number in range(1, count + 1):
        life = list(_life(number))
        if number == 1:
            queued, sent, delivered = life
            yield queued
            yield replace(queued, note="the same again")
            yield replace(delivered, note="before its 'sent'")
            yield replace(sent, note="after 'delivered'")
            yield Step(1, {**delivered.fields, "Status": "failed"}, "forged", genuine=False)
        else:
            yield from life


def play(step: Step, base_url: str, token: str) -> Played:
    """Send one callback. Raises NoAnswer."""
    started = time.perf_counter()
    key = token if step.genuine else secrets.token_urlsafe(24)
    status, _ = deliver(step.fields, base_url, key, SIMULATED)
    return Played(step, status, (time.perf_counter() - started) * 1000)


def deliver(
    fields: dict[str, str], base_url: str, token: str, query: str = ""
) -> tuple[int, bytes]:
    """POST a callback signed with V3 as Plivo would; status and start of the body.

    `query` is what the sender has added to the address.

    Redirects are not followed: Plivo's request would arrive elsewhere. Raises NoAnswer.
    """
    url = base_url + WEBHOOK_PATH
    nonce = str(secrets.randbelow(10**20))
    signature = sign(
        signed_v3("POST", url, parse_form(query.encode()), list(fields.items()), nonce), token
    )
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        V3_SIGNATURES[0]: signature,
        V3_NONCE: nonce,
    }
    path = f"{WEBHOOK_PATH}?{query}" if query else WEBHOOK_PATH
    return request("POST", base_url, path, urlencode(fields), headers)


def request(
    method: str, base_url: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Ask the service at `base_url`; status and start of the body. Raises NoAnswer."""
    parts = urlsplit(base_url + path)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(1000)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(
            f"no answer from {base_url} ({error}): is the service running there (`make run`), "
            "and does the tunnel or proxy lead to it?"
        ) from None
    finally:
        connection.close()


def _life(number: int) -> Iterator[Step]:
    message_uuid = str(uuid.uuid4())
    queued = datetime.now(UTC).replace(tzinfo=None)
    sent = queued + timedelta(seconds=0.4 + number % 3)
    reported = sent + timedelta(seconds=1.5 + number % 7)
    times = {
        "queued": {},
        "sent": {"SentTime": str(sent)},
    }
    for sequence, (status, error_code) in enumerate(LIVES[(number - 1) % len(LIVES)], start=1):
        yield Step(
            number,
            {
                "MessageUUID": message_uuid,
                "ParentMessageUUID": message_uuid,
                "Status": status,
                "ErrorCode": error_code,
                "From": "14155550100",
                "To": f"1415555{100 + number % 100:04d}",
                "Type": "sms",
                "Units": "1",
                "Sequence": str(sequence),
                "MessageTime": str(queued),
                "QueuedTime": str(queued),
                **times.get(status, {"SentTime": str(sent), "DeliveryReportTime": str(reported)}),
            },
        )
