"""The warnings on top of the overview.

Not ready and spool: what /readyz finds. Silence: messages of the last 24 hours have waited for
more than QUIET, and no callback came for longer than QUIET and longer than PAUSES times the
longest pause between the newest callbacks. So a busy service warns after ten minutes, while one
that sends a message now and then does not cry each night. Some countries never report delivery;
there messages wait for good, and only the pauses keep this quiet.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from ..model import utc_timestamp
from ..service import Service
from ..store.contract import WAITING_COUNTED, Pulse, StoreUnavailable
from ..web.health import readiness
from . import words

FRESH_SECONDS = 5.0
"""Finding out costs a write and its fsync, so open pages share what was found."""
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


class Alarms:
    """What is wrong now, found out at most every FRESH_SECONDS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: tuple[float, list[Alarm]] | None = None

    def now(self, service: Service) -> list[Alarm]:
        """While one request finds out, which can take seconds, others get what was last known."""
        found = self._found
        if found is not None and service.clock.monotonic() - found[0] < FRESH_SECONDS:
            return found[1]
        if not self._lock.acquire(blocking=found is None):
            return found[1] if found else []
        try:
            alarms = _find_out(service)
            self._found = (service.clock.monotonic(), alarms)
            return alarms
        finally:
            self._lock.release()


def _find_out(service: Service) -> list[Alarm]:
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


_KEPT = "Callbacks are still taken: they are kept in the spool, and replayed once it works again."


def of_readiness(found: dict[str, Any]) -> list[Alarm]:
    """The warnings for what /readyz found."""
    alarms = [Alarm(f"Not ready: {reason}.", _KEPT) for reason in found["reasons"]]
    if found["spooled"]:
        alarms.append(
            Alarm(
                words.count(found["spooled"], "callback waits", "callbacks wait")
                + " in the spool.",
                "What they say is not shown yet. They are replayed by themselves as soon as the "
                "database is writable again.",
            )
        )
    if found["bad"]:
        alarms.append(
            Alarm(
                f"{words.count(found['bad'], 'callback', 'callbacks')} could not be used.",
                "Each lies in the folder bad/ of the spool, with the reason in it. Remove the "
                "file once you have looked.",
            )
        )
    return alarms


def silence_in(pulse: Pulse, now: datetime) -> Alarm | None:
    """The rule of this module's head."""
    if not pulse.waiting:
        return None
    more = " or more" if pulse.waiting == WAITING_COUNTED else ""
    waiting = words.count(pulse.waiting, "message waits", f"messages{more} wait")
    advice = (
        f"Meanwhile {waiting} for more than ten minutes. Is this service reachable at the address "
        "that Plivo was told? `flask --app wsgi doctor` finds out."
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
