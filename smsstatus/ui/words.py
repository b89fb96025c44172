"""Numbers, times, statuses and advice as a person reads them. Pure; used by the templates."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from ..model import DELIVERED, FINAL_STATUSES, RANKS
from ..notation import of_sample as of_sample
from ..notation import percent as percent
from ..plivo.countries import country_name
from ..plivo.error_codes import Retry
from ..store.outbox import Fate, Forward

STATUSES = tuple(RANKS)
"""The statuses that Plivo documents, in the order of a message's life."""


OUTCOMES = {
    "good": "Delivered",
    "sent": "Only sent",
    "wait": "On their way",
    "bad": "Not delivered",
}
"""What statuses amount to. The keys are also names of colours and shapes. Where no reports come
`sent` is the last word, so those are not called on their way; elsewhere a report may still come,
so it is not said that they have none.
"""

RETRY: dict[Retry, str] = {
    "permanent": "Sending it again will not help.",
    "transient": "Sending it again later can help.",
    "unknown": "Nobody can say whether sending it again helps.",
}
SOURCES = {
    "callback": "Plivo called back",
    "send": "sent from here",
    "reconcile": "Plivo said so when asked",
    "replay": "replayed from the spool",
}
SHOWN = {
    "ago": "%d %b %Y, %H:%M:%S UTC",
    "full": "%d %b %Y, %H:%M:%S UTC",
    "precise": "%d %b %Y, %H:%M:%S.%f UTC",
    "minute": "%d %b, %H:%M",
    "date": "%d %b",
    "clock": "%H:%M",
}
NOT_REPORTED = "not reported"


def outcome(status: str) -> str:
    """A key of OUTCOMES. A word that Plivo has not documented is not final, so it waits."""
    if status == "sent":
        return "sent"
    if status in DELIVERED:
        return "good"
    return "bad" if status in FINAL_STATUSES else "wait"


def label(status: str) -> str:
    """`delivered` as a word that stands by itself."""
    return status[:1].upper() + status[1:]


def in_order(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Counts by status in the order of a message's life, unknown statuses last."""
    known = [(status, counts[status]) for status in STATUSES if status in counts]
    return known + sorted(item for item in counts.items() if item[0] not in RANKS)


def country(code: str) -> str:
    """Its name within a sentence: `the United States`."""
    name = country_name(code)
    takes_the = name.startswith("United ") or name.endswith(("Republic", "Islands", "Emirates"))
    return f"the {name}" if takes_the or name in _WITH_THE else name


_WITH_THE = {"Bahamas", "Comoros", "Gambia", "Maldives", "Netherlands", "Philippines", "Seychelles"}


def number(value: int) -> str:
    """12345 as 12,345."""
    return f"{value:,}"


def count(value: int, one: str, many: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{value:,} {one if value == 1 else many}"


def share(part: float) -> str:
    """A share in whole per cent; 100 only of all, 0 only of none."""
    if 0 < part < 0.01:
        return "<1"
    return ">99" if 0.99 < part < 1 else str(round(part * 100))


def dollars(amount: str) -> str:
    """An exact amount for the eye: with cents, or all digits where it is less than ten of them."""
    value = Decimal(amount)
    return f"{value:,.2f}" if 10 * value >= 1 else amount


def within(limit: int | None) -> str:
    """The name of a part of the histogram: `within 5 s`, `longer`."""
    return "longer" if limit is None else f"within {duration(limit).replace('.0', '')}"


def duration(seconds: float) -> str:
    """A time span with two units at most: `0.4 s`, `3 min 4 s`, `2 d 5 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def forwarded(forward: Forward) -> str:
    """How handing on a change goes; when it is tried next is not in it."""
    attempts = count(forward.attempts, "attempt", "attempts")
    tried = f"{attempts}, the last answer: {forward.answer}"
    if forward.fate is Fate.TAKEN:
        after = f"forwarded after {duration(max(forward.seconds or 0.0, 0.0))}"
        return after if forward.attempts == 1 else f"{after} and {attempts}"
    if forward.fate is Fate.DEAD:
        return f"not forwarded: given up after {tried}"
    if forward.fate is Fate.WAITING:
        return f"not forwarded yet: {tried}" if forward.attempts else "waits to be forwarded"
    return f"not forwarded: {_NOT_SENT[forward.fate]}"


_NOT_SENT = {Fate.SKIPPED: "skipped by hand", Fate.SUPERSEDED: "a later change replaced it"}


def utc(timestamp: str, show: str = "full") -> str:
    """A timestamp of model.utc_timestamp in words, or that Plivo reported none.

    `show` is a key of SHOWN; live.js writes the same in local time, and `ago` as time elapsed.
    """
    if not timestamp:
        return NOT_REPORTED
    moment = moment_of(timestamp)
    return moment.strftime(SHOWN[show])


def moment_of(timestamp: str) -> datetime:
    """The datetime of a timestamp. Raises ValueError for an empty one."""
    return datetime.fromisoformat(timestamp).astimezone(UTC)
