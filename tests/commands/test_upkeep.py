"""`upkeep` says what the service does by itself; `simulate` fills a day and takes it out again."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus import create_app
from smsstatus.model import SIMULATED
from smsstatus.settings import Settings
from smsstatus.upkeep.caretaker import beat
from smsstatus.upkeep.timetable import Timetable
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Query, Receive
from ..live import API_TOKEN
from ..plivo_api import Asked, PlivoApi, Reply
from ..rows import insert, row
from .conftest import Run, refused

UUID = "0000abcd-0000-4000-8000-000000000018"
LOGIN = ("any", API_TOKEN)
HERE = {"Origin": "https://sms.example.com"}


def test_what_was_done_is_shown_in_a_shell_on_the_page_and_to_prometheus(
    settings: Settings, standin: object
) -> None:
    app = create_app(replace(settings, reconcile_every=900.0))
    service = service_of(app)
    service.clock = HandClock()
    try:
        beat(service.store, service.clock)
        Timetable(service).look()  # the stand-in lists nothing: it is not understood
        said = app.test_cli_runner().invoke(args=["upkeep"]).stdout
        page = app.test_client().get("/", auth=LOGIN).text
        metrics = app.test_client().get("/metrics").text
        runs = service.store.runs.last()
    finally:
        service.stop()
    assert "Plivo does not know this" in said
    assert said.count("off") == 2
    assert "before the first start" in said
    assert "not yet" in said
    assert "are not all known yet" in page
    assert "Plivo is not asked" not in said + page
    assert "Plivo does not know this" in page
    assert 'smsstatus_upkeep_ok{task="reconcile"} 0\n' in metrics
    (run,) = runs
    assert run.ended_at is not None
    for name, moment in (("last", run.ended_at), ("next", run.next_at)):
        labelled = f'smsstatus_upkeep_{name}_run_timestamp_seconds{{task="reconcile"}} '
        assert f"{labelled}{datetime.fromisoformat(moment).timestamp()}\n" in metrics
    assert "smsstatus_unlisted_outage_seconds 86400.0\n" in metrics


def test_a_run_that_has_begun_does_not_hide_that_the_last_one_failed(
    settings: Settings, standin: PlivoApi
) -> None:
    app = create_app(replace(settings, reconcile_every=900.0))
    service = service_of(app)
    service.clock = HandClock()
    client = app.test_client()
    pages: list[str] = []
    metrics: list[str] = []

    def look_meanwhile(asked: Asked) -> Reply:
        pages.append(client.get("/", auth=LOGIN).text)
        metrics.append(client.get("/metrics").text)
        return Reply(401, {"error": "no"})

    standin.reply = look_meanwhile
    try:
        beat(service.store, service.clock)
        for _ in range(2):
            Timetable(service).look()
            service.clock.turn(900)
        said = client.get("/", auth=LOGIN).text
    finally:
        service.stop()
    first, second = pages
    assert "(at work)" in first
    assert "ot done" not in first
    assert "(at work)" in second
    assert "<strong>Last time not done.</strong>" in second
    ok = [re.findall(r'^smsstatus_upkeep_ok{task="reconcile"} (.)$', m, re.M) for m in metrics]
    assert ok == [["1"], ["0"]]
    assert "<strong>Not done:</strong> 0 listed" in said


def test_what_prune_and_backup_did_is_a_metric(
    settings: Settings, writable: sqlite3.Connection, receive: Receive, tmp_path: Path
) -> None:
    insert(writable, [row(number, "2025-01-01T00:00:00.000000Z") for number in range(3)])
    receive("sent")
    (tmp_path / "copies").mkdir()
    app = create_app(
        replace(
            settings,
            retention=timedelta(days=30).total_seconds(),
            backup_every=timedelta(days=1).total_seconds(),
            backup_dir=tmp_path / "copies",
        )
    )
    service = service_of(app)
    service.clock = HandClock()
    client = app.test_client()
    try:
        before = client.get("/metrics").text
        Timetable(service).look()
        after = client.get("/metrics").text
    finally:
        service.stop()
    assert "smsstatus_pruned_total 0\n" in before
    assert "\nsmsstatus_backup_bytes " not in before
    assert "smsstatus_upkeep_last_run_timestamp_seconds{" not in before
    (copy,) = (tmp_path / "copies").iterdir()
    assert "smsstatus_pruned_total 3\n" in after
    assert f"smsstatus_backup_bytes {copy.stat().st_size}\n" in after


@pytest.mark.parametrize(
    ("auth_id", "cause"),
    [
        (None, "PLIVO_AUTH_ID is not set"),
        ("MA" + "X" * 18, "RECONCILE_EVERY is off, which leaves that to the command reconcile"),
    ],
)
def test_where_nobody_asks_plivo_what_was_missed_it_is_said_and_is_no_alarm(
    settings: Settings, auth_id: str | None, cause: str
) -> None:
    app = create_app(replace(settings, auth_id=auth_id, reconcile_every=None))
    service = service_of(app)
    service.clock = clock = HandClock()
    try:
        beat(service.store, clock)
        clock.turn(3600)
        beat(service.store, clock)
        said = app.test_cli_runner().invoke(args=["upkeep"]).stdout
        page = app.test_client().get("/", auth=LOGIN).text
        metrics = app.test_client().get("/metrics").text
    finally:
        service.stop()
    told = f"Plivo is not asked what was missed: {cause}"
    assert (said.count(told), page.count(told)) == (1, 1)
    assert "Messages may have been sent before the first start" in page
    assert page.count("Down from") == 1
    assert "not yet" not in said
    assert "not all known yet" not in page
    assert "\nsmsstatus_unlisted_outage_seconds " not in metrics


def test_metrics_want_their_token_where_there_is_one(settings: Settings) -> None:
    app = create_app(replace(settings, metrics_token="of-prometheus"))
    client = app.test_client()
    assert client.get("/metrics").status_code == 401
    for token, status in (("of-prometheus", 200), (API_TOKEN, 401)):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/metrics", headers=headers).status_code == status
    service_of(app).stop()


def test_what_becomes_final_is_counted(client: FlaskClient, receive: Receive) -> None:
    times = {"QueuedTime": "2026-11-01 00:00:00", "DeliveryReportTime": "2026-11-01 00:00:03"}
    for status, code in (("delivered", ""), ("failed", "450"), ("failed", 'a"b'), ("sent", "")):
        receive(status, ErrorCode=code, **times)
    text = client.get("/metrics").text
    for line in (
        'smsstatus_final_statuses_total{status="delivered",error_code=""} 1\n',
        'smsstatus_final_statuses_total{status="failed",error_code="450"} 1\n',
        'smsstatus_final_statuses_total{status="failed",error_code="other"} 1\n',
        'smsstatus_delivery_seconds_bucket{le="5.0"} 1\n',
        "smsstatus_delivery_seconds_sum 3.0\n",
    ):
        assert line in text


def test_a_message_that_is_read_counts_as_delivered_and_as_read(
    client: FlaskClient, receive: Receive
) -> None:
    for status in ("delivered", "read", "read"):
        receive(status, UUID)
    text = client.get("/metrics").text
    for status in ("delivered", "read"):
        assert f'smsstatus_final_statuses_total{{status="{status}",error_code=""}} 1\n' in text
    assert "read after delivered is one more" in text


def test_the_page_asks_plivo_about_any_uuid(client: FlaskClient, standin: object) -> None:
    page = client.get(f"/ui/messages/{UUID}", auth=LOGIN)
    assert page.status_code == 404
    assert "Ask Plivo now" in page.text
    asked = client.post(f"/ui/messages/{UUID}", auth=LOGIN, headers=HERE)
    assert asked.status_code == 404
    assert "Plivo does not know this message" in asked.text
    standin.messages[UUID] = {"message_state": "delivered"}  # type: ignore[attr-defined]
    typed = f"/ui/messages/{UUID.upper()}"
    asked = client.post(typed, auth=LOGIN, headers=HERE)
    assert asked.status_code == 303
    assert client.get(urljoin(typed, asked.location), auth=LOGIN).status_code == 200


def test_a_simulated_day_looks_like_one_and_goes_without_a_trace(
    run: Run, receive: Receive, query: Query
) -> None:
    kept = receive("delivered")
    assert "300 messages written" in run("simulate", "--day", "--count", 300).stdout
    counts = {
        row["current_status"]: row["n"]
        for row in query("SELECT current_status, count(*) AS n FROM messages GROUP BY 1")
    }
    assert {"sent", "delivered", "undelivered"} <= counts.keys()
    ((span,),) = [
        tuple(row.values())
        for row in query(
            "SELECT julianday(max(created_at)) - julianday(min(created_at)) FROM messages"
        )
    ]
    assert 0.5 < span < 1.1
    assert query("SELECT DISTINCT query FROM message_references") == [{"query": SIMULATED}]
    assert "300 simulated messages removed" in run("simulate", "--forget").stdout
    assert [row["message_uuid"] for row in query("SELECT * FROM messages")] == [kept]
    assert query("SELECT * FROM reference_pairs") == []


def test_a_day_is_not_sent_to_the_receiver(settings: Settings) -> None:
    app: Flask = create_app(
        replace(settings, forward_url="http://127.0.0.1:9/", forward_secrets=(b"x",))
    )
    result = app.test_cli_runner().invoke(args=["simulate", "--day"])
    service_of(app).stop()
    assert "FORWARD_URL is set" in refused(result)


def test_a_day_and_its_end_do_not_go_together(run: Run) -> None:
    for options in (
        ["--day", "--forget"],
        ["--day", "--url", "http://127.0.0.1"],
        ["--forget", "--count", 2],
    ):
        assert run("simulate", *options).exit_code == 2
