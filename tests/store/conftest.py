"""The contract's tests run on each store, through the contract alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Outcome, Store
from smsstatus.store.outbox import Wanted
from smsstatus.store.sqlite.store import SqliteStore

from ..postgres import ask, new_database, write_times_otherwise
from .updates import at, update_of

PATIENT = 60.0
"""Seconds a writer is given, on a machine that is slow and busy."""

STORES = ("sqlite", "postgres")


@dataclass
class Opener:
    """Opens one and the same database as often as a test asks, as several processes do."""

    make: Callable[[Wanted | None], Store]
    ask: Callable[[str], list[tuple[object, ...]]]
    """Run one statement, as somebody with the database's own shell would; its rows."""
    opened: ExitStack = field(default_factory=ExitStack)

    def __call__(self, wanted: Wanted | None = None) -> Store:
        store = self.opened.enter_context(closing(self.make(wanted)))
        self.opened.callback(store.outbox.release)
        store.writer.answer_seconds = PATIENT  # type: ignore[attr-defined]
        return store


def open_database(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Opener]:
    """A database of this kind, empty and prepared."""
    with ExitStack() as held:
        if name == "sqlite":
            path = folder / "sms.db"
            opener = Opener(
                lambda wanted: SqliteStore(path, wanted=wanted), lambda sql: _ask(path, sql)
            )
        else:
            from smsstatus.store.postgres.store import PostgresStore

            server, template = map(
                request.getfixturevalue, ("postgres_server_url", "postgres_template")
            )
            url = held.enter_context(new_database(server, template))
            write_times_otherwise(url)
            opener = Opener(
                lambda wanted: PostgresStore(url, wanted=wanted), lambda sql: ask(url, sql)
            )
        held.callback(opener.opened.close)
        opener().prepare()
        yield opener


def _ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the test's database."""
    yield from open_database(request.param, request, tmp_path)


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()


@pytest.fixture(scope="module", params=STORES)
def open_shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opener]:
    """Opens a database that all examples of a module's properties share."""
    folder = tmp_path_factory.mktemp("shared")
    yield from open_database(request.param, request, folder)


def write(store: Store, updates: Iterable[StatusUpdate]) -> list[Outcome]:
    """Write these in whatever batches they come to."""
    return [store.finish(pending) for pending in [store.begin(update) for update in updates]]


def write_batches(store: Store, batches: Sequence[Sequence[StatusUpdate]]) -> list[Outcome]:
    """Write each of these in a commit of its own.

    While the writer wakes who waited for a batch, the next one is put together.
    """
    gate = Gate()
    pending = [store.begin(_FIRST, gate)]
    for batch in batches:
        gate.entered.wait(PATIENT)
        last, gate = gate, Gate()
        pending += [store.begin(update, gate) for update in batch]
        last.leave.set()
    gate.leave.set()
    return [store.finish(each) for each in pending][1:]


class Gate:
    """Keeps the writer from its next batch."""

    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        self.leave.wait(PATIENT)


_FIRST = update_of(at("queued", MessageUUID="the-first"))
