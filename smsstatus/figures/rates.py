"""What counts of messages say about delivery, without saying more than is known. Pure.

In some countries, the United States among them, carriers send Plivo no delivery reports: `sent` is
the last that anybody hears. So a message that stays `sent` for longer than deliveries to its
country take has no report: it is neither delivered nor on its way. The delivery rate rests on
countries alone from which reports do come; the failure rate rests on all messages.

Whether they come is judged by the messages themselves. Of a country with none that could tell, as
in an hour that has only just passed, it is judged by those of the last weeks. A few reports say
nothing there, such as of messages that `simulate` made up. Nor does `undelivered` alone beside
`sent`: carriers that never report a delivery do report that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..model import DELIVERED, FAILURES
from ..notation import percentile
from ..store.contract import HOUR, Group, Message, Tally

LEAST, MOST = timedelta(hours=1), timedelta(days=3)
"""How long a report is waited for, at least and at most."""
LEARNING = timedelta(days=30)
"""Deliveries of this time say how long reports take."""

NO_REPORTS = "no delivery has been reported yet from the countries of these messages"
FEW_REPORTS = "most delivery reports from the countries of these messages have not come"
NO_CARRIER = "no message has reached a carrier"
NOTHING_FINAL = "no message has a final status yet"
NOTHING = "there is no message"


@dataclass(slots=True)
class Heard:
    """How many messages to a country carriers have reported, and how many are `sent`.

    `failed` and `rejected` are said before a carrier has the message.
    """

    delivered: int = 0
    undelivered: int = 0
    sent: int = 0

    @property
    def reported(self) -> int:
        return self.delivered + self.undelivered

    def proves_reports(self, sent: int) -> bool:
        """Are as many reported to be delivered as are `sent`, so many, and any reported at all?"""
        return self.reported > 0 and self.delivered >= sent


@dataclass(frozen=True, slots=True)
class Learned:
    """What the messages of the last weeks (LEARNING) say of countries, where that `is_known`."""

    is_known: bool = False
    waits: Mapping[str | None, timedelta] = field(default_factory=dict)
    """How long to wait for a report, where some came: as long as 99 of 100 deliveries took."""
    heard: Mapping[str | None, Heard] = field(default_factory=dict)
    """By country, however lately."""

    def has_reports(self, country: str | None, heard: Heard) -> bool:
        """Do reports come from there, going by what is heard in a window, or in the last weeks?

        What is `sent` in the window counts against the weeks too: it can have been sent since. And
        a few deliveries in the window do not outvote weeks in which more were `sent`, where more of
        it are undelivered: they can be those of `simulate`.
        """
        lately = self.heard.get(country, Heard())
        sent = max(lately.sent, heard.sent)
        is_plain = not sent or heard.delivered >= heard.undelivered
        return lately.proves_reports(sent) or (is_plain and heard.proves_reports(heard.sent))


@dataclass(slots=True)
class Rates:
    """Of some messages. Rates are None where nothing is known, and `reason` says why."""

    messages: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    delivered: int = 0
    failed: int = 0
    no_report: int = 0
    known_delivered: int = 0
    """Of countries from which reports come."""
    known: int = 0
    """Messages of those with a final status: what the delivery rate rests on."""
    silent: set[str | None] = field(default_factory=set)
    """Countries from which no delivery is reported, where messages are `sent`, now or lately."""
    few: set[str | None] = field(default_factory=set)
    """Countries from which some come, but most are missing."""
    units: int = 0
    amount: int = 0
    """In millionths of a US dollar."""

    @property
    def is_cost_known(self) -> bool:
        """Has Plivo said of any of them what it cost? It counts one unit at least then."""
        return not self.messages or bool(self.units or self.amount)

    @property
    def final(self) -> int:
        return self.delivered + self.failed

    @property
    def delivery_rate(self) -> float | None:
        return self.known_delivered / self.known if self.known else None

    @property
    def failure_rate(self) -> float | None:
        return self.failed / self.messages if self.messages else None

    @property
    def reason(self) -> str | None:
        """Why there is no delivery rate."""
        if self.known:
            return None
        if not self.messages:
            return NOTHING
        if self.few:
            return FEW_REPORTS
        if self.silent:
            return NO_REPORTS
        return NO_CARRIER if self.final else NOTHING_FINAL

    @property
    def headline(self) -> str | None:
        """The rate that says more of these messages, if one says anything."""
        ended = self.final + self.no_report
        if not ended:
            return None
        return "delivery_rate" if 2 * self.known >= ended else "failure_rate"


def rates_by_group(tallies: Iterable[Tally], learned: Learned, now: datetime) -> dict[Group, Rates]:
    """The rates of each group.

    A message that is `sent` has no report if its hour has been over, `now`, for as long as those of
    its country are waited for.
    """
    tallies = list(tallies)
    countries = {tally.country for tally in tallies}
    before = {country: _overdue_before(country, learned, now) for country in countries}
    heard = _heard(tallies)
    reporting = _reporting(tallies, before, heard, learned)
    found: dict[Group, Rates] = {}
    for group, country, status, hour, messages, units, amount in tallies:
        rates = found.get(group)
        if rates is None:
            rates = found[group] = Rates()
        rates.messages += messages
        rates.units += units
        rates.amount += amount
        rates.counts[status] = rates.counts.get(status, 0) + messages
        reports = country in reporting
        if status in DELIVERED:
            rates.delivered += messages
            if reports:
                rates.known_delivered += messages
                rates.known += messages
        elif status in FAILURES:
            rates.failed += messages
            if reports:
                rates.known += messages
        elif status == "sent" and hour < before[country]:
            rates.no_report += messages
        if not reports and (status == "sent" or heard[country].reported):
            (rates.few if heard[country].delivered else rates.silent).add(country)
    return found


def _reporting(
    tallies: Iterable[Tally],
    before: Mapping[str | None, str],
    heard: Mapping[str | None, Heard],
    learned: Learned,
) -> set[str | None]:
    """The countries from which reports come: as many as there are messages without one, and as many
    deliveries as messages that are `sent`, of these or of those of the last weeks.

    A message that is `sent` has none if its hour is `before` that of its country.
    """
    overdue = Counter[str | None]()
    for _, country, status, hour, messages, _, _ in tallies:
        if status == "sent" and hour < before[country]:
            overdue[country] += messages
    return {
        country
        for country in before
        if heard[country].reported >= overdue[country]
        and learned.has_reports(country, heard[country])
    }


def _heard(tallies: Iterable[Tally]) -> dict[str | None, Heard]:
    """By country."""
    found = defaultdict[str | None, Heard](Heard)
    for tally in tallies:
        heard = found[tally.country]
        if tally.status in DELIVERED:
            heard.delivered += tally.messages
        elif tally.status == "undelivered":
            heard.undelivered += tally.messages
        elif tally.status == "sent":
            heard.sent += tally.messages
    return found


def has_no_report(message: Message, learned: Learned, now: datetime) -> bool:
    """Whether a message that is `sent` is so old that no report is to be expected any more."""
    return message.created_at[:HOUR] < _overdue_before(message.country, learned, now)


def _overdue_before(country: str | None, learned: Learned, now: datetime) -> str:
    return _hour_before(now, learned.waits.get(country, LEAST))


def _hour_before(now: datetime, wait: timedelta) -> str:
    return (now - wait).isoformat()[:HOUR]


def first_hour(now: datetime) -> str:
    """What is `sent` and of an earlier hour has no report, whatever its country."""
    return _hour_before(now, MOST + timedelta(hours=1))


def learn(tallies: Iterable[Tally], times: Mapping[Group, Sequence[float]]) -> Learned:
    """From the messages of LEARNING and their delivery times by country."""
    return Learned(
        True,
        {
            country: min(max(timedelta(seconds=percentile(seconds, 0.99) or 0.0), LEAST), MOST)
            for (country,), seconds in times.items()
        },
        _heard(tallies),
    )
