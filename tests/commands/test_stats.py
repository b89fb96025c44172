"""`stats`: the figures of GET /stats in a terminal."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from smsstatus.store.sqlite import counting

from ..clock import HandClock
from ..conftest import Receive
from ..live import API_TOKEN
from .conftest import Run

DAY = "2026-11-01"
TOKEN = {"Authorization": f"Bearer {API_TOKEN}"}


def test_it_shows_counts_rates_times_and_errors(run: Run, receive: Receive) -> None:
    for seconds in (1, 3):
        times = {"QueuedTime": f"{DAY} 00:00:00", "DeliveryReportTime": f"{DAY} 00:00:0{seconds}"}
        receive("delivered", **times)
    receive("failed", ErrorCode="30")
    shown = [line.split() for line in run("stats").stdout.splitlines()]
    for line in (
        ["messages", "3"],
        ["delivered", "2"],
        ["failed", "1"],
        ["final", "3"],
        ["delivery", "rate", "66.7", "%", "of", "3"],
        ["failure", "rate", "33.3", "%", "of", "3"],
        ["seconds", "to", "deliver,", "median", "1.0"],
        ["seconds", "to", "deliver,", "95th", "percentile", "3.0"],
        ["30", "Spam", "detected", "permanent", "1"],
    ):
        assert line in shown


def test_times_of_a_sample_say_that_they_are_of_one(
    run: Run, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DELIVERIES_TIMED", "SAMPLE", "PARTS"):
        monkeypatch.setattr(counting, name, 1)
    for _ in range(2):
        receive(
            "delivered",
            QueuedTime=f"{DAY} 00:00:00",
            DeliveryReportTime=f"{DAY} 00:00:03",
            MCC="404",
        )
    lines = run("stats").stdout.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines if line.startswith("seconds")] == [
        "3.0 of a sample of 1"
    ] * 2
    assert "3.0 of a sample of 1" in run("stats", "--by", "country").stdout


def test_nothing_sent_is_no_rate_and_no_table_of_errors(run: Run) -> None:
    lines = run("stats").stdout.splitlines()
    assert "delivery rate" in lines
    assert "" not in lines


def test_json_is_what_the_api_answers(
    run: Run, receive: Receive, client: FlaskClient, clock: HandClock
) -> None:
    receive("delivered")
    asked = ["--since", "2020-01-01", "--until", "2099-01-01"]
    answer = client.get("/stats?since=2020-01-01&until=2099-01-01", headers=TOKEN).get_json()
    assert answer["total"] == 1
    assert json.loads(run("stats", *asked, "--json").stdout) == answer
    assert json.loads(run("stats", "--json").stdout)["until"] == f"{clock.now():%FT%T.%f}Z"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--since", "yesterday"], "--since must be 2h, 3d or ISO 8601"),
        (["--until", ""], "--until must be 2h, 3d or ISO 8601"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "exchange the two"),
    ],
)
def test_a_window_that_is_none_is_refused(run: Run, options: list[str], text: str) -> None:
    result = run("stats", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_a_window_can_be_the_last_hours(run: Run, receive: Receive, clock: HandClock) -> None:
    receive("sent")
    clock.turn(3 * 3600)
    assert json.loads(run("stats", "--since", "2h", "--json").stdout)["total"] == 0
    assert json.loads(run("stats", "--since", "4h", "--until", "2h", "--json").stdout)["total"] == 1


def test_by_country_and_status_there_is_a_row_for_each_group(run: Run, receive: Receive) -> None:
    of = {"MCC": "404", "MNC": "01", "TotalAmount": "0.00550"}
    receive("delivered", "one", **of)
    receive("undelivered", "two", **of)
    receive("delivered", "three", MCC="234", MNC="10", Units="", TotalAmount="")
    lines = [line.split() for line in run("stats", "--by", "country,status").stdout.splitlines()]
    assert lines[0][:3] == ["country", "status", "messages"]
    for line in (
        "India undelivered 1 0 % of 1 100 % of 1 0 0.0055",
        "United Kingdom delivered 1 100 % of 1 0 % of 1 0",
    ):
        assert line.split() in lines
    groups = json.loads(run("stats", "--by", "country", "--json").stdout)["groups"]
    amounts = [(group["country"], group["amount"]) for group in groups]
    assert amounts == [("IN", "0.011"), ("GB", None)]


def test_what_is_no_group_is_refused(run: Run) -> None:
    result = run("stats", "--by", "colour")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--by must be one of country, network, sender, error_code, status" in result.stderr
