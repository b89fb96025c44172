"""Rates that say no more than is known, and GET /stats?group_by=."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.model import utc_timestamp
from smsstatus.web.current import service_of

from ..conftest import Receive
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
    assert stats["delivery_rate_reason"].startswith("no delivery reports come")
    assert (stats["headline"], stats["failure_rate_of"]) == ("failure_rate", 1000)
    assert (stats["amount"], stats["units"], stats["without_reports"]) == ("5.5", 1000, ["US"])
    page = api.get("/").text
    assert "no delivery reports have come from the United States" in page


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


@pytest.mark.parametrize("query", ["country=India", "network=x", "limit=x"])
def test_what_is_no_country_or_network_is_named(api: FlaskClient, query: str) -> None:
    content = problem(api.get(f"/messages?{query}"), 400)
    assert list(content["errors"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("groups", ["", "colour", "status,status", "status,sender,country"])
def test_what_is_no_group_is_named(api: FlaskClient, groups: str) -> None:
    assert list(problem(api.get(f"/stats?group_by={groups}"), 400)["errors"]) == ["group_by"]
