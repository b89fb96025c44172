"""A stranger without the token sends as fast as possible."""

from __future__ import annotations

import http.client
import multiprocessing
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ..live import LiveService, wait_until
from ..signed import Plivo
from .conftest import Figure, Promise
from .load import Load, slowest
from .places import is_on_postgres, on_both, on_both_in_full
from .reconcile import look, not_stored
from .tracing import Call, calls, cpu_seconds, strace, worker_pid

_DISK = "openat,open,creat,stat,newfstatat,statx,pwrite64,fsync,fdatasync,rename,unlink,flock"
_SHOWN = 10  # refusals that get a line of their own in each minute
_REFUSED = "refused with 403"


@pytest.fixture
def forger(service: LiveService) -> Plivo:
    """Knows everything but the token."""
    return Plivo(token="not-the-token", base_url=service.plivo.base_url)


@on_both_in_full
def test_a_refused_request_touches_no_disk_and_changes_no_row(
    service: LiveService, forger: Plivo, tmp_path: Path, full: bool, figure: Figure
) -> None:
    """The threads that read requests do nothing with files but write their few log lines."""
    with Load(service.port, forger) as load:
        load.wait_for(300)  # beyond what is loaded once
        options = ("-y", "-e", f"trace={_DISK},recvfrom,write")
        with strace(worker_pid(service), tmp_path / "trace", *options):
            load.wait_for(3000 if full else 300)
    traced = calls(tmp_path / "trace")
    serving = {call.thread for call in traced if call.name == "recvfrom"}
    refused = sum(call.name == "recvfrom" and "POST" in call.arguments for call in traced)
    touching = [call for call in traced if call.thread in serving and _touches(call, service)]
    lines = service.log.read_text().count(_REFUSED)
    figure(
        "forged requests, seen with strace",
        f"{refused:,} refused with 403, calls that touch a file: {len(touching)}",
    )
    assert refused > 200
    assert touching == []
    assert 1 <= lines <= _most_lines(load)
    assert {delivery.status for delivery in load.deliveries} == {403}
    assert look(service, "SELECT count(*) FROM messages") == [(0,)]
    assert look(service, "SELECT count(*) FROM status_events") == [(0,)]
    assert not list(service.spool.rglob("*.json*"))


@on_both
def test_genuine_callbacks_are_answered_200_in_5_seconds_in_the_middle_of_a_flood(
    service: LiveService, forger: Plivo, full: bool, figure: Figure, promise: Promise
) -> None:
    with (
        Load(service.port, forger, keep_alive=False) as flood,
        Load(service.port, service.plivo, clients=1, keep_alive=False, pause=0.02) as genuine,
    ):
        genuine.wait_for(500 if full else 50)
    lines = service.log.read_text().count(_REFUSED)
    seconds = flood.deliveries[-1].ended - flood.deliveries[0].began
    figure(
        "forged flood from 8 clients",
        f"{len(flood.deliveries):,} refused with 403 in {seconds:.1f} s, {lines} log lines; "
        f"{len(genuine.acknowledged)} genuine callbacks answered 200 meanwhile, slowest "
        f"{slowest(genuine.deliveries):.2f} s",
    )
    assert genuine.others == []
    promise(slowest(genuine.deliveries))
    assert not_stored(genuine.acknowledged, service) == []
    assert {delivery.status for delivery in flood.deliveries} == {403}
    assert 1 <= lines <= _most_lines(flood)
    if full:  # the next minute's first line tells how many were left out
        with Load(service.port, forger, clients=1, pause=0.5) as after:
            told = r"; (\d+) more since the last such line"
            wait_until(lambda: re.search(told, service.log.read_text()), 120, "the count is logged")
        count = sum(int(n) for n in re.findall(told, service.log.read_text()))
        assert 0 <= len(flood.deliveries) - _SHOWN - count + len(after.deliveries) < 200


@pytest.mark.slow
@on_both
def test_a_refused_request_costs_less_cpu_than_an_accepted_one(
    service: LiveService, forger: Plivo, figure: Figure
) -> None:
    requests = 10_000
    worker = worker_pid(service)
    cost: dict[str, float] = {}
    for name, sender in (("warm", service.plivo), ("accepted", service.plivo), ("refused", forger)):
        before = cpu_seconds(worker)
        with Load(service.port, sender) as load:
            load.wait_for(200 if name == "warm" else requests)
        cost[name] = (cpu_seconds(worker) - before) / len(load.deliveries)
    figure(
        f"CPU of a refused request beside an accepted one, {requests:,} each",
        f"{cost['refused'] * 1e6:.0f} µs and {cost['accepted'] * 1e6:.0f} µs, ratio "
        f"{cost['refused'] / cost['accepted']:.2f}",
    )
    assert cost["refused"] < cost["accepted"]


def _touches(call: Call, service: LiveService) -> bool:
    """Does this call touch a file? The log's lines are counted apart.

    Other traced writes go to a pipe, by which the main loop is woken.
    """
    target = call.arguments.partition(",")[0]
    if call.name == "write":
        return "</" in target and str(service.log) not in target
    return call.name in _DISK.split(",")


def _most_lines(load: Load) -> int:
    """How many refusals may have a line: a minute begins with the first one in it."""
    seconds = max(d.ended for d in load.deliveries) - min(d.began for d in load.deliveries)
    return _SHOWN * (1 + int(seconds // 60))


@pytest.mark.slow
@on_both
def test_a_flood_of_questions_that_anybody_may_ask_leaves_callbacks_fast(
    service: LiveService, figure: Figure, promise: Promise
) -> None:
    """/metrics, /readyz and /openapi.json over 1,000,000 messages."""
    _fill(service)
    wait_until(lambda: b'status="sent"} 1000' in service.get("/metrics")[1], 300, "counted")
    asked = {path: _cost(service, path) for path in ("/metrics", "/readyz", "/openapi.json")}
    # In a process of its own, or its threads would hold up the client that is measured.
    flood = multiprocessing.get_context("spawn").Process(
        target=_flood, args=(service.port, tuple(asked)), daemon=True
    )
    flood.start()
    with Load(service.port, service.plivo, clients=1, pause=0.02) as genuine:
        genuine.wait_for(500, 300)
    flood.kill()
    flood.join(60)
    seconds = sorted(delivery.seconds for delivery in genuine.deliveries)
    p99 = seconds[int(len(seconds) * 0.99)]
    costs = ", ".join(f"{path} {cost * 1000:.1f} ms" for path, cost in asked.items())
    figure(
        "anonymous flood from 48 clients, 1,000,000 messages",
        f"CPU of one request: {costs}; genuine callbacks' p99 {p99 * 1000:.0f} ms",
    )
    assert genuine.others == []
    for cost in asked.values():
        promise(cost, 0.002)
    promise(p99, 0.1)


def _fill(service: LiveService) -> None:
    """1,000,000 messages, by SQL."""
    if is_on_postgres(service):
        look(
            service,
            """INSERT INTO messages (
                   message_uuid, initial_status, current_status, status_timestamp, created_at,
                   updated_at, first_status_timestamp, is_final, sequence, first_sequence, rank,
                   first_rank, digest, first_digest)
               SELECT lpad(i::text, 32, '0'), 'sent', 'sent', '-infinity', '2026-01-01',
                   '2026-01-01', '-infinity', false, 0, 0, 2, 2, '', ''
               FROM generate_series(1, 1000000) AS i""",
        )
        return
    with closing(sqlite3.connect(service.database, timeout=60)) as connection:
        connection.execute(
            """INSERT INTO messages (message_uuid, initial_status, current_status, status_timestamp,
                   created_at, updated_at, is_final, sequence, rank, digest)
               WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
               SELECT printf('%032d', i), 'sent', 'sent', '', '2026-01-01', '2026-01-01', 0, 0, 2,
                   x'00' FROM n"""
        )
        connection.commit()


def _cost(service: LiveService, path: str) -> float:
    """CPU seconds of the worker for one request."""
    worker, requests = worker_pid(service), 500
    before = cpu_seconds(worker)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    with closing(connection):
        for _ in range(requests):
            connection.request("GET", path)
            connection.getresponse().read()
    return (cpu_seconds(worker) - before) / requests


def _flood(port: int, paths: tuple[str, ...]) -> None:
    """16 clients for each path, until the process is killed."""
    clients = [threading.Thread(target=_keep_asking, args=(port, p)) for p in paths * 16]
    for client in clients:
        client.start()


def _keep_asking(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        connection.request("GET", path)
        connection.getresponse().read()
