"""Makes signed status callbacks, in the order in which Plivo would send them.

Many messages are under way at once, so queued, sent and delivered callbacks of different messages
are interleaved; a few overtake one another, and about 3 in 100 are sent twice, byte for byte.
Field names, forms and the signature:
https://www.plivo.com/docs/messaging/api/message/message-status-callbacks
"""

from __future__ import annotations

import hmac
import random
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

AUTH_TOKEN = "bench0123456789abcdef0123456789abcdef012"
BASE_URL = "https://sms.example.com"
CALLBACK_PATH = "/plivo/status"

MESSAGES_PER_SECOND = 700  # about 2,100 callbacks/s: what a saturated service sees in real time
DUPLICATE_SHARE = 0.03
RETRY_SECONDS = 2.0  # Plivo waits a minute, but a run lasts seconds
SENDERS = ("14155550100", "14155550101", "12025550102", "442071838750")
NETWORKS = (("310", "260"), ("311", "480"), ("405", "803"), ("234", "010"))
CARRIER_ERRORS = ("30", "40", "50", "100", "200")


RANKS = {"queued": 1, "sent": 2, "failed": 3, "undelivered": 3, "delivered": 4}
"""How far along each of the statuses made here is."""


class Callback(NamedTuple):
    """One signed callback. `body` is the form as sent."""

    message_uuid: str
    status: str
    nonce: str
    signature: str
    body: str


class _Due(NamedTuple):
    arrival: float
    callback: Callback


class _Message:
    """What Plivo would know of one message, and the callbacks that follow from it."""

    def __init__(self, rng: random.Random, started: datetime) -> None:
        self.rng = rng
        self.started = started
        self.uuid = random_uuid(rng)
        self.sender = rng.choice(SENDERS)
        self.recipient = f"1{rng.randint(2012000000, 9899999999)}"
        self.mcc, self.mnc = rng.choice(NETWORKS)

    def due(self, offset: float) -> Iterator[_Due]:
        """Its callbacks, with the second at which each reaches us, counted from the first."""
        queued = self.rng.expovariate(1 / 0.02)
        sent = queued + 0.05 + self.rng.expovariate(1 / 0.3)
        final = sent + self.rng.lognormvariate(0.2, 0.7)
        status, error = self._outcome()
        steps = [("queued", queued, ""), ("sent", sent, ""), (status, final, error)]
        if status == "failed":
            steps.pop(1)
        times = {"queued": queued, "sent": sent, status: final}
        for sequence, (name, second, code) in enumerate(steps, 1):
            known = {key: at for key, at in times.items() if at <= second}
            callback = sign(self.rng, self._fields(name, code, sequence, known))
            yield from self._sendings(offset + second, callback)

    def _outcome(self) -> tuple[str, str]:
        dice = self.rng.random()
        if dice < 0.94:
            return "delivered", "000"
        if dice < 0.98:
            return "undelivered", self.rng.choice(CARRIER_ERRORS)
        return "failed", "420"

    def _fields(
        self, status: str, error: str, sequence: int, times: dict[str, float]
    ) -> dict[str, str]:
        fields = {
            "Status": status,
            "From": self.sender,
            "ParentMessageUUID": self.uuid,
            "TotalRate": "0.00550",
            "MCC": self.mcc,
            "PartInfo": "1 of 1",
            "ErrorCode": error,
            "To": self.recipient,
            "Units": "1",
            "TotalAmount": "0.00550",
            "MNC": self.mnc,
            "MessageUUID": self.uuid,
            "Type": "sms",
            "Sequence": str(sequence),
            "MessageTime": self._time(0.0),
            "QueuedTime": self._time(times["queued"]),
        }
        if "sent" in times:
            fields["SentTime"] = self._time(times["sent"])
        if status not in ("queued", "sent"):
            fields["DeliveryReportTime"] = self._time(times[status])
        return fields

    def _time(self, second: float) -> str:
        moment = self.started + timedelta(seconds=second)
        return moment.isoformat(sep=" ", timespec="microseconds")

    def _sendings(self, second: float, callback: Callback) -> Iterator[_Due]:
        arrival = second + self.rng.expovariate(1 / 0.05)
        yield _Due(arrival, callback)
        if self.rng.random() < DUPLICATE_SHARE:
            yield _Due(arrival + RETRY_SECONDS, callback)


def generate(count: int, seed: int = 1) -> list[Callback]:
    """`count` callbacks in the order of their arrival. The same seed makes the same messages."""
    rng = random.Random(seed)
    now = datetime.now(UTC).replace(tzinfo=None)
    due: list[_Due] = []
    # A callback of the last messages may come after the end: a third more messages than needed.
    for number in range(count * 4 // 9 + 8):
        offset = number / MESSAGES_PER_SECOND
        due.extend(_Message(rng, now + timedelta(seconds=offset)).due(offset))
    due.sort(key=lambda item: item.arrival)
    return [item.callback for item in due[:count]]


def sign(rng: random.Random, fields: dict[str, str]) -> Callback:
    """Sign a form as Plivo does (V3, POST, no query in the URL)."""
    nonce = str(rng.randint(10**19, 10**20 - 1))
    joined = "".join([key + fields[key] for key in sorted(fields)])
    text = f"{BASE_URL}{CALLBACK_PATH}?{joined}.{nonce}"
    signature = b64encode(hmac.digest(AUTH_TOKEN.encode(), text.encode(), sha256)).decode()
    return Callback(fields["MessageUUID"], fields["Status"], nonce, signature, urlencode(fields))


def random_uuid(rng: random.Random) -> str:
    """A version 4 UUID as text; from `rng`, so that a seed gives the same ones again."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def raw_request(callback: Callback) -> bytes:
    """The HTTP request of a callback, equal to what wrk.lua sends."""
    return (
        f"POST {CALLBACK_PATH} HTTP/1.1\r\nHost: sms.example.com\r\nUser-Agent: Plivo\r\n"
        "Accept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"X-Plivo-Signature-V3: {callback.signature}\r\n"
        f"X-Plivo-Signature-V3-Nonce: {callback.nonce}\r\n"
        f"Content-Length: {len(callback.body)}\r\n\r\n{callback.body}"
    ).encode()


def write_slices(callbacks: Sequence[Callback], folder: Path, slices: int) -> None:
    """Deal the callbacks out to `slices` files (00, 01, ...), one for each wrk thread.

    Callback i is line i // slices of file i % slices, so that the order of the whole is kept
    as far as threads run alike.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(slices):
        with (folder / f"{number:02d}").open("w") as file:
            for callback in callbacks[number::slices]:
                file.write(f"{callback.nonce}\t{callback.signature}\t{callback.body}\n")
