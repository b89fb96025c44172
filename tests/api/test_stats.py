"""GET /stats: counts, delivery rate, time to deliver, top errors."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from smsstatus.model import utc_timestamp
from smsstatus.notation import percentile

from ..clock import HandClock
from ..conftest import Receive
from ..rows import insert, row
from .conftest import problem

DAY = "2026-11-01"
WINDOW = f"/stats?since={DAY}&until=2026-11-02"


def at(seconds: float) -> str:
    return utc_timestamp(str(datetime.fromisoformat(DAY) + timedelta(seconds=seconds)))


def delivered(number: int, after: float | None, status: str = "delivered") -> dict[str, Any]:
    """A message that was delivered `after` seconds; None: Plivo did not tell when."""
    return row(
        number,
        at(number),
        status,
        queued_at=at(100),
        status_timestamp="" if after is None else at(100 + after),
    )


@pytest.fixture
def a_day(writable: sqlite3.Connection) -> None:
    """Ten messages of the day, counted by hand below, and two beside it."""
    rows = [
        delivered(0, 2.5),
        delivered(1, 4),
        delivered(2, 1),
        delivered(3, None),
        delivered(4, 9, "read"),
        row(5, at(5), "failed", error_code="450"),
        row(6, at(6), "undelivered", error_code="30"),
        row(7, at(7), "undelivered", error_code="30"),
        row(8, at(8), "sent"),
        row(9, at(9), "odd", error_code="77"),
        row(10, "2026-10-31T23:59:59.999999Z", "failed", error_code="450"),
        row(11, "2026-11-02T00:00:00.000000Z", "failed", error_code="450"),
    ]
    insert(writable, rows)


def test_a_day_counted_by_hand(api: FlaskClient, a_day: None) -> None:
    stats = api.get(WINDOW).get_json()
    errors = stats.pop("top_errors")
    assert stats == {
        "since": "2026-11-01T00:00:00.000000Z",
        "until": "2026-11-02T00:00:00.000000Z",
        "total": 10,
        "counts": {"delivered": 4, "failed": 1, "odd": 1, "read": 1, "sent": 1, "undelivered": 2},
        "final": 8,
        "delivered": 5,
        "failed": 3,
        "no_report": 1,
        "headline": "delivery_rate",
        "delivery_rate": 5 / 8,
        "delivery_rate_of": 8,
        "delivery_rate_reason": None,
        "failure_rate": 3 / 10,
        "failure_rate_of": 10,
        "without_reports": [],
        "few_reports": [],
        "units": None,
        "amount": None,
        "currency": "USD",
        "seconds_to_deliver": {"p50": 2.5, "p95": 4.0, "sample": 3},
        "before": {
            "since": "2026-10-31T00:00:00.000000Z",
            "until": "2026-11-01T00:00:00.000000Z",
            "total": 1,
            "delivery_rate": 0.0,
            "delivery_rate_of": 1,
            "failure_rate": 1.0,
            "failure_rate_of": 1,
            "without_reports": [],
            "few_reports": [],
            "amount": None,
        },
        "unusual_failures": [],
    }
    assert [(error["code"], error["count"]) for error in errors] == [
        ("30", 2),
        ("450", 1),
        ("77", 1),
    ]
    assert errors[0]["reason"] == "Spam detected"
    assert (errors[2]["reason"], errors[2]["retry"]) == ("Unknown code", "unknown")
    assert set(errors[0]) == {"code", "reason", "meaning", "retry", "count"}


@pytest.mark.parametrize(
    ("window", "total"),
    [
        (f"since=2026-10-31&until={DAY}T00:00:05", 6),
        (f"until={DAY}", 1),
        (f"until={DAY}T00:00:05", 6),
        (f"since={DAY}T00:00:05&until={DAY}T00:00:06", 1),
        (f"since={DAY}T05:30:05%2B05:30&until={DAY}T00:00:07", 2),
        ("until=0001-01-01", 0),
        (f"since={DAY}&until={DAY}", 0),
        ("until=2026-11-03", 1),
    ],
)
def test_a_window_includes_its_start_and_is_a_day_if_only_its_end_is_told(
    api: FlaskClient, a_day: None, window: str, total: int
) -> None:
    assert api.get(f"/stats?{window}").get_json()["total"] == total


def test_of_nothing_the_rates_are_null(api: FlaskClient, clock: HandClock) -> None:
    stats = api.get("/stats").get_json()
    assert (stats["total"], stats["counts"], stats["final"]) == (0, {}, 0)
    assert (stats["delivery_rate"], stats["top_errors"]) == (None, [])
    assert stats["seconds_to_deliver"] == {"p50": None, "p95": None, "sample": 0}
    assert stats["until"] == utc_timestamp(str(clock.now()))
    assert stats["since"] == utc_timestamp(str(clock.now() - timedelta(hours=24)))


def test_callbacks_of_the_last_day_are_counted(api: FlaskClient, receive: Receive) -> None:
    receive("delivered", QueuedTime=f"{DAY} 00:00:01", DeliveryReportTime=f"{DAY} 00:00:03.25")
    receive("failed", ErrorCode="450")
    receive("sent")
    stats = api.get("/stats").get_json()
    assert stats["counts"] == {"delivered": 1, "failed": 1, "sent": 1}
    assert (stats["final"], stats["delivered"], stats["delivery_rate"]) == (2, 1, 0.5)
    assert stats["seconds_to_deliver"] == {"p50": 2.25, "p95": 2.25, "sample": 1}


@pytest.mark.parametrize(
    ("told", "sample"),
    [
        ([("delivered", 4), ("read", 60)], [4.0]),
        ([("read", 60), ("delivered", 4)], [4.0]),
        ([("delivered", 4), ("read", None)], [4.0]),
        ([("read", 60)], []),
        ([("delivered", None), ("read", 60)], []),
    ],
)
def test_what_was_read_was_delivered_and_counts_by_when_it_was(
    api: FlaskClient, receive: Receive, told: list[tuple[str, float | None]], sample: list[float]
) -> None:
    day = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    for status, after in told:
        times = {"QueuedTime": str(day)}
        if after is not None:
            times["Timestamp"] = str(day + timedelta(seconds=after))
        else:
            times["QueuedTime"] = ""
        receive(status, "a-uuid", **times)
    stats = api.get("/stats").get_json()
    assert stats["seconds_to_deliver"]["sample"] == len(sample)
    assert stats["seconds_to_deliver"]["p50"] == (sample[0] if sample else None)
    assert stats["delivered"] == 1


def test_a_filler_is_no_time_to_deliver(api: FlaskClient, receive: Receive) -> None:
    now = str(datetime.now(UTC).replace(tzinfo=None))
    receive("delivered", QueuedTime="0001-01-01 00:00:00", DeliveryReportTime=now)
    receive("delivered", QueuedTime=now, DeliveryReportTime="2999-01-01 00:00:00", SentTime=now)
    stats = api.get("/stats").get_json()
    assert stats["seconds_to_deliver"] == {"p50": 0.0, "p95": 0.0, "sample": 1}


def test_a_delivery_before_its_queueing_counts_as_no_time(
    api: FlaskClient, writable: sqlite3.Connection
) -> None:
    insert(writable, [delivered(1, -5)])
    assert api.get(WINDOW).get_json()["seconds_to_deliver"]["p50"] == 0


def test_ten_errors_are_on_top_the_most_frequent_first(
    api: FlaskClient, writable: sqlite3.Connection
) -> None:
    codes = [str(code) for code in range(100, 112) for _ in range(code - 99)]
    rows = [row(n, at(n), "failed", error_code=code) for n, code in enumerate(codes)]
    insert(writable, rows)
    errors = api.get(WINDOW).get_json()["top_errors"]
    assert [int(error["code"]) for error in errors] == list(range(111, 101, -1))
    assert [error["count"] for error in errors] == list(range(12, 2, -1))


@pytest.mark.parametrize(
    ("share", "count", "nearest"), [(0.5, 1, 0), (0.5, 5, 2), (0.95, 5, 4), (0.95, 99, 94)]
)
def test_a_percentile_is_a_value_that_was_measured(share: float, count: int, nearest: int) -> None:
    assert percentile([float(value) for value in range(count)], share) == nearest


@pytest.mark.parametrize(
    ("share", "count", "nearest"), [(0.5, 2, 0), (0.5, 4, 1), (0.95, 20, 18), (0.95, 100, 94)]
)
def test_a_percentile_is_of_nearest_rank(share: float, count: int, nearest: int) -> None:
    """The least value that has at least this share of the values at or below it."""
    assert percentile([float(value) for value in range(count)], share) == nearest


@pytest.mark.parametrize(
    "query", ["since=x", "until=", "status=sent", "limit=5", "since=2026-11-01&since=2026-11-01"]
)
def test_a_bad_parameter_is_named(api: FlaskClient, query: str) -> None:
    content = problem(api.get(f"/stats?{query}"), 400)
    assert list(content["errors"]) == [query.partition("=")[0]]
