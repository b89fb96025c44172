"""A host's name stands for one address or several, and not always for the same ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import cast

import psycopg
import pytest

from smsstatus import promise
from smsstatus.store.postgres import attempts
from smsstatus.store.postgres.connection import Connection, Link, connect
from smsstatus.store.postgres.store import PostgresStore

from ..live import wait_until
from ..postgres import PostgresServer, ask, postgres_server, server_folder

PRIMARY, STANDBY = "127.0.0.1", "127.0.0.2"
SILENT_SECONDS = 3.0
"""For an address that is silent: it is waited for in vain, four times in all."""
_AS_INITDB = ("wal_level=replica", "max_connections=100", "max_wal_senders=10")
"""A standby allows no less than what wrote its files."""

Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Says what addresses each name stands for from now on. Nothing is known of them yet."""
    monkeypatch.setattr(attempts, "_worked", {})
    monkeypatch.setattr(attempts, "_failed", {})

    def to(*addresses: str) -> None:
        found = [(0, 0, 0, "", (address, 0)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: found)

    return to


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """On a primary and, at another address, a standby: a server whose recovery never ends."""
    with postgres_server() as primary, server_folder() as folder:
        standby = PostgresServer(folder, *_AS_INITDB, f"listen_addresses={STANDBY}")
        standby.port = primary.port
        standby.initialise()
        (standby.data / "standby.signal").touch()
        there = primary.url().replace(PRIMARY, STANDBY)
        try:
            standby.start(wait=False)
            wait_until(lambda: _answers(there), what="the standby answers")
            yield primary.url().replace(PRIMARY, "db.example.com") + "?sslmode=disable"
        finally:
            standby.stop()


def _answers(url: str) -> bool:
    try:
        return bool(ask(url, "SELECT 1"))
    except psycopg.OperationalError:
        return False


def is_standby(connection: Connection) -> bool:
    return bool(connection.execute("SELECT pg_is_in_recovery()").fetchall()[0][0])


def end_itself(connection: Connection) -> None:
    connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.parametrize("addresses", [(STANDBY, PRIMARY), (PRIMARY, STANDBY)])
def test_of_several_addresses_of_a_host_the_one_that_takes_writes_is_used(
    url: str, resolve: Resolve, addresses: tuple[str, str]
) -> None:
    resolve(*addresses)
    with closing(Link(url)) as link:
        assert not link.run(is_standby)
    with closing(Link(f"{url}&target_session_attrs=any")) as link:  # as who deploys it says
        assert link.run(is_standby) == (addresses[0] == STANDBY)
    with closing(Link(f"{url}&target_session_attrs=prefer-standby")) as link:
        assert link.run(is_standby)


def test_a_host_that_has_moved_is_found_without_a_restart(url: str, resolve: Resolve) -> None:
    resolve(PRIMARY)
    with closing(Link(url)) as link:
        assert not link.run(is_standby)
        resolve(STANDBY)
        assert not link.run(is_standby)  # on the connection that is there
        with pytest.raises(psycopg.OperationalError):
            link.run(end_itself)
        assert link.run(is_standby)


@pytest.fixture
def silent() -> Iterator[list[socket.socket]]:
    """Two that take connections and never answer, as a server that was stopped."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_server(("127.0.0.3", 0), backlog=100))
            for _ in range(2)
        ]


@pytest.fixture
def closed() -> Iterator[str]:
    """Where nobody listens."""
    with socket.socket() as bound:
        bound.bind((STANDBY, 0))
        yield _place(bound)


def _place(there: socket.socket) -> str:
    host, port = there.getsockname()
    return f"{host}:{port}"


def _tries(silent: list[socket.socket]) -> list[int]:
    """How often each was tried since it was asked last."""
    tries = []
    for each in silent:
        each.setblocking(False)
        tries.append(0)
        with suppress(BlockingIOError):
            while True:
                each.accept()[0].close()
                tries[-1] += 1
    return tries


def test_a_call_waits_for_one_silent_host_and_the_next_one_goes_on_behind_it(
    postgres: str, silent: list[socket.socket], closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promise, "CONNECT_SECONDS", SILENT_SECONDS)
    monkeypatch.setattr(attempts, "FURTHER_SECONDS", 1.9)  # refused later on a busy machine
    places = [closed, *map(_place, silent)]
    hosts = ",".join([*places, postgres.split("@")[1].split("/")[0]])
    url = f"postgres://postgres:s3cret@{hosts}/{postgres.rpartition('/')[2]}"
    for tried, silent_ones in (([1, 0], 1), ([0, 1], 2)):
        with pytest.raises(psycopg.OperationalError) as failed:
            connect(url, prepares=False)
        assert _tries(silent) == tried
        told = [each.replace(":", " ") + ": connection" for each in places[: 1 + silent_ones]]
        assert [each in str(failed.value) for each in told] == [True] * len(told)
        assert str(failed.value).count("timeout expired") == silent_ones
        assert "s3cret" not in str(failed.value)
    for _ in range(2):  # reached, and gone to straight away from then on
        connect(url, prepares=False).close()
        assert _tries(silent) == [0, 0]


def test_each_of_a_hosts_addresses_is_reached_however_many_are_silent(
    postgres: str, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promise, "CONNECT_SECONDS", SILENT_SECONDS)
    port = int(postgres.rpartition(":")[2].partition("/")[0])
    with ExitStack() as stack:
        addresses = [f"127.0.0.{number}" for number in (2, 3)]
        silent = [
            stack.enter_context(socket.create_server((each, port), backlog=100))
            for each in addresses
        ]
        resolve(*addresses, PRIMARY)
        url = postgres.replace(PRIMARY, "db.example.com") + "?sslmode=disable"
        for tried in ([1, 0], [0, 1]):
            with pytest.raises(psycopg.OperationalError, match=r"example\.com 127\.0\.0\.[23] "):
                connect(url, prepares=False)
            assert _tries(silent) == tried
            resolve(*addresses[::-1], PRIMARY)  # in another order
        connect(url, prepares=False).close()
        assert _tries(silent) == [0, 0]


def test_what_failed_before_another_one_worked_is_not_said_again(
    resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FURTHER_SECONDS", -1)
    down = {"one"}

    def connect_to(place: str) -> Connection:
        if place in down:
            raise psycopg.OperationalError("away")
        return cast(Connection, None)

    def call() -> None:
        places = {"one": "first", "two": "second"}
        attempts.first_that_works("url", places, connect_to, time.monotonic())

    with pytest.raises(psycopg.OperationalError, match=r"^first: away$"):
        call()
    call()
    down = {"two"}
    with pytest.raises(psycopg.OperationalError, match=r"^second: away$"):
        call()
    call()


def test_a_server_with_two_addresses_is_read_while_it_takes_no_writes(
    postgres: str, resolve: Resolve
) -> None:
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
    name = postgres.rpartition("/")[2]
    ask(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    resolve(PRIMARY, STANDBY)
    with closing(PostgresStore(postgres.replace(PRIMARY, "one"))) as store:
        assert store.newest() == ""
