"""A day of messages as a shop's might be: countries, hours, failures, routes without reports."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple
from urllib.parse import urlencode

from ..model import SIMULATED, timestamp
from .callback import Callback


class Route(NamedTuple):
    """Where some of the messages go. `reports`: does the network send delivery reports?

    `seconds`: how long half of the messages take. `failing`: the share that fails.
    """

    share: int
    prefix: str
    mcc: str
    mnc: str
    price: str
    seconds: float
    failing: float
    reports: bool = True


ROUTES = (
    Route(34, "1415555", "310", "410", "0.00550", 2.0, 0.02, reports=False),
    Route(22, "4477009", "234", "15", "0.04130", 3.0, 0.03),
    Route(16, "4915550", "262", "01", "0.08770", 4.0, 0.02),
    Route(14, "9198765", "404", "45", "0.00310", 7.0, 0.09),
    Route(8, "6141234", "505", "01", "0.03910", 5.0, 0.03),
    Route(6, "2348012", "621", "30", "0.27280", 20.0, 0.22),
)
FAILURES = (("undelivered", "30"), ("undelivered", "40"), ("failed", "450"), ("undelivered", "80"))
HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 18, 17, 18, 18, 17, 16, 15, 14, 12, 8, 5, 3, 2)
"""How many messages an hour of the day has, beside the others."""
SENDER = "14155550100"
ON_ITS_WAY = timedelta(seconds=0.3)
"""So long a callback takes."""


def day(now: datetime, count: int, chance: Random) -> Iterator[Callback]:
    """The callbacks of `count` messages of the 24 hours until now, in the order of messages."""
    for _ in range(count):
        sent_at = _moment(now - ON_ITS_WAY, chance)  # each has one callback at least
        route = chance.choices(ROUTES, [route.share for route in ROUTES])[0]
        yield from _life(route, sent_at, now, chance)


def _moment(now: datetime, chance: Random) -> datetime:
    ages = range(24)
    weights = [HOURS[(now - timedelta(hours=age)).hour] for age in ages]
    return now - timedelta(hours=chance.choices(ages, weights)[0] + chance.random())


def _life(route: Route, queued: datetime, now: datetime, chance: Random) -> Iterator[Callback]:
    sent = queued + timedelta(seconds=0.2 + chance.expovariate(2))
    ended = sent + timedelta(seconds=chance.lognormvariate(0, 0.8) * route.seconds)
    units = 1 if chance.random() < 0.85 else 2
    message_uuid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    fields = {
        "MessageUUID": message_uuid,
        "ParentMessageUUID": message_uuid,
        "From": SENDER,
        "To": f"{route.prefix}{chance.randrange(10_000):04d}",
        "Type": "sms",
        "Units": str(units),
        "TotalRate": route.price,
        "TotalAmount": str(units * Decimal(route.price)),
        "MCC": route.mcc,
        "MNC": route.mnc,
        "QueuedTime": _text(queued),
        "MessageTime": _text(queued),
    }
    status, error_code = "delivered", ""
    if chance.random() < route.failing:
        status, error_code = chance.choice(FAILURES)
    steps = [("queued", "", queued, {}), ("sent", "", sent, {"SentTime": _text(sent)})]
    if status == "failed":
        steps[1:] = [(status, error_code, sent, {"SentTime": _text(sent)})]
    elif route.reports or status != "delivered":
        times = {"SentTime": _text(sent), "DeliveryReportTime": _text(ended)}
        steps.append((status, error_code, ended, times))
    for sequence, (word, code, happened_at, times) in enumerate(steps, start=1):
        received_at = happened_at + ON_ITS_WAY
        if received_at > now:
            return
        said = {"Status": word, "ErrorCode": code, "Sequence": str(sequence)}
        yield Callback(
            "POST",
            SIMULATED,
            urlencode({**fields, **said, **times}),
            timestamp(received_at),
        )


def _text(moment: datetime) -> str:
    return timestamp(moment).replace("T", " ").removesuffix("Z")
