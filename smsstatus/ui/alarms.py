"""The warnings at the top of the overview.

Not ready and spool: what /readyz finds. Failures: a share of the last hour's that chance does not
explain (`unusual`). Silence: messages of the last 24 hours have waited for more than QUIET, and no
callback has come for longer than QUIET and longer than PAUSES times the longest pause between the
newest callbacks. So a busy service warns after ten minutes, while one that sends a message now and
then does not warn every night. Some countries never report delivery: messages wait there for good,
and only the pauses keep this quiet. Forwarding: changes are paused, given up, or have been due for
longer than BEHIND, or the receiver has failed for longer than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from ..figures.last_hour import failure_shares
from ..figures.unusual import HOUR, Share
from ..model import timestamp
from ..readiness import failing, lag, outbox_of, readiness
from ..service import Service
from ..store.contract import WAITING_COUNTED, Pulse, StoreUnavailable
from ..store.outbox import COUNTED, OutboxState
from . import words

FRESH_SECONDS = 5.0
"""Open pages share what was found for this long."""
QUIET = timedelta(minutes=10)
LOOK_BACK = timedelta(hours=24)
PAUSES = 3
BEHIND = 300.0
"""Seconds; a receiver is away for less while it is deployed."""
NEWEST = 100
COUNTRIES = 5


@dataclass(frozen=True)
class Alarm:
    """One warning. `since` is a timestamp that the page shows after the title, or empty."""

    title: str
    advice: str
    since: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    """Filters of the messages that it is about, where it is about some."""


def find(service: Service) -> list[Alarm]:
    """What is wrong now. It can take seconds, and costs a write and its fsync."""
    alarms = of_readiness(readiness(service))
    outbox = outbox_of(service)
    if outbox is not None:
        alarms += of_outbox(outbox, lag(service, outbox), failing(service, outbox))
    now = service.clock.now()
    try:
        alarms += of_failures(failure_shares(service), timestamp(now - HOUR))
        pulse = service.store.pulse(
            since=timestamp(now - LOOK_BACK),
            before=timestamp(now - QUIET),
            newest=NEWEST,
        )
    except StoreUnavailable as error:
        return [*alarms, Alarm(f"The database cannot be read ({error}).", _KEPT)]
    silence = silence_in(pulse, now)
    return [*alarms, silence] if silence else alarms


def of_failures(shares: Sequence[Share], since: str) -> list[Alarm]:
    """The warnings of the last hour, the worst first; of all messages before those of countries."""
    unusual = [share for share in shares if share.is_unusual]
    unusual.sort(key=lambda share: (share.country is not None, share.most - share.now))
    return [_of_share(share, since) for share in unusual[:COUNTRIES]]


def _of_share(share: Share, since: str) -> Alarm:
    where = f" to {words.country(share.country)}" if share.country else ""
    usual = (
        f"usual at this time of day are {words.percent(share.before)} %, and chance explains up to "
        f"{words.percent(share.most)} %"
        if share.before is not None
        else "too few were sent at this time of day before to say what is usual"
    )
    return Alarm(
        f"{words.percent(share.now)} % of the messages{where} of the last hour failed or were "
        "undelivered.",
        f"{words.number(share.failed)} of {words.number(share.messages)}; {usual}.",
        query={"since": since, **({"country": share.country} if share.country else {})},
    )


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


def of_outbox(state: OutboxState, behind: float, failing: float) -> list[Alarm]:
    """The warnings for changes that are not handed on.

    For how many seconds they are `behind`, and the receiver has been `failing`.
    """
    alarms = []
    waiting = _counted(state.waiting, "change waits", "changes wait")
    if state.paused_at:
        alarms.append(
            Alarm(
                "Forwarding was paused",
                f"{waiting} to be forwarded. `flask --app wsgi forward resume` goes on.",
                state.paused_at,
            )
        )
    elif max(behind, failing) > BEHIND:
        failure = state.condition.last_failure
        last = f" Its last failure: {failure}." if failure else ""
        since = state.condition.failing_since if failing > BEHIND else state.due_since
        alarms.append(
            Alarm(
                "The receiver has taken no change since"
                if failing > BEHIND
                else "Changes are not taken by the receiver; the first one waits since",
                f"{waiting} to be forwarded.{last} Nothing is lost: they go by themselves once it "
                "takes them.",
                since or "",
            )
        )
    if state.dead:
        alarms.append(
            Alarm(
                _counted(state.dead, "change was given up.", "changes were given up."),
                "The receiver did not take them in time. `flask --app wsgi forward retry` sends "
                "them again, `forward skip` forgets them.",
            )
        )
    return alarms


def _counted(count: int, one: str, many: str) -> str:
    """`2 changes wait`, `10,000 or more changes wait`."""
    counted = words.count(count, one, many)
    return counted.replace(" ", " or more ", 1) if count == COUNTED else counted


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
