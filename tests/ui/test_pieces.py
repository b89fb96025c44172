"""What the pages are made of: words, chart, timeline, warnings, filters. Nothing runs here."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from smsstatus.query import FILTERS
from smsstatus.store.contract import Event, Pulse
from smsstatus.ui import alarms, chart, figures, headline, listing, send, timeline, words, zone

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def stamp(minutes_ago: float) -> str:
    moment = NOW - timedelta(minutes=minutes_ago)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def event(
    status: str, at: str, received_at: str, source: str = "callback", parameters: str = ""
) -> Event:
    return Event(
        status=status,
        status_timestamp=at,
        error_code=None,
        sequence=0,
        received_at=received_at,
        source=source,
        repeats=0,
        parameters=parameters or f"Status={status}",
    )


# Words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100"),
        (0.9999, "99.9"),
        (4 / 6, "66.7"),
        (0.29, "29"),
        (0.1235, "12.4"),
        (0.123, "12.3"),
        (0.0004, "0.1"),
        (0, "0"),
    ],
)
def test_a_rate_is_rounded_but_100_is_all_and_0_is_none(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_a_share_is_everything_or_nothing_only_where_it_is() -> None:
    shares = (0, 0.001, 0.5, 0.996, 1)
    assert [words.share(part) for part in shares] == ["0", "<1", "50", ">99", "100"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (2.34, "2.3 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 2 + 3600, "2 d 1 h"),
    ],
)
def test_a_time_span_has_two_units_at_most(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_an_undocumented_status_waits_and_comes_last() -> None:
    assert words.outcome("<b>new</b>") == "wait"
    assert words.in_order({"zzz": 1, "delivered": 2, "queued": 3}) == [
        ("queued", 3),
        ("delivered", 2),
        ("zzz", 1),
    ]


def test_a_time_that_was_not_told_is_said_so() -> None:
    assert words.utc("") == "not reported"
    assert words.utc("2026-11-01T00:00:03.250000Z") == "01 Nov 2026, 00:00:03 UTC"


# Chart


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 4), (4, 4), (5, 6), (7, 8), (9, 10), (11, 20), (401, 600)]
)
def test_the_axis_ends_at_a_round_number_with_a_whole_half(highest: int, top: int) -> None:
    assert chart.nice_top(highest) == top
    assert top % 2 == 0


def test_one_failure_among_thousands_is_seen() -> None:
    drawn = chart.draw([stamp(2), stamp(1)], [{"delivered": 9_999, "failed": 1}], 1)
    pieces = {piece.outcome: piece for piece in drawn.bars[0].pieces}
    assert pieces["bad"].height == chart.THINNEST
    assert sum(piece.height for piece in pieces.values()) <= chart.HEIGHT
    assert all(piece.y >= 0 for piece in pieces.values())


def test_a_bar_is_as_high_as_its_count() -> None:
    drawn = chart.draw([stamp(2), stamp(1), stamp(0)], [{"sent": 5}, {"read": 10}], 1)
    assert [bar.pieces[0].height for bar in drawn.bars] == [50, 100]
    assert [bar.pieces[0].outcome for bar in drawn.bars] == ["sent", "good"]


def test_the_chart_is_told_in_words() -> None:
    drawn = chart.draw([stamp(2), stamp(1)], [{"delivered": 2, "queued": 1, "rejected": 1}], 1)
    assert "4 messages: 2 delivered, 1 on their way, 1 not delivered" in drawn.text


def test_what_was_sent_is_said_neither_to_be_on_its_way_nor_to_have_no_report() -> None:
    drawn = chart.draw([stamp(2), stamp(1)], [{"sent": 959, "failed": 41}], 1)
    assert "1,000 messages: 959 only sent, 41 not delivered." in drawn.text


@pytest.mark.parametrize("window", figures.WINDOWS.values())
@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Havana", "Asia/Kathmandu", "Africa/Cairo"]
)
def test_the_last_bar_of_a_window_holds_now(window: figures.Window, name: str) -> None:
    place = zone.zone_of(name)
    for hours in range(0, 24 * 366, 97):
        now = NOW + timedelta(hours=hours, minutes=7)
        edges = window.edges(window.number_at(now, place), place)
        assert len(edges) == window.bars + 1
        assert edges[-2] <= stamp(-60 * hours - 7) < edges[-1]
        assert edges == sorted(edges)
    assert window.bars % window.ticks_every == 0, "ticks are equally far apart"


def test_days_are_local_and_as_long_as_they_are_there() -> None:
    month = figures.WINDOWS["30d"]
    berlin = zone.zone_of("Europe/Berlin")
    edges = month.edges(month.number_at(NOW, berlin), berlin)
    assert edges[-1] == "2026-11-01T23:00:00.000000Z"
    assert "2026-10-24T22:00:00.000000Z" in edges, "the 25th has 25 hours"
    assert "2026-10-25T23:00:00.000000Z" in edges


@pytest.mark.parametrize(
    "name", ["", "nowhere", "../etc/passwd", "Europe", "/etc/localtime", "a" * 99, "\0", "UTC"]
)
def test_what_is_no_zone_is_utc(name: str) -> None:
    assert zone.zone_of(name) is UTC


@pytest.mark.parametrize(("old", "new"), zone.RENAMED.items())
def test_a_zone_is_known_by_its_old_name_where_only_the_new_one_is(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    def only_new(name: str) -> ZoneInfo:
        if name == old:
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)

    monkeypatch.setattr(zone, "ZoneInfo", only_new)
    found = zone.zone_of(old)
    assert str(found) == new
    with suppress(ZoneInfoNotFoundError):  # this machine may have the new ones alone, too
        was = ZoneInfo(old)
        for day in range(0, 365 * 20, 30):
            moment = NOW - timedelta(days=day)
            assert moment.astimezone(found).utcoffset() == moment.astimezone(was).utcoffset()


def test_deliveries_are_in_one_part_each() -> None:
    seconds = sorted([0.2, 1, 1.1, 2, 9, 3600, 3601])
    parts = {part.limit: part.count for part in chart.buckets(seconds)}
    assert parts == {1: 2, 2: 2, 5: 0, 10: 1, 30: 0, 60: 0, 300: 0, 3600: 1, None: 1}
    assert max(part.width for part in chart.buckets(seconds)) == 100
    assert chart.buckets([]) == []


# Headline


def stats(**more: Any) -> dict[str, Any]:
    """The figures of 1,000 messages of which 41 failed, and of 900 before."""
    return {
        "total": 1000,
        "headline": "delivery_rate",
        "delivery_rate": 0.959,
        "delivery_rate_of": 1000,
        "failure_rate": 0.041,
        "failure_rate_of": 1000,
        "failed": 41,
        "final": 1000,
        "without_reports": [],
        "few_reports": [],
        "before": {
            "delivery_rate": 0.95,
            "delivery_rate_of": 900,
            "failure_rate": 0.05,
            "failure_rate_of": 900,
            "without_reports": [],
            "few_reports": [],
        },
        **more,
    }


def test_the_headline_is_the_rate_with_what_it_rests_on() -> None:
    head = headline.headline(stats(), "last hour")
    assert (head.rate, head.name) == ("95.9", "delivered")
    assert head.caption == "delivered, of 1,000 messages with a final status"
    assert head.other == "4.1 % of all 1,000 messages failed or were undelivered."
    assert head.change is not None
    assert head.change.text == "0.9 points more than in the hour before: 95 %"
    assert head.change.is_better


def test_without_reports_the_headline_is_the_failure_rate_and_says_where() -> None:
    told = {"headline": "failure_rate", "delivery_rate": None, "without_reports": ["US"]}
    head = headline.headline(stats(**told), "last hour")
    assert (head.rate, head.caption) == ("4.1", "failed or undelivered: 41 of 1,000 messages")
    assert head.other == (
        "How many were delivered is not known: "
        "no delivery has been reported from the United States."
    )
    assert head.change is not None
    assert (head.change.direction, head.change.is_better) == ("down", True)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"few_reports": ["IN"]}, "most delivery reports from India have not come."),
        (
            {"few_reports": ["IN"], "without_reports": ["US"]},
            "no delivery has been reported from the United States; "
            "most delivery reports from India have not come.",
        ),
        ({}, "no message has reached a carrier."),
    ],
)
def test_why_it_is_not_known_how_many_arrived_is_said(told: dict[str, Any], said: str) -> None:
    unknown = {"headline": "failure_rate", "delivery_rate": None, **told}
    reason = "no message has reached a carrier"
    head = headline.headline(stats(**unknown, delivery_rate_reason=reason), "last hour")
    assert head.other == f"How many were delivered is not known: {said}"


def test_where_few_reports_come_the_delivery_rate_says_so() -> None:
    head = headline.headline(stats(few_reports=["IN"]), "last hour")
    assert head.caption.endswith("with a final status where delivery reports come")
    assert head.other.endswith("were undelivered. Most delivery reports from India have not come.")


def test_where_nothing_is_known_there_is_no_rate() -> None:
    nothing = {"headline": None, "delivery_rate": None, "final": 0}
    assert headline.headline(stats(**nothing), "last hour").rate is None
    assert headline.headline(stats(**nothing, total=0), "last hour").name == "Nothing yet"
    new = stats(before={**stats()["before"], "delivery_rate": None, "delivery_rate_of": 0})
    assert headline.headline(new, "last hour").change is None


@pytest.mark.parametrize("name", ["without_reports", "few_reports"])
def test_delivery_rates_that_rest_on_other_countries_are_not_compared(name: str) -> None:
    """A country that reports no more, and failed, would make the rate of the others better."""
    assert headline.headline(stats(**{name: ["IN"]}), "last hour").change is None
    alike = stats(**{name: ["IN"]}, before={**stats()["before"], name: ["IN"]})
    assert headline.headline(alike, "last hour").change is not None


def test_many_countries_without_reports_are_counted() -> None:
    assert headline.silent_countries(["US"]) == "the United States"
    assert headline.silent_countries(["US", "CA"]) == "the United States and Canada"
    many = headline.silent_countries(["CA", "IN", "NG", "BR", "FR"])
    assert many == "Canada, India, Nigeria and 2 other countries"


def test_an_amount_has_cents_or_all_its_digits() -> None:
    assert [words.dollars(amount) for amount in ("1234.5678", "0.6655", "0.0055", "0")] == [
        "1,234.57",
        "0.67",
        "0.0055",
        "0",
    ]


def test_reasons_and_the_rest_make_all_failures() -> None:
    errors = [{"code": str(n), "reason": "", "count": 10} for n in range(9)]
    rows = figures.failures({"final": 120, "delivered": 20, "top_errors": errors})
    assert len(rows) == figures.TOP_FAILURES + 1
    assert sum(row["count"] for row in rows) == 100
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert figures.failures({"final": 5, "delivered": 5, "top_errors": []}) == []


# Timeline


def test_the_time_between_events_is_by_plivos_clock() -> None:
    steps = timeline.steps(
        [
            event("queued", "", stamp(9), source="send"),
            event("queued", stamp(3), stamp(3)),
            event("delivered", stamp(1), stamp(1)),
        ]
    )
    assert [step.since_last for step in steps] == [None, None, 120]


def test_an_event_that_was_overtaken_is_late() -> None:
    steps = timeline.steps(
        [
            event("queued", stamp(9), stamp(8)),
            event("sent", stamp(7), stamp(2)),
            event("delivered", stamp(6), stamp(5)),
        ]
    )
    assert [step.overtaken_by for step in steps] == ["", "delivered", ""]
    assert [step.on_the_way for step in steps] == [60, 300, 60]


def test_parameters_are_shown_as_they_came() -> None:
    raw = "a=%3Cb%3E&a=2&blank=&Text=one+two"
    step = timeline.steps([event("sent", "", stamp(0), parameters=raw)])[0]
    assert step.parameters == [("a", "<b>"), ("a", "2"), ("blank", ""), ("Text", "one two")]


# Warnings


def test_silence_while_messages_wait_is_told() -> None:
    alarm = alarms.silence_in(Pulse(3, [stamp(15), stamp(14), stamp(13)]), NOW)
    assert alarm is not None
    assert alarm.since == stamp(13)
    assert "3 messages wait" in alarm.advice


@pytest.mark.parametrize(
    "pulse",
    [
        Pulse(0, [stamp(600)]),
        Pulse(3, [stamp(300), stamp(9)]),
        Pulse(3, [stamp(300), stamp(100), stamp(90)]),
    ],
    ids=["nothing waits", "ten minutes are not over", "such pauses are usual"],
)
def test_silence_that_means_nothing_is_not_told(pulse: Pulse) -> None:
    assert alarms.silence_in(pulse, NOW) is None


def test_no_callback_ever_is_told() -> None:
    alarm = alarms.silence_in(Pulse(1, []), NOW)
    assert alarm is not None
    assert alarm.title == "No callback has come yet."


def test_what_readyz_finds_is_told() -> None:
    found = {"ready": False, "reasons": ["store: disk full"], "spooled": 2, "bad": 1}
    titles = [alarm.title for alarm in alarms.of_readiness(found)]
    assert titles == [
        "Not ready: store: disk full.",
        "2 callbacks wait in the spool.",
        "1 callback could not be used.",
    ]


# Filters and the send form


def test_a_number_is_found_by_its_ending_however_it_is_written() -> None:
    for text in ("+1 (415) 555-0123", "14155550123", "0123"):
        asked = listing.read_form({"to": text})
        assert not asked.errors
        assert asked.filters.recipient_ending == "".join(filter(str.isdigit, text))


def test_each_bad_filter_has_its_own_fault() -> None:
    asked = listing.read_form(
        {"to": "123", "from": "\0", "error_code": "\0", "since": "soon", "status": "<x>"}
    )
    assert set(asked.errors) == {"to", "from", "error_code", "since", "status"}


@pytest.mark.parametrize(
    "stored", ["AT&T-Info", "NHS.UK", "Caf\u00e9", "+", "<", "x" * 300, "a%26b", "\u0661\u0662"]
)
def test_whatever_is_stored_can_be_asked_for(stored: str) -> None:
    asked = listing.read_form({"to": stored, "from": stored, "error_code": stored})
    assert not asked.errors
    filters = asked.filters
    assert {filters.recipient, filters.sender, filters.error_code} == {stored}
    assert filters.recipient_ending is None


def test_a_window_that_ends_before_it_begins_is_a_fault_of_since() -> None:
    window = {"since": "2026-11-01T14:31", "until": "2026-11-01T14:30"}
    assert set(listing.read_form(window).errors) == {"since"}
    assert not listing.read_form({**window, "since": window["until"]}).errors


def test_empty_fields_filter_nothing() -> None:
    asked = listing.read_form(dict.fromkeys(FILTERS, " "))
    assert not asked.errors
    assert not asked.query
    assert asked.filters == listing.Filters()


def test_times_are_utc_and_stand_in_the_form_as_it_wants_them() -> None:
    asked = listing.read_form({"since": "2026-11-01T14:30", "until": "2026-11-01T14:30:15+01:00"})
    assert asked.filters.since == "2026-11-01T14:30:00.000000Z"
    assert asked.filters.until == "2026-11-01T13:30:15.000000Z"
    assert asked.typed["since"] == "2026-11-01T14:30"
    assert asked.typed["until"] == "2026-11-01T13:30:15"


def test_times_of_a_local_form_are_local_and_those_of_links_are_utc() -> None:
    typed = {"since": "2026-11-01T14:30", "until": "2026-11-01T14:30Z", "zone": "Europe/Berlin"}
    asked = listing.read_form(typed, zone.zone_of("America/New_York"))
    assert asked.query == {
        "since": "2026-11-01T13:30:00.000000Z",
        "until": "2026-11-01T14:30:00.000000Z",
    }
    assert asked.typed["since"] == "2026-11-01T08:30"
    assert set(listing.read_form({**typed, "since": "soon"}).errors) == {"since"}


@pytest.mark.parametrize("name", ["America/New_York", "Asia/Tokyo", "UTC"])
@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00", "1800-01-01T00:00:00", "9999-12-31T23:59:59"]
)
def test_any_time_can_be_shown_in_the_form_and_sent_from_it(name: str, time: str) -> None:
    place = zone.zone_of(name)
    linked = listing.read_form({"since": f"{time}Z", "until": f"{time}Z"}, place)
    sent = listing.read_form({**linked.typed, "zone": name}, place)
    assert linked.query["since"] == linked.query["until"] == f"{time}.000000Z"
    assert not sent.errors
    assert not listing.read_form({"since": time, "zone": name}).errors


@pytest.mark.parametrize(
    ("since", "until"),
    [("2026-10-25T00:30", "2026-10-25T01:00"), ("2026-10-25T00:00", "2026-10-25T01:30")],
)
def test_a_window_in_the_hour_that_comes_twice_is_the_same_when_the_form_is_sent(
    since: str, until: str
) -> None:
    berlin = zone.zone_of("Europe/Berlin")
    linked = listing.read_form({"since": f"{since}Z", "until": f"{until}Z"}, berlin)
    sent = listing.read_form({**linked.typed, "zone": "Europe/Berlin"}, berlin)
    assert not sent.errors
    assert sent.query == linked.query


@pytest.mark.parametrize(
    ("since", "until", "meant"),
    [
        ("2026-10-25T02:30", "2026-10-25T02:45", ("00:30", "01:45")),  # twice
        ("2026-03-29T02:15", "2026-03-29T02:45", ("00:15", "01:45")),  # never
    ],
)
def test_a_window_of_times_that_come_twice_or_never_leaves_nothing_out(
    since: str, until: str, meant: tuple[str, str]
) -> None:
    asked = listing.read_form({"since": since, "until": until, "zone": "Europe/Berlin"})
    assert not asked.errors
    assert (asked.query["since"][11:16], asked.query["until"][11:16]) == meant


def test_what_people_type_into_the_send_form_is_tidied() -> None:
    typed = {"to": "+1 415 555-0123", "from": " ", "text": "one\r\ntwo"}
    assert send.fields_of(typed) == {"to": "+14155550123", "text": "one\ntwo"}
