"""One reading of filters for the API, the pages and the commands."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smsstatus.query import DEFAULT_LIMIT, MAX_LIMIT, Fault, Query

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def one(name: str, text: str) -> Query:
    return Query({name: [text]})


def test_what_is_asked_is_what_the_store_is_asked() -> None:
    query = Query(
        {
            "status": ["Failed", "undelivered"],
            "to": [" 14155550123"],
            "from": ["Shop"],
            "error_code": ["30"],
            "reference": ["order=42"],
            "since": ["2026-11-01"],
            "until": ["2026-11-01T14:30+02:00"],
        }
    )
    filters = query.filters()
    assert query.faults == {}
    assert filters.statuses == ("failed", "undelivered")
    assert (filters.recipient, filters.sender) == ("14155550123", "Shop")
    assert (filters.error_code, filters.reference) == ("30", "order=42")
    assert filters.since == "2026-11-01T00:00:00.000000Z"
    assert filters.until == "2026-11-01T12:30:00.000000Z"


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("status", "<b>", Fault.NO_STATUS),
        ("to", "  ", Fault.NO_TEXT),
        ("from", "", Fault.NO_TEXT),
        ("error_code", "a\0b", Fault.NO_TEXT),
        ("reference", "order", Fault.NO_REFERENCE),
        ("since", "2026-02-30", Fault.NO_TIME),
        ("until", "yesterday", Fault.NO_TIME),
    ],
)
def test_a_filter_that_means_nothing_is_named_with_its_fault(
    name: str, text: str, fault: Fault
) -> None:
    query = one(name, text)
    query.filters()
    assert query.faults == {name: fault}


def test_a_window_that_ends_before_it_begins_is_a_fault() -> None:
    query = Query({"since": ["2026-11-02"], "until": ["2026-11-01"]})
    query.window()
    assert query.faults == {"since": Fault.LATER_THAN_UNTIL}


@pytest.mark.parametrize("text", ["", "0", "-1", str(MAX_LIMIT + 1), "1e2", "\u0661"])
def test_a_limit_is_a_number_within_bounds(text: str) -> None:
    query = one("limit", text)
    query.limit()
    assert query.faults == {"limit": Fault.NO_LIMIT}
    assert one("limit", str(MAX_LIMIT)).limit() == MAX_LIMIT
    assert Query({}).limit() == DEFAULT_LIMIT


def test_a_misspelt_or_repeated_parameter_is_a_fault_and_several_statuses_are_none() -> None:
    query = Query({"staus": ["sent"], "to": ["1", "2"], "status": ["sent", "read"]})
    query.refuse_others("status", "to")
    assert query.faults == {"staus": Fault.UNKNOWN, "to": Fault.REPEATED}


def test_the_window_of_figures_is_a_day_unless_it_is_named() -> None:
    day = ("2026-11-01T12:00:00.000000Z", "2026-11-02T12:00:00.000000Z")
    assert Query({}).stats_window(NOW) == day
    assert one("until", "2026-11-02T12:00").stats_window(datetime(2030, 1, 1, tzinfo=UTC)) == day
    assert one("until", "0001-01-01").stats_window(NOW)[0] == "0001-01-01T00:00:00.000000Z"
