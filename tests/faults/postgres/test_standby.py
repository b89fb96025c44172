"""Commits wait for a synchronous standby that is dead, as long as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from uuid import uuid4

import pytest

from smsstatus import promise
from smsstatus.store.contract import Outcome, StoreUnavailable
from smsstatus.store.postgres import committer as committing
from smsstatus.store.postgres.committer import Committer
from smsstatus.store.postgres.connection import Link
from smsstatus.store.postgres.schema import apply_schema

from ...live import wait_until
from ...postgres import PostgresServer, ask, postgres_server
from ...store.conftest import PATIENT
from ...store.updates import at, update_of
from .conftest import make_database
from .pooler import pgbouncer

APPLIED = Outcome.APPLIED.value
STANDBY = "synchronous_standby_names"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Whoever writes to it is `sms`, who is told of its own sessions only."""
    with postgres_server("wal_level=replica", "max_wal_senders=1") as server:
        make_database(server)
        yield server


@pytest.fixture(params=["directly", "through a pooler"])
def url(request: pytest.FixtureRequest, server: PostgresServer) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "directly":
            yield server.url("sms", "sms:one")
        else:
            yield stack.enter_context(pgbouncer(server)).url


def test_a_commit_that_waits_for_a_dead_standby_is_the_last_until_it_has_ended(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    committers = [Committer(Link(url, apply_schema, prepares=True)) for _ in range(2)]
    with ExitStack() as stack:
        for committer in committers:
            stack.enter_context(closing(committer))
            assert write(committer) == APPLIED
        configure(server, f"SET {STANDBY} = 'nobody'")
        monkeypatch.setattr(promise, "STATEMENT_SECONDS", 2.5)
        for committer in committers:
            assert "no answer within 2.5 s" in write(committer)
        monkeypatch.setattr(promise, "STATEMENT_SECONDS", PATIENT)
        said = [write(committer) for committer in committers * 2]
        assert waiting(server) == len(committers)
        assert [f"take it out of {STANDBY}" in each for each in said] == [True] * 4
        configure(server, f"RESET {STANDBY}")
        wait_until(lambda: waiting(server) == 0, what="the server lets them go")
        assert [write(committer) for committer in committers] == [APPLIED, APPLIED]
        monkeypatch.setattr(committing, "_WAITING", b"asked no more")
        assert [write(committer) for committer in committers] == [APPLIED, APPLIED]


def write(committer: Committer) -> str:
    """What came of it."""
    try:
        (outcome,) = committer.commit([update_of(at("sent", MessageUUID=str(uuid4())))])
    except StoreUnavailable as error:
        return str(error)
    return str(outcome.value)


def configure(server: PostgresServer, setting: str) -> None:
    with server.connect() as connection:
        connection.execute(f"ALTER SYSTEM {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")
    shown = "nobody" if setting.startswith("SET") else ""
    wait_until(lambda: server.ask(f"SHOW {STANDBY}") == [(shown,)], what="it is the server's")


def waiting(server: PostgresServer) -> int:
    """Sessions whose commit waits for the standby."""
    ((count,),) = ask(
        server.url(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    )
    return int(count)
