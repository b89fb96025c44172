"""All that one answer reads has one bound, whatever of it is slow; what is for nobody has none."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import Any

import psycopg
import pytest

from smsstatus import promise
from smsstatus.bounded import Bounded
from smsstatus.store.contract import Outcome, StoreUnavailable
from smsstatus.store.postgres import attempts, names, readers, tallies
from smsstatus.store.postgres.connection import Connection
from smsstatus.store.postgres.store import PostgresStore

from .conftest import PATIENT, Gate
from .updates import at, update_of

OLD, NEW = "2020-01-01T00:00:00.000000Z", "2020-01-01T00:00:01.000000Z"
OVER = r"(no answer within|takes over) (1|0|0\.\d+|\S+e-\d+) s"
"""What is said of 1 s, or of as much of it as a busy machine has left."""


@pytest.fixture(params=[3, 1])
def store(postgres: str, request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    """Connected, by several connections or by one."""
    with closing(PostgresStore(postgres, connections=request.param)) as store:
        store.writer.answer_seconds = PATIENT
        store.prepare()
        store.probe()
        store.newest()
        yield store


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    return lambda seconds: monkeypatch.setattr(promise, "READ_SECONDS", seconds)


def test_a_count_that_is_under_way_ends_with_the_time_for_the_answer(
    store: PostgresStore, short: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where the only connection is still at it, that says nothing of writing."""

    def take_long(connection: Connection, edges: object) -> Any:
        return connection.execute("SELECT pg_sleep(60)")

    monkeypatch.setattr(tallies, "read_history", take_long)
    short(1)
    with promise.answering(), pytest.raises(StoreUnavailable, match=OVER):
        store.history((OLD, NEW))
    assert store.record(update_of(at("sent", "00:00:01", MessageUUID="1"))) is Outcome.APPLIED


def test_once_the_time_for_an_answer_is_over_nothing_is_asked_for_it(
    store: PostgresStore, short: Callable[[float], None]
) -> None:
    short(0)
    with promise.answering(), ThreadPoolExecutor(1) as another:
        for act in (store.newest, store.probe):
            with pytest.raises(StoreUnavailable, match="takes over 0 s"):
                act()
        assert another.submit(store.newest).result(PATIENT) == ""
    assert store.newest() == ""


def test_a_probe_waits_for_the_writer_no_longer_than_the_answer_may_take(
    store: PostgresStore, short: Callable[[float], None]
) -> None:
    """And what waited too short a time says nothing of writing."""
    gate = Gate()
    written = store.begin(update_of(at("sent", "00:00:01", MessageUUID="1")), gate)
    try:
        assert gate.entered.wait(PATIENT)
        short(1)
        with promise.answering(), pytest.raises(StoreUnavailable, match=OVER):
            store.probe()
        waiting = store.begin(update_of(at("sent", "00:00:01", MessageUUID="2")))
    finally:
        gate.leave.set()
    assert [store.finish(each) for each in (written, waiting)] == [Outcome.APPLIED] * 2


def test_a_connection_that_others_use_is_waited_for_no_longer_than_the_answer_may_take(
    postgres: str, short: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "WAIT_SECONDS", 2 * PATIENT)
    begun, goes_on = Event(), Event()

    def use(connection: Connection) -> bool:
        begun.set()
        return goes_on.wait(2 * PATIENT)

    def ask() -> None:
        with promise.answering(), pytest.raises(StoreUnavailable, match=f"in use|{OVER}"):
            store.newest()

    with closing(PostgresStore(postgres, connections=2)) as store, ThreadPoolExecutor(2) as pool:
        store.prepare()
        pool.submit(store._read, use, 3 * PATIENT)
        try:
            assert begun.wait(PATIENT)
            short(1)
            pool.submit(ask).result(PATIENT)
        finally:
            goes_on.set()


def test_nobody_begins_to_connect_who_has_no_time_for_it(
    postgres: str, short: Callable[[float], None]
) -> None:
    short(promise.CONNECT_SECONDS - 0.1)
    with closing(PostgresStore(postgres)) as store:
        store.prepare()
        with promise.answering(), pytest.raises(StoreUnavailable, match="no time is left"):
            store.newest()
        assert store.newest() == ""


def test_who_has_no_time_for_another_address_tries_none(short: Callable[[float], None]) -> None:
    tried = []

    def refuse(place: str) -> Connection:
        tried.append(place)
        raise psycopg.OperationalError("refused")

    def connect() -> None:
        with pytest.raises(psycopg.OperationalError, match="refused"):
            attempts.first_that_works("url", {"a": "one", "b": "two"}, refuse, float("inf"))

    connect()
    assert sorted(tried) == ["a", "b"]
    tried.clear()
    short(1)
    with promise.answering():
        connect()
    assert len(tried) == 1


def test_a_name_that_hangs_leaves_the_time_to_connect(
    short: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Event()
    monkeypatch.setattr(names, "_bounded", Bounded(PATIENT, "the resolver"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: answers.wait(2 * PATIENT) and [])
    short(promise.CONNECT_SECONDS + 0.1)

    def look_up() -> list[names.Address]:
        with promise.answering():
            return names.addresses("postgres://silent,127.0.0.1/sms")

    try:
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(look_up).result(PATIENT / 2)
    finally:
        answers.set()
    assert [address.host for address in found] == ["127.0.0.1"]
