"""One at a time: who holds a name, in this process or another, and that nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.settings.database_url import read_database_url
from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.opening import open_mover
from smsstatus.store.postgres import connection
from smsstatus.store.postgres.store import PostgresStore
from smsstatus.store.sqlite.store import SqliteStore

from ..live import wait_until
from ..postgres import end_who_holds
from .conftest import STORES, Opener

HOLD = """
import sys
from smsstatus.settings.database_url import read_database_url
from smsstatus.store.opening import open_mover

store = open_mover(read_database_url(sys.argv[1]), may_create=True).store
with store.hold("prune") as still_held:
    print(still_held is not None, flush=True)
    sys.stdin.read()
"""


def test_one_holds_a_name_until_its_block_ends(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "END_SECONDS", 60)
    one, other = open_store(), open_store()
    with one.hold("prune") as first:
        with other.hold("prune") as second, one.hold("prune") as third, one.hold("reconcile") as of:
            assert first is not None
            assert of is not None
            assert (second, third) == (None, None)
            assert first()
            assert of()
        with other.hold("prune") as still:
            assert not still
        assert first()
    with other.hold("prune") as next_one:
        assert next_one


@pytest.mark.parametrize("kind", STORES)
def test_what_a_process_held_is_another_ones_once_it_is_killed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'sms.db'}"
    if kind == "postgres":
        url = request.getfixturevalue("postgres")
    store = open_mover(read_database_url(url), may_create=True).store

    def is_free() -> bool:
        with store.hold("prune") as still_held:
            return still_held is not None

    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not is_free()
        holder.kill()
        wait_until(is_free, what="what the killed process held is free")
    store.close()


@pytest.mark.parametrize("connections", [1, 3])
def test_who_holds_knows_that_the_server_has_let_go_of_it(postgres: str, connections: int) -> None:
    one, other = PostgresStore(postgres, connections=connections), PostgresStore(postgres)
    with closing(one), closing(other), one.hold("prune") as still_held:
        assert still_held is not None
        assert still_held()
        end_who_holds(postgres)
        assert not still_held()
        with other.hold("prune") as taken:
            assert taken is not None
            assert taken()
            assert not still_held()
        assert not still_held()


def test_what_a_store_with_one_connection_held_is_another_ones_once_its_block_ends(
    postgres: str,
) -> None:
    one, other = PostgresStore(postgres, connections=1), PostgresStore(postgres)
    with closing(one), closing(other):
        with one.hold("prune") as held, other.hold("prune") as not_yet:
            assert held is not None
            assert not_yet is None
        with other.hold("prune") as taken:
            assert taken is not None


def test_a_store_that_cannot_say_who_holds_it_is_unavailable(tmp_path: Path) -> None:
    missing = SqliteStore(tmp_path / "no such folder" / "sms.db")
    with pytest.raises(StoreUnavailable), missing.hold("prune"):
        pass
