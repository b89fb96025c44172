"""A host's name stands for one address or several, and not always for the same ones."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from smsstatus.store.postgres.connection import Connection, Link
from smsstatus.store.postgres.store import PostgresStore

from ..live import wait_until
from ..postgres import PostgresServer, ask, postgres_server, server_folder

PRIMARY, STANDBY = "127.0.0.1", "127.0.0.2"
_AS_INITDB = ("wal_level=replica", "max_connections=100", "max_wal_senders=10")
"""A standby allows no less than what wrote its files."""

Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Says what addresses each name stands for from now on."""

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


def test_a_host_that_has_moved_is_found_without_a_restart(url: str, resolve: Resolve) -> None:
    resolve(PRIMARY)
    with closing(Link(url)) as link:
        assert not link.run(is_standby)
        resolve(STANDBY)
        assert not link.run(is_standby)  # on the connection that is there
        with pytest.raises(psycopg.OperationalError):
            link.run(end_itself)
        assert link.run(is_standby)


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
