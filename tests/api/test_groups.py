"""Rates that say no more than is known, and GET /stats?group_by=."""

from __future__ import annotations

import random
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus import promise
from smsstatus.figures.window import LEARN_SECONDS
from smsstatus.model import utc_timestamp
from smsstatus.store.contract import PARTS, StoreUnavailable, Tally
from smsstatus.store.sqlite import counting
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Receive
from ..rows import insert, row
from ..store.conftest import write
from ..store.updates import update_of
from .conftest import problem


def test_without_reports_there_is_no_delivery_rate_and_the_page_says_why(
    app: Flask, api: FlaskClient
) -> None:
    told = {"To": "14155550123", "MNC": "260", "Units": "1", "TotalAmount": "0.00550"}
    write(
        service_of(app).store,
        [
            update_of(
                {
                    **told,
                    "MessageUUID": f"m-{number}",
                    "Status": "failed" if number < 41 else "sent",
                    "MCC": ("310", "311")[number % 2],
                },
                utc_timestamp(str(datetime.now(UTC))),
            )
            for number in range(1000)
        ],
    )
    stats = api.get("/stats").get_json()
    assert stats["counts"] == {"failed": 41, "sent": 959}
    assert (stats["delivery_rate"], stats["failure_rate"]) == (None, 0.041)
    assert stats["delivery_rate_reason"].startswith("no delivery has been reported yet")
    assert (stats["headline"], stats["failure_rate_of"]) == ("failure_rate", 1000)
    assert (stats["amount"], stats["units"], stats["without_reports"]) == ("5.5", 1000, ["US"])
    page = api.get("/").text
    assert "no delivery has been reported from the United States" in page


HOUR = timedelta(hours=1)


def write_lives(app: Flask, country: str, ago: timedelta, **lives: int) -> None:
    """So many messages that ended with each status, first seen so long ago."""
    seen = datetime.now(UTC) - ago
    for status, count in lives.items():
        fields = {
            "MCC": {"US": "310", "IN": "404", "DE": "262"}[country],
            "Status": status,
            "QueuedTime": f"{seen - timedelta(seconds=2):%F %T}",
            "Timestamp": f"{seen:%F %T}",
        }
        write(
            service_of(app).store,
            [
                update_of(
                    {**fields, "MessageUUID": f"{country}-{ago // HOUR}-{status}-{number}"},
                    utc_timestamp(str(seen)),
                )
                for number in range(count)
            ],
        )


def test_a_country_whose_reports_came_lately_is_not_said_to_send_none(
    app: Flask, api: FlaskClient
) -> None:
    write_lives(app, "DE", 50 * HOUR, delivered=20)
    write_lives(app, "DE", 0 * HOUR, sent=7, failed=3)
    stats = api.get("/stats").get_json()
    assert (stats["without_reports"], stats["few_reports"]) == ([], [])
    assert (stats["delivery_rate"], stats["delivery_rate_of"]) == (0.0, 3)


@pytest.mark.parametrize("hours_ago", [0, 50])
def test_a_few_reports_do_not_make_a_country_one_from_which_they_come(
    app: Flask, api: FlaskClient, hours_ago: int
) -> None:
    """Such as those of `simulate`, before or among messages that were sent just now."""
    write_lives(app, "US", hours_ago * HOUR, delivered=5)
    assert api.get("/stats").status_code == 200  # what was learned now is kept for ten minutes
    write_lives(app, "US", 0 * HOUR, sent=96, failed=4)
    stats = api.get("/stats").get_json()
    assert (stats["delivery_rate"], stats["headline"]) == (None, "failure_rate")
    assert stats["failure_rate"] == pytest.approx(4 / (100 if hours_ago else 105))
    reason = "no delivery has been reported" if hours_ago else "most delivery reports"
    assert stats["delivery_rate_reason"].startswith(reason)
    assert ("without_reports" if hours_ago else "few_reports", ["US"]) in stats.items()


def test_where_nothing_was_ever_delivered_many_undelivered_make_no_rate_of_0(
    app: Flask, api: FlaskClient
) -> None:
    """Whether what is sent arrives is as little known as before."""
    write_lives(app, "US", 50 * HOUR, sent=30, undelivered=2)
    assert api.get("/stats").status_code == 200
    write_lives(app, "US", 0 * HOUR, sent=4, undelivered=6)
    for query in ("", "?since=2020-01-01"):
        stats = api.get(f"/stats{query}").get_json()
        assert (stats["delivery_rate"], stats["delivery_rate_of"]) == (None, 0)
        assert (stats["headline"], stats["without_reports"]) == ("failure_rate", ["US"])
        assert (stats["few_reports"], stats["failed"]) == ([], 8 if query else 6)
    assert "no delivery has been reported from the United States" in api.get("/").text


@pytest.mark.parametrize("hours_ago", [0, 50])
@pytest.mark.parametrize("sent", [0, 4])
def test_a_few_deliveries_do_not_prove_it_of_what_is_undelivered(
    app: Flask, api: FlaskClient, sent: int, hours_ago: int
) -> None:
    write_lives(app, "US", 50 * HOUR, sent=30)
    write_lives(app, "US", hours_ago * HOUR, delivered=3)
    write_lives(app, "US", 0 * HOUR, sent=sent, undelivered=6)
    assert api.get("/stats").get_json()["delivery_rate"] is None


def test_what_came_before_any_was_sent_does_not_prove_it_of_those(
    app: Flask, api: FlaskClient
) -> None:
    write_lives(app, "US", 50 * HOUR, undelivered=9)
    assert api.get("/stats").status_code == 200
    write_lives(app, "US", 0 * HOUR, sent=4, failed=1)
    assert api.get("/stats").get_json()["delivery_rate"] is None


@pytest.mark.parametrize("sent_before", [0, 30])
def test_where_all_are_undelivered_0_per_cent_were_delivered_unless_what_was_sent_has_no_reports(
    app: Flask, api: FlaskClient, sent_before: int
) -> None:
    write_lives(app, "US", 50 * HOUR, sent=sent_before)
    write_lives(app, "US", 0 * HOUR, undelivered=6)
    stats = api.get("/stats").get_json()
    rate, of, headline, silent = (
        (None, 0, "failure_rate", ["US"]) if sent_before else (0.0, 6, "delivery_rate", [])
    )
    assert (stats["delivery_rate"], stats["delivery_rate_of"]) == (rate, of)
    assert (stats["headline"], stats["without_reports"]) == (headline, silent)
    assert stats["failure_rate"] == 1.0


def test_how_long_reports_of_a_rare_country_take_is_known_among_many_others(
    app: Flask, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "DELIVERIES_TIMED", 0)  # as where there are millions,
    monkeypatch.setattr(counting, "SAMPLE", PARTS)  # of which few are timed
    write_lives(app, "IN", 50 * HOUR, delivered=100)
    seen = datetime.now(UTC) - 48 * HOUR
    for status, time in (("sent", seen), ("delivered", seen + 3 * HOUR)):
        fields = {
            "MessageUUID": "slow",
            "MCC": "262",
            "Status": status,
            "Timestamp": f"{time:%F %T}",
        }
        write(service_of(app).store, [update_of(fields, utc_timestamp(str(time)))])
    write_lives(app, "IN", 20 * HOUR, delivered=500)
    write_lives(app, "DE", 2 * HOUR, sent=2)
    (group,) = [
        group
        for group in api.get("/stats?group_by=country").get_json()["groups"]
        if group["country"] == "DE"
    ]
    assert (group["total"], group["no_report"]) == (2, 0)


def refuse_weeks(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Days can be counted, weeks cannot; when those began that were asked for."""
    store = service_of(app).store
    asked: list[str] = []

    def too_slow(edges: Sequence[str], *more: Any) -> Sequence[Sequence[Tally]]:
        if datetime.fromisoformat(edges[-1]) - datetime.fromisoformat(edges[0]) < 9 * 24 * HOUR:
            return counted(edges, *more)
        asked.append(edges[0])
        raise StoreUnavailable("no answer within 10 s")

    counted = store.tallies
    monkeypatch.setattr(store, "tallies", too_slow)
    return asked


def test_an_hour_has_figures_where_the_last_weeks_cannot_be_read(
    app: Flask, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before they are summed up. Of a message that was delivered nobody has to know more."""
    write_lives(app, "DE", 0 * HOUR, delivered=3)
    asked = refuse_weeks(app, monkeypatch)
    assert api.get("/ui/messages/DE-0-delivered-0").status_code == 200
    assert not asked
    for _ in range(2):
        assert api.get("/stats").get_json()["delivery_rate"] == 1.0
    assert len(asked) == 1, "that weeks cannot be read is kept in mind for a while"


def write_half_heard(app: Flask) -> None:
    """Weeks say that reports come from India, of the last hour most are missing."""
    write_lives(app, "IN", 50 * HOUR, delivered=20)
    write_lives(app, "IN", 0 * HOUR, delivered=4, sent=6)


def test_an_answer_that_had_no_time_to_learn_says_nothing_wrong_and_nor_does_the_next(
    app: Flask, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_half_heard(app)
    with monkeypatch.context() as slow:
        refuse_weeks(app, slow)
        slow.setattr(promise, "READ_SECONDS", 0.0)
        problem(api.get("/stats"), 503)
        assert api.get("/ui/messages/IN-0-sent-0").status_code == 200
    stats = api.get("/stats").get_json()
    assert (stats["few_reports"], stats["headline"]) == ([], "delivery_rate")


def test_what_was_learned_is_kept_where_it_cannot_be_learned_again(
    app: Flask, api: FlaskClient, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_half_heard(app)
    assert api.get("/stats").status_code == 200
    refuse_weeks(app, monkeypatch)
    monkeypatch.setattr(promise, "READ_SECONDS", 0.0)
    clock.turn(LEARN_SECONDS)
    for path in ("/stats", "/stats?group_by=country"):
        figures = api.get(path).get_json()
        (figures,) = figures.get("groups", [figures])
        assert figures["delivery_rate"] == 1.0


def test_where_most_reports_are_missing_it_is_not_said_that_none_came(
    app: Flask, api: FlaskClient
) -> None:
    write_lives(app, "IN", 5 * HOUR, delivered=4, sent=6)
    stats = api.get("/stats").get_json()
    assert (stats["without_reports"], stats["few_reports"]) == ([], ["IN"])
    assert stats["delivery_rate"] is None
    assert stats["delivery_rate_reason"].startswith("most delivery reports")
    assert "most delivery reports from India have not come" in api.get("/").text
    (delivered, sent) = api.get("/stats?group_by=status").get_json()["groups"][::-1]
    assert {delivered["delivery_rate_reason"], sent["delivery_rate_reason"]} == {
        "most delivery reports from the countries of these messages have not come"
    }


def test_what_failed_before_a_carrier_says_nothing_of_reports(app: Flask, api: FlaskClient) -> None:
    write_lives(app, "US", 0 * HOUR, failed=3)
    stats = api.get("/stats").get_json()
    assert (stats["delivery_rate"], stats["without_reports"]) == (None, [])
    assert stats["delivery_rate_reason"] == "no message has reached a carrier"


def test_a_message_without_a_report_is_not_said_to_wait_for_one(
    app: Flask, api: FlaskClient
) -> None:
    write_lives(app, "US", 5 * HOUR, sent=1)
    write_lives(app, "US", 0 * HOUR, sent=1)

    def said(ago: timedelta) -> str:
        return api.get(f"/ui/messages/US-{ago // HOUR}-sent-0").text

    assert "none is to be expected any more" in said(5 * HOUR)
    assert "more may come" not in said(5 * HOUR)
    assert "more may come" in said(0 * HOUR)


def test_groups_are_what_a_recount_finds(api: FlaskClient, receive: Receive) -> None:
    chance = random.Random(18)
    counted, amounts = Counter[tuple[str, str]](), Counter[str]()
    for number in range(120):
        mcc, country = chance.choice([("310", "US"), ("404", "IN"), ("234", "GB")])
        status = chance.choice(["sent", "delivered", "undelivered", "failed"])
        amount = chance.choice(["0.00550", "0.1", "12"])
        receive(status, f"m-{number}", MCC=mcc, MNC="01", Units="2", TotalAmount=amount)
        counted[country, status] += 1
        amounts[country] += int(Decimal(amount) * 1_000_000)
    groups = api.get("/stats?group_by=country").get_json()["groups"]
    assert {
        (group["country"], status): count
        for group in groups
        for status, count in group["counts"].items()
    } == counted
    assert {g["country"]: Decimal(g["amount"]) * 1_000_000 for g in groups} == amounts
    pairs = api.get("/stats?group_by=country,status").get_json()["groups"]
    assert {(g["country"], g["status"]): g["total"] for g in pairs} == counted


def test_cost_is_nothing_where_none_was_told_and_0_where_that_was(
    api: FlaskClient, receive: Receive
) -> None:
    receive("queued", "us", MCC="310", Units="", TotalAmount="")
    receive("failed", "in", MCC="404", Units="2", TotalAmount="0.00000")
    receive("sent", "gb", MCC="234", Units="1", TotalAmount="0.04")
    receive("sent", "gb-untold", MCC="234", Units="", TotalAmount="")
    store = service_of(api.application).store
    for _ in range(2):
        groups = api.get("/stats?group_by=country").get_json()["groups"]
        told = {group["country"]: (group["units"], group["amount"]) for group in groups}
        assert told == {"US": (None, None), "IN": (2, "0"), "GB": (1, "0.04")}
        while store.sum_up_some("2999-01-01T00:00:00.000000Z"):
            pass
    stats = api.get("/stats").get_json()
    assert (stats["units"], stats["amount"], stats["before"]["amount"]) == (3, "0.04", "0")
    cost = {
        country: re.sub("<[^>]*>", "", cells.split("<td>")[-1]).strip()
        for country, cells in re.findall(
            r'<tr data-key="([A-Z]{2})">(.*?)</tr>', api.get("/").text, re.DOTALL
        )
    }
    assert cost == {"US": "\u2013", "IN": "0", "GB": "0.04"}


def test_what_was_summed_up_changes_with_its_messages(api: FlaskClient, receive: Receive) -> None:
    receive("sent", "one", MCC="404", MNC="01", TotalAmount="1")
    store = service_of(api.application).store
    while store.sum_up_some("2999-01-01T00:00:00.000000Z"):
        pass
    (before,) = api.get("/stats?group_by=country").get_json()["groups"]
    receive("delivered", "one", MCC="404", MNC="01", TotalAmount="2")
    (after,) = api.get("/stats?group_by=country").get_json()["groups"]
    assert (before["counts"], before["amount"]) == ({"sent": 1}, "1")
    assert (after["counts"], after["amount"]) == ({"delivered": 1}, "2")


def test_a_country_and_a_network_are_filters(api: FlaskClient, receive: Receive) -> None:
    receive("sent", "one", MCC="404", MNC="01")
    receive("sent", "two", MCC="404", MNC="02")
    receive("sent", "three", MCC="234", MNC="10")

    def found(query: str) -> set[str]:
        messages = api.get(f"/messages?{query}").get_json()["messages"]
        return {message["message_uuid"] for message in messages}

    assert found("country=in") == {"one", "two"}
    assert found("network=404-02&status=sent") == {"two"}
    assert found("country=IN&network=234-10") == set()


def test_messages_without_a_country_are_found_as_such(api: FlaskClient, receive: Receive) -> None:
    receive("sent", "known", MCC="404", MNC="01")
    receive("sent", "unknown", MCC="", To="ACME")
    listed = api.get("/messages?country=none").get_json()["messages"]
    assert [(m["message_uuid"], m["country"]) for m in listed] == [("unknown", None)]
    written = api.get("/messages?country=none", headers={"Accept": "text/csv"}).text
    assert [line.split(",")[0] for line in written.splitlines()[1:]] == ["unknown"]
    told = problem(api.get("/messages?country=nowhere"), 400)
    assert told["errors"]["country"].endswith("for example US, or none")


def test_a_message_whose_country_is_yet_to_be_read_is_not_among_those_without_one(
    api: FlaskClient, receive: Receive, writable: sqlite3.Connection
) -> None:
    insert(writable, [row(1, "2026-11-01T00:00:00.000000Z", sender_number="rare")])
    for number in range(2):
        receive("sent", f"m-{number}", MCC="", To="ACME")
    for query, count in (("", 2), ("&from=rare", 0)):  # along its index, and the sender's
        assert len(api.get(f"/messages?country=none{query}").get_json()["messages"]) == count


@pytest.mark.parametrize("query", ["country=India", "network=x", "limit=x"])
def test_what_is_no_country_or_network_is_named(api: FlaskClient, query: str) -> None:
    content = problem(api.get(f"/messages?{query}"), 400)
    assert list(content["errors"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("groups", ["", "colour", "status,status", "status,sender,country"])
def test_what_is_no_group_is_named(api: FlaskClient, groups: str) -> None:
    assert list(problem(api.get(f"/stats?group_by={groups}"), 400)["errors"]) == ["group_by"]
