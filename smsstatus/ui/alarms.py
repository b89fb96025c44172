"""The warnings at the top of the overview.

Not ready and spool: what /readyz finds. Silence: messages of the last 24 hours have waited for
more than QUIET, and no callback has come for longer than QUIET and longer than PAUSES times the
longest pause between the newest callbacks. So a busy service warns after ten minutes, while one
that sends a message now and then does not warn every night. Some countries never report delivery:
messages wait there for good, and only the pauses keep this quiet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from ..model import utc_timestamp
from ..readiness import readiness
from ..service import Service
from ..store.contract import WAITING_COUNTED, Pulse, StoreUnavailable
from . import words

FRESH_SECONDS = 5.0
"""Open pages share what was found for this long."""
QUIET = timedelta(minutes=10)
LOOK_BACK = timedelta(hours=24)
PAUSES = 3
NEWEST = 100


@dataclass(frozen=True)
class Alarm:
    """One warning. `since` is a timestamp that the page shows after the title, or empty."""

    title: str
    advice: str
    since: str = ""


def find(service: Service) -> list[Alarm]:
    """What is wrong now. It can take seconds, and costs a write and its fsync."""
    alarms = of_readiness(readiness(service))
    now = service.clock.now()
    try:
        pulse = service.store.pulse(
            since=utc_timestamp(str(now - LOOK_BACK)),
            before=utc_timestamp(str(now - QUIET)),
            newest=NEWEST,
        )
    except StoreUnavailable as error:
        return [*alarms, Alarm(f"The database cannot be read ({error}).", _KEPT)]
    silence = silence_in(pulse, now)
    return [*alarms, silence] if silence else alarms


_KEPT = (
    "Callbacks are still accepted: they wait in the spool, and are replayed once it works again."
)


def of_readiness(found: dict[str, Any]) -> list[Alarm]:
    """The warnings for what /readyz found."""
    alarms = [Alarm(f"Not ready: {reason}.", _KEPT) for reason in found["reasons"]]
    if found["spooled"]:
        alarms.append(
            Alarm(
                words.count(found["spooled"], "callback waits", "callbacks wait")
                + " in the spool.",
                "What they say is not shown yet. They are replayed automatically as soon as the "
                "database is writable again.",
            )
        )
    if found["bad"]:
        alarms.append(
            Alarm(
                f"{words.count(found['bad'], 'callback', 'callbacks')} could not be used.",
                "Each is in the folder bad/ of the spool, with the reason in it. Remove the "
                "file once you have looked.",
            )
        )
    return alarms


def silence_in(pulse: Pulse, now: datetime) -> Alarm | None:
    """The rule in this module's docstring."""
    if not pulse.waiting:
        return None
    more = " or more" if pulse.waiting == WAITING_COUNTED else ""
    waiting = words.count(pulse.waiting, "message waits", f"messages{more} wait")
    advice = (
        f"Meanwhile {waiting} for more than ten minutes. Is this service reachable at the address "
        "that Plivo calls? `flask --app wsgi doctor` finds out."
    )
    if not pulse.arrivals:
        return Alarm("No callback has come yet.", advice)
    moments = [words.moment_of(arrival) for arrival in pulse.arrivals]
    longest = max((later - earlier for earlier, later in pairwise(moments)), default=timedelta())
    if now - moments[-1] <= max(QUIET, PAUSES * longest):
        return None
    return Alarm(
        "No callback has come for unusually long; the last one:", advice, pulse.arrivals[-1]
    )
