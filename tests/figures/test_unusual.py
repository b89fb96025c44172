"""When the failures of an hour are more than usual: the rule, and where it is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import comb

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from smsstatus.figures.last_hour import FRESH_SECONDS, failure_shares
from smsstatus.figures.unusual import DAYS, LEAST, POINTS, UNKNOWN, most, shares, windows
from smsstatus.model import utc_timestamp
from smsstatus.store.contract import Tally
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Receive
from ..live import API_TOKEN
from ..rows import insert, row

LOGIN = ("anyone", API_TOKEN)
MANY = 10**7


def tally(status: str, messages: int, country: str | None = "NG") -> Tally:
    return Tally((), country, status, "", messages, 0, 0)


@st.composite
def history(draw: st.DrawFn) -> tuple[int, int]:
    """How many failed before, of how many."""
    messages = draw(st.integers(0, MANY))
    return draw(st.integers(0, messages)), messages


@given(messages=st.integers(LEAST, MANY), before=history())
def test_what_is_explained_is_above_what_is_usual(messages: int, before: tuple[int, int]) -> None:
    failed, all_before = before
    explained = most(messages, failed, all_before)
    assert explained >= failed / max(all_before, 1) + POINTS - 2 / (all_before + 2)
    if all_before < LEAST:
        assert explained >= UNKNOWN


@given(messages=st.integers(LEAST, MANY), before=history(), more=st.integers(1, MANY))
def test_more_messages_explain_no_greater_share(
    messages: int, before: tuple[int, int], more: int
) -> None:
    assert most(messages + more, *before) <= most(messages, *before)


@given(messages=st.integers(LEAST, MANY), failed=st.integers(0, MANY), before=history())
def test_one_failure_more_is_no_less_unusual(
    messages: int, failed: int, before: tuple[int, int]
) -> None:
    failed = min(failed, messages - 1)
    then = [tally("failed", before[0]), tally("sent", before[1] - before[0])]
    lesser, greater = (
        shares([tally("failed", count), tally("sent", messages - count)], then)[0]
        for count in (failed, failed + 1)
    )
    assert lesser.is_unusual <= greater.is_unusual


@pytest.mark.parametrize("usual", [0.001, 0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95])
@pytest.mark.parametrize("messages", [100, 200, 500, 1000])
def test_chance_alone_is_beyond_in_less_than_one_hour_of_1500(messages: int, usual: float) -> None:
    """Summed exactly: what is the chance that so many fail where nothing has changed?"""
    before = 14 * messages
    explained = most(messages, round(usual * before), before)
    chance = sum(
        comb(messages, failed) * usual**failed * (1 - usual) ** (messages - failed)
        for failed in range(messages + 1)
        if failed / messages > explained
    )
    assert chance < 1 / 1500


def test_twice_the_usual_failures_of_a_thousand_are_unusual() -> None:
    (share, country) = shares(
        [tally("undelivered", 100), tally("delivered", 900)],
        [tally("failed", 700), tally("read", 13_300)],
    )
    assert (share.country, country.country) == (None, "NG")
    assert share.is_unusual
    assert (share.now, share.before) == (0.1, 0.05)


def test_of_few_messages_nothing_is_said() -> None:
    assert shares([tally("failed", LEAST - 1)], []) == []
    (everything,) = shares([tally("failed", 60, "NG"), tally("failed", 60, "US")], [])
    assert everything.country is None


def test_without_a_past_half_of_the_messages_must_fail() -> None:
    half = [tally("failed", 60), tally("sent", 60)]
    assert not shares(half, [])[0].is_unusual
    assert shares([*half, tally("rejected", 1)], [])[0].is_unusual


def test_the_days_before_are_whole_hours_at_the_same_time() -> None:
    (since, until), before = windows(datetime(2026, 11, 8, 12, 20, tzinfo=UTC))
    assert (since, until) == ("2026-11-08T11:20:00.000000Z", "2026-11-08T12:20:00.000000Z")
    assert before[0] == ("2026-11-07T11:00:00.000000Z", "2026-11-07T13:00:00.000000Z")
    assert [window[0][:10] for window in before] == [f"2026-11-0{day}" for day in range(7, 0, -1)]


def test_failures_that_are_unusual_are_told_everywhere(
    client: FlaskClient, clock: HandClock, receive: Receive, writable: sqlite3.Connection
) -> None:
    def at(ago: timedelta) -> str:
        return utc_timestamp(str(clock.now() - ago))

    past = [
        row(1000 * day + number, at(timedelta(days=day, minutes=9)), status)
        for day in range(1, DAYS + 1)
        for number, status in enumerate(["delivered"] * 38 + ["failed"] * 2)
    ]
    insert(writable, past)
    insert(writable, [row(number, at(timedelta(minutes=9))) for number in range(200)])
    assert "messages of the last hour failed" not in client.get("/", auth=LOGIN).text
    assert client.get("/stats", auth=LOGIN).get_json()["unusual_failures"] == []
    for _ in range(100):
        receive("failed", MCC="621", MNC="30")
    clock.turn(FRESH_SECONDS)
    page = client.get("/", auth=LOGIN).text
    assert "33.3 % of the messages of the last hour failed or were undelivered." in page
    assert "100 of 300; usual at this time of day are 5 %, and chance explains up to" in page
    assert "100 % of the messages to Nigeria of the last hour failed or were undelivered." in page
    assert "country=NG" in page
    everything, country = client.get("/stats", auth=LOGIN).get_json()["unusual_failures"]
    assert (everything["country"], everything["failed"], everything["usual"]) == (None, 100, 0.05)
    assert (country["country_name"], country["usual"], country["explained"]) == (
        "Nigeria",
        None,
        UNKNOWN,
    )
    metrics = client.get("/metrics").text
    assert 'smsstatus_failure_share{country="NG"} 1.0' in metrics
    assert 'smsstatus_failure_share_explained{country="NG"} 0.5' in metrics


def test_what_is_usual_is_counted_once_an_hour(
    app: Flask, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(app)
    asked: list[str] = []

    def tallies(edges: Sequence[str], *more: object) -> list[list[Tally]]:
        asked.append(edges[0])
        return [[]]

    monkeypatch.setattr(service.store, "tallies", tallies)
    clock.turn(3600 - clock.now().minute * 60 - clock.now().second)
    for _ in range(3):
        failure_shares(service)
        clock.turn(FRESH_SECONDS)
    assert len(asked) == DAYS + 3
    failure_shares(service)
    clock.turn(3600)
    failure_shares(service)
    assert len(asked) == 2 * DAYS + 5
