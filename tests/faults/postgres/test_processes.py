"""Several processes of ours on one database: killed, racing, behind a pooler, after a failover."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path

import pytest

from ...live import ROOT, LiveService, wait_until
from ...postgres import PostgresServer, ask, backends, new_database, server_folder
from ..conftest import Figure, Promise
from ..load import Delivery, Load, SharedLoad, slowest
from ..places import stored
from ..reconcile import gather, is_ready, spooled_bodies, wait_until_ready
from .conftest import PROCESSES, Target, running, service_of
from .kept import missing, record_alone, rows, wrong
from .pooler import pgbouncer

STARTING = 6


@pytest.mark.timeout(600)
def test_nothing_answered_200_is_lost_when_all_our_processes_are_killed_under_load(
    target: Target, full: bool, figure: Figure
) -> None:
    rounds = 10 if full else 2
    moments = random.Random(1)
    sent: list[Delivery] = []
    service = target.service
    for _ in range(rounds):
        with Load(service.port, service.plivo) as load:
            load.wait_for(50)
            load.go_on(moments.uniform(0.0, 0.5))
            service.kill()
        sent += load.deliveries
        service.start()
    lost = missing(sent, service, target.url)
    acknowledged = sum(delivery.status == 200 for delivery in sent)
    figure(
        "PostgreSQL: kill -9 of our process groups under load from 8 clients",
        f"{rounds} rounds, {acknowledged:,} answered 200, missing: {len(lost)}",
    )
    assert lost == []
    assert {delivery.status for delivery in sent} <= {200, None}


def test_two_services_that_are_told_of_the_same_messages_at_once_deadlock_never(
    target: Target, tmp_path: Path, full: bool, figure: Figure, promise: Promise
) -> None:
    """Each batch has messages that others have too; the rows are those of one process.

    On a machine with nothing else to do, no callback has to be spooled.
    """
    with ExitStack() as stack:
        url = stack.enter_context(new_database(target.server.url()))
        services: list[LiveService] = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            address = {"BASE_URL": services[0].plivo.base_url} if services else {}
            services.append(service_of(tmp_path / name, url, address))
            stack.callback(services[-1].kill)
            services[-1].start()
        ports = [service.port for service in services]
        with SharedLoad(ports, services[0].plivo, clients=64) as load:
            began = time.monotonic()
            load.wait_for(3000)
            load.go_on(began + 60 - time.monotonic() if full else 0)
            seconds = time.monotonic() - began
        spooled = sum(len(spooled_bodies(service.spool)) for service in services)
        for service in services:
            gather(service)
        for service in services:
            service.kill()
        wait_until(lambda: backends(url) == 0, what="the server has counted all that they did")
        ((deadlocks,),) = ask(
            url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        alone = stack.enter_context(new_database(target.server.url()))
        record_alone(load.deliveries, alone)
        different = [
            mine
            for ours, theirs in zip(rows(url), rows(alone), strict=True)
            for mine, other in zip_longest(ours, theirs)
            if mine != other
        ]
        spoken = "".join([service.log.read_text() for service in services])
    figure(
        f"PostgreSQL: 2 services, 4 processes, the same messages at once for {seconds:.0f} s",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"deadlocks: {deadlocks}, rows that differ from one process's: {len(different)}",
    )
    assert load.others == []
    assert (deadlocks, different) == (0, [])
    assert not full or (spooled, "the spool" in spoken) == (0, False)
    promise(slowest(load.deliveries))


def test_processes_that_start_at_once_on_an_empty_database_all_write_without_an_error(
    postgres_server_url: str, full: bool, figure: Figure
) -> None:
    rounds = 20 if full else 3
    errors: list[str] = []
    with _newcomers(STARTING) as newcomers:
        for _ in range(rounds):
            with new_database(postgres_server_url) as url:
                for newcomer in newcomers:
                    assert newcomer.stdin is not None
                    newcomer.stdin.write(f"{url}\n")
                    newcomer.stdin.flush()
                for newcomer in newcomers:
                    assert newcomer.stdout is not None
                    errors += [
                        said for said in [newcomer.stdout.readline().strip()] if said != "ok"
                    ]
                assert len(stored(url)) == STARTING - len(errors)
    figure(
        f"PostgreSQL: {STARTING} processes starting at once on an empty database",
        f"{rounds} rounds, errors: {len(errors)}",
    )
    assert errors == []


def test_behind_a_pooler_in_transaction_mode_that_restarts_nothing_is_lost(
    target: Target, tmp_path: Path, figure: Figure, promise: Promise
) -> None:
    with pgbouncer(target.server) as pooler:
        service = service_of(tmp_path, pooler.url, {})
        try:
            service.start()
            with Load(service.port, service.plivo, pause=0.01) as load:
                for _ in range(2):
                    load.wait_for(200)
                    pooler.stop()
                    load.wait_for(20)
                    pooler.start()
                    wait_until_ready(service)
                load.wait_for(100)
            gather(service)
        finally:
            service.kill()
    lost = missing(load.deliveries, service, target.url)
    log = service.log.read_text()
    figure(
        "PostgreSQL behind PgBouncer in transaction mode, restarted twice under load",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}, 42P05 in the log: {log.count('42P05')}",
    )
    assert (load.others, lost) == ([], [])
    assert "42P05" not in log
    promise(slowest(load.deliveries))


@pytest.mark.slow
def test_a_standby_that_was_promoted_is_written_to_within_5_seconds(
    tmp_path: Path, limits: dict[str, str], figure: Figure, promise: Promise
) -> None:
    """Both hosts stand in the URL, and each commit waits for the standby."""
    with running(tmp_path, limits) as target, _standby(target.server) as standby:
        target.service.kill()
        hosts = f"127.0.0.1:{target.server.port},127.0.0.1:{standby.port}"
        target.service.environment["DATABASE_URL"] = f"postgres://sms:one@{hosts}/sms"
        target.configure("SET synchronous_standby_names = '*'")
        wait_until(lambda: _sync_states(target) == ["sync"], what="commits wait for the standby")
        target.service.start()
        port = target.service.port
        with Load(port, target.service.plivo, pause=0.02, keep_alive=False) as load:
            load.wait_for(200)
            _written(target.service)
            assert _sync_states(target) == ["sync"]
            target.server.stop(signal.SIGQUIT)
            load.wait_for(100)
            standby.ask("SELECT pg_promote()")
            began = time.monotonic()
            while not is_ready(target.service):
                load.go_on(0.02)
            seconds = time.monotonic() - began
            before = _written(target.service)
            wait_until(
                lambda: all(_written(target.service).get(p, 0) > n for p, n in before.items()),
                what="both write again",
            )
        gather(target.service)
        lost = missing(load.deliveries, target.service, standby.url("sms"))
        different = wrong(load.deliveries, standby.url("sms"))
    figure(
        "PostgreSQL: primary stopped, synchronous standby promoted, both in the URL",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}, writing {seconds:.1f} s after the promotion",
    )
    assert (load.others, lost, different) == ([], [], [])
    promise(slowest(load.deliveries))
    promise(seconds)


def _sync_states(target: Target) -> list[str]:
    return [state for (state,) in target.server.ask("SELECT sync_state FROM pg_stat_replication")]


def _written(service: LiveService) -> dict[str, int]:
    """How many callbacks each process has written: one that has is asked sooner or later."""
    found: dict[str, int] = {}

    def are_all_found() -> bool:
        for line in service.get("/metrics")[1].decode().splitlines():
            if line.startswith("smsstatus_callbacks_total") and 'reason="applied"' in line:
                process = line.partition('process="')[2].partition('"')[0]
                found[process] = int(float(line.rpartition(" ")[2]))
        return len(found) == PROCESSES

    wait_until(are_all_found, what="all processes have told")
    return found


@contextmanager
def _standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A running copy that follows."""
    with server_folder() as folder:
        standby = PostgresServer(folder, durable=True)
        source = f"host=127.0.0.1 port={primary.port} user=postgres"
        copy = ["--pgdata", str(standby.data), "--write-recovery-conf", "--checkpoint=fast"]
        standby.run("pg_basebackup", "--dbname", source, *copy)
        try:
            yield standby.start()
        finally:
            standby.stop()


@contextmanager
def _newcomers(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.faults.postgres.newcomer"]
    with ExitStack() as running:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            running.callback(process.communicate, timeout=60)
            running.callback(process.kill)
            processes.append(process)
        yield processes
