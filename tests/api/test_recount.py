"""What GET /stats says of many random lives of messages is what a plain recount of them finds."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from math import ceil
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.model import StatusUpdate, utc_timestamp
from smsstatus.store.contract import DELIVERIES_TIMED, Store
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..store.conftest import write
from ..store.updates import update_of

NOW = datetime(2026, 11, 20, 10, 17, 3, tzinfo=UTC)
PLACES = (
    ("US", "310", "14155550100"),
    ("IN", "404", "918553651111"),
    ("GB", "234", "447911123456"),
    ("BR", "724", "5511955550100"),
    ("FR", "", "33612345678"),  # known by its number alone
    (None, "", "12345"),
)
REPORTING = ("IN", "GB", "FR")
"""From the others few reports come, or none."""


class Life(NamedTuple):
    uuid: str
    country: str | None
    fields: dict[str, str]
    queued: datetime
    steps: tuple[tuple[str, datetime], ...]

    @property
    def status(self) -> str:
        return self.steps[-1][0]

    @property
    def seconds(self) -> float | None:
        """From queued to delivered."""
        times = [time for status, time in self.steps if status == "delivered"]
        return (times[0] - self.queued).total_seconds() if times else None

    def value(self, name: str) -> str | None:
        of = {"MCC": self.fields.get("MCC"), "MNC": self.fields.get("MNC")}
        return {
            "country": self.country,
            "network": f"{of['MCC']}-{of['MNC']}" if of["MCC"] else None,
            "sender": f"+{self.fields['From']}",
            "status": self.status,
            "error_code": self.fields["ErrorCode"] if self.status in FAILED else None,
        }[name]


Group = tuple[str | None, ...]
FAILED = ("failed", "undelivered", "rejected")


def lives(count: int, days: int) -> Iterator[Life]:
    chance = random.Random(18)
    for number in range(count):
        country, mcc, recipient = chance.choice(PLACES)
        queued = (NOW - timedelta(seconds=chance.randrange(days * 86_400))).replace(microsecond=0)
        fields = {
            "From": chance.choice(("14155550100", "14155550101")),
            "To": recipient,
            "ErrorCode": chance.choice(("30", "200", "450")),
            "Units": str(chance.randint(1, 3)),
            "TotalAmount": chance.choice(("0.00550", "0.1", "12", "0.000001")),
            **({"MCC": mcc, "MNC": chance.choice(("01", "260"))} if mcc else {}),
        }
        steps = [("queued", queued)]
        if chance.random() < 0.06:
            steps.append((chance.choice(("failed", "rejected")), queued + timedelta(seconds=1)))
        elif chance.random() < 0.97:
            steps.append(("sent", queued + timedelta(seconds=1)))
            done = queued + timedelta(seconds=int(chance.lognormvariate(4, 2)) + 2)
            if chance.random() < (0.85 if country in REPORTING else 0.02) and done < NOW:
                steps.append((chance.choice(("delivered", "delivered", "undelivered")), done))
                if steps[-1][0] == "delivered" and chance.random() < 0.1:
                    steps.append(("read", done + timedelta(seconds=5)))
        yield Life(f"m-{number}", country, fields, queued, tuple(steps))


def updates(life: Life) -> list[StatusUpdate]:
    made = []
    for status, time in life.steps:
        fields = {
            **life.fields,
            "MessageUUID": life.uuid,
            "Status": status,
            "QueuedTime": f"{life.queued:%F %T}",
            "Timestamp": f"{time:%F %T}",
        }
        if status not in FAILED:
            fields["ErrorCode"] = ""
        if status == "queued":
            fields["TotalAmount"] = "99"  # what it costs is what the furthest status says
        made.append(update_of(fields, utc_timestamp(str(time))))
    return made


def recount(all_lives: Sequence[Life], since: datetime, by: Sequence[str]) -> dict[Group, Any]:
    """The figures of each group, by the rules as docs/api.md says them."""
    in_window = [life for life in all_lives if since <= life.queued < NOW]
    timed = [life for life in all_lives if life.seconds is not None]
    assert len(timed) <= DELIVERIES_TIMED, "of more, times are a sample"
    waits = {
        country: min(max(nearest(times, 0.99) or 0.0, 3600.0), 3 * 86_400.0)
        for (country,), times in seconds_by(timed, ("country",)).items()
    }

    def has_no_report(life: Life) -> bool:
        last = NOW - timedelta(seconds=waits.get(life.country, 3600.0))
        return life.status == "sent" and life.queued < last.replace(minute=0, second=0)

    def of_status(some: Sequence[Life], country: str | None) -> Counter[str]:
        return Counter(life.status for life in some if life.country == country)

    def come(of: Counter[str], sent: int) -> bool:
        delivered = of["delivered"] + of["read"]
        return delivered + of["undelivered"] > 0 and delivered >= sent

    reports = set()
    for country in {life.country for life in in_window}:
        here, lately = of_status(in_window, country), of_status(all_lives, country)
        reported = here["delivered"] + here["read"] + here["undelivered"]
        overdue = sum(life.country == country and has_no_report(life) for life in in_window)
        sent = max(here["sent"], lately["sent"])
        is_plain = sent == 0 or here["delivered"] + here["read"] >= here["undelivered"]
        is_known = come(lately, sent) or (is_plain and come(here, here["sent"]))
        if reported >= overdue and is_known:
            reports.add(country)
    groups = defaultdict(list)
    for life in in_window:
        groups[tuple([life.value(name) for name in by])].append(life)
    found = {}
    for group, members in groups.items():
        known = [m for m in members if m.country in reports]
        known = [m for m in known if m.status in (*FAILED, "delivered", "read")]
        delivered = [m for m in known if m.status in ("delivered", "read")]
        failed = [m for m in members if m.status in FAILED]
        amount = sum(Decimal(final_amount(m)) for m in members)
        found[group] = {
            "total": len(members),
            "delivery_rate": len(delivered) / len(known) if known else None,
            "delivery_rate_of": len(known),
            "failure_rate": len(failed) / len(members),
            "failure_rate_of": len(members),
            "no_report": sum(map(has_no_report, members)),
            "units": sum(int(m.fields["Units"]) for m in members),
            "amount": amount,
            "p50": nearest(seconds_by(members, ()).get((), []), 0.5),
            "p95": nearest(seconds_by(members, ()).get((), []), 0.95),
        }
    return found


def final_amount(life: Life) -> str:
    return "99" if len(life.steps) == 1 else life.fields["TotalAmount"]


def seconds_by(
    some: Sequence[Life], by: Sequence[str]
) -> dict[tuple[str | None, ...], list[float]]:
    found = defaultdict(list)
    for life in some:
        if life.seconds is not None:
            found[tuple([life.value(name) for name in by])].append(life.seconds)
    return {group: sorted(times) for group, times in found.items()}


def nearest(times: Sequence[float], share: float) -> float | None:
    return times[ceil(share * len(times)) - 1] if times else None


def write_all(store: Store, some: Sequence[StatusUpdate]) -> None:
    """Some at a time: who waits in a queue of thousands gives up after 3 seconds."""
    for start in range(0, len(some), 200):
        write(store, some[start : start + 200])


def test_groups_rates_times_and_sums_are_those_of_a_plain_recount(
    app: Flask, api: FlaskClient, pytestconfig: pytest.Config
) -> None:
    is_full = pytestconfig.getoption("--fault-rounds") == "full"
    count, days = (20_000, 18) if is_full else (500, 2)
    service = service_of(app)
    service.clock = HandClock(NOW)
    now = utc_timestamp(str(NOW))
    all_lives = list(lives(count, days))
    early = [update for life in all_lives for update in updates(life)[:2]]
    late = [update for life in all_lives for update in updates(life)[2:]]
    random.Random(3).shuffle(early)
    write_all(service.store, early)
    while service.store.sum_up_some(now):
        pass  # what comes now changes hours that are summed up
    write_all(service.store, late)
    groupings = (("country",), ("network",), ("country", "status"), ("sender", "error_code"), ())
    whole, half = NOW - timedelta(days=days), NOW - timedelta(days=days / 2, seconds=1234)
    just_now = NOW - timedelta(minutes=20)  # too short for any report to be missing
    for by, since in product(groupings, (whole, half, just_now)):
        expected = recount(all_lives, since, by)
        window = f"since={utc_timestamp(str(since))}&until={now}"
        for _ in range(2):
            grouped = f"&group_by={','.join(by)}" if by else ""
            shown = api.get(f"/stats?{window}{grouped}").get_json()
            groups = shown["groups"] if by else [shown]
            assert {tuple([group[name] for name in by]) for group in groups} == expected.keys()
            for group in groups:
                figures = expected[tuple([group[name] for name in by])]
                seconds = group["seconds_to_deliver"]
                for name in ("p50", "p95"):
                    assert seconds[name] == pytest.approx(figures[name], abs=0.002)
                assert Decimal(group["amount"]) == figures["amount"]
                for name in figures.keys() - {"amount", "p50", "p95"}:
                    assert group[name] == figures[name], (by, name)
            while service.store.sum_up_some(now):
                pass
