"""The database server fails, hangs or refuses, under load, and works again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest

from ...live import wait_until
from ...postgres import ask, server_folder
from ..conftest import Figure, Promise
from ..disks import filled, small_disk
from ..load import Load, slowest
from ..reconcile import gather, wait_until_ready, wait_until_spooled, wait_until_told
from .conftest import Target, read_only, running
from .hole import Hole
from .kept import missing, wrong
from .reading import Reader

Fault = Callable[[Target], AbstractContextManager[object]]
_STANDBY = "synchronous_standby_names"


@contextmanager
def postmaster_killed(target: Target) -> Iterator[None]:
    assert target.server.process is not None
    target.server.stop(signal.SIGKILL)
    try:
        yield
    finally:
        target.server.start()


def backend_killed(target: Target) -> AbstractContextManager[object]:
    """The server ends all other connections too, and recovers."""
    ((pid,),) = target.server.ask(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'sms' ORDER BY backend_start LIMIT 1"
    )
    os.kill(pid, signal.SIGKILL)
    return nullcontext()


@contextmanager
def immediately_stopped(target: Target) -> Iterator[None]:
    target.server.stop(signal.SIGQUIT)
    try:
        yield
    finally:
        target.server.start()


@contextmanager
def fast_stopped(target: Target) -> Iterator[None]:
    target.server.stop(signal.SIGINT)
    try:
        yield
    finally:
        target.server.start()


@contextmanager
def stopped_by_signal(target: Target) -> Iterator[None]:
    target.server.signal_all(signal.SIGSTOP)
    try:
        yield
    finally:
        target.server.signal_all(signal.SIGCONT)


@contextmanager
def table_locked(target: Target) -> Iterator[None]:
    with target.server.connect("sms") as connection, connection.transaction():
        connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def standby_dead(target: Target) -> Iterator[None]:
    target.configure(f"SET {_STANDBY} = 'nobody'")
    try:
        yield
    finally:
        target.configure(f"RESET {_STANDBY}")


@contextmanager
def insert_revoked(target: Target) -> Iterator[None]:
    target.administer("REVOKE INSERT ON ALL TABLES IN SCHEMA public FROM sms")
    try:
        yield
    finally:
        target.administer("GRANT INSERT ON ALL TABLES IN SCHEMA public TO sms")


@contextmanager
def connections_used_up(target: Target) -> Iterator[None]:
    target.administer("ALTER ROLE sms CONNECTION LIMIT 0")
    target.disconnect()
    try:
        yield
    finally:
        target.administer("ALTER ROLE sms CONNECTION LIMIT -1")


@contextmanager
def password_changed(target: Target) -> Iterator[None]:
    target.administer("ALTER ROLE sms PASSWORD 'two'")
    target.disconnect()
    try:
        yield
    finally:
        target.administer("ALTER ROLE sms PASSWORD 'one'")


PASSING: dict[str, Fault] = {
    "kill -9 of one backend": backend_killed,
    "kill -9 of the postmaster": postmaster_killed,
    "immediate restart": immediately_stopped,
    "fast restart": fast_stopped,
}
"""Over within seconds."""

LASTING: dict[str, tuple[Fault, float, str]] = {
    "server stopped by SIGSTOP": (stopped_by_signal, 30, ""),
    "table locked": (table_locked, 12, ""),
    "synchronous standby dead": (standby_dead, 12, "commits wait for a synchronous standby"),
    "read-only (25006)": (read_only, 5, "ReadOnlySqlTransaction 25006: cannot execute"),
    "INSERT revoked (42501)": (insert_revoked, 5, "42501: permission denied for table"),
    "connections used up": (connections_used_up, 5, 'too many connections for role "sms"'),
    "password changed, then changed back": (
        password_changed,
        5,
        'password authentication failed for user "sms"',
    ),
}
"""For so many seconds; what the log and /readyz say of it."""


SHORTEST = "kill -9 of the postmaster"
"""The one that `make test` runs."""


@pytest.mark.parametrize(
    "name", [SHORTEST, *[pytest.param(n, marks=pytest.mark.slow) for n in PASSING if n != SHORTEST]]
)
def test_nothing_answered_200_is_lost_when_the_server_ends_and_comes_back(
    target: Target, full: bool, figure: Figure, promise: Promise, name: str
) -> None:
    reader = Reader()
    with Load(target.service.port, target.service.plivo, pause=0.02) as load:
        for _ in range(5 if full else 1):
            load.wait_for(50)
            with reader.reading(target, load.deliveries[0]), PASSING[name](target):
                load.wait_for(20)
            wait_until(target.server.answers, what="PostgreSQL answers")
            wait_until_ready(target.service)
        load.wait_for(50)
    _judge(load, reader, target, figure, promise, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LASTING)
def test_callbacks_are_answered_and_kept_while_the_server_takes_none(
    target: Target, full: bool, figure: Figure, promise: Promise, name: str
) -> None:
    fault, seconds, says = LASTING[name]
    reader = Reader()
    with Load(target.service.port, target.service.plivo, pause=0.05) as load:
        load.wait_for(50)
        with fault(target), reader.reading(target, load.deliveries[0]):
            began = time.monotonic()
            wait_until_spooled(target.service, 50)
            load.go_on(began + seconds - time.monotonic() if full else 0)
            wait_until_told(target.service, says)
            seconds = time.monotonic() - began
        wait_until_ready(target.service)
        load.wait_for(50)
    assert says in target.service.log.read_text()
    _judge(load, reader, target, figure, promise, f"{name} for {seconds:.0f} s")


COUNTING = ("/stats", "/stats?group_by=country", "/?window=7d", "/", "/metrics", "/ui/messages")


@contextmanager
def slowly_read(target: Target) -> Iterator[None]:
    """Whoever reads a message takes a minute for it; that the table is there is seen at once."""
    target.administer(
        "CREATE POLICY slow ON messages USING (pg_sleep(60) IS NOT NULL)",
        "ALTER TABLE messages ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE messages FORCE ROW LEVEL SECURITY",
    )
    try:
        yield
    finally:
        target.disconnect()
        target.administer(
            "DROP POLICY slow ON messages", "ALTER TABLE messages DISABLE ROW LEVEL SECURITY"
        )


@pytest.mark.slow
def test_whoever_asks_is_answered_in_time_where_the_server_stops_in_the_middle_of_a_count(
    target: Target, figure: Figure, promise: Promise
) -> None:
    with Load(target.service.port, target.service.plivo) as load:
        load.wait_for(50)
    reader = Reader(COUNTING)
    with slowly_read(target), ThreadPoolExecutor(len(COUNTING)) as clients:
        asked = [clients.submit(reader.ask, target, path) for path in COUNTING]
        wait_until(lambda: _counts(target), what="a count is under way")
        with stopped_by_signal(target):
            for each in asked:
                each.result(120)
    wait_until_ready(target.service)
    assert reader.refused["/stats"]
    reader.judge(figure, promise, "SIGSTOP of the server in the middle of a count")


def _counts(target: Target) -> bool:
    waits = "usename = 'sms' AND wait_event = 'PgSleep' AND query LIKE '%tallies%'"
    return bool(ask(target.url, f"SELECT 1 FROM pg_stat_activity WHERE {waits}"))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["status_events", "messages"])
def test_a_table_that_somebody_dropped_is_made_again_and_nothing_since_is_lost(
    tmp_path: Path, limits: dict[str, str], figure: Figure, promise: Promise, table: str
) -> None:
    """The service may not make it again until somebody has looked."""
    reader = Reader()
    with running(tmp_path, limits) as target:
        service = target.service
        with Load(service.port, service.plivo, pause=0.02) as load:
            load.wait_for(50)
            target.administer(
                "ALTER SCHEMA public OWNER TO postgres", f"DROP TABLE {table} CASCADE"
            )
            since = time.monotonic()
            with reader.reading(target, load.deliveries[0]):
                wait_until_spooled(service, 50)
                wait_until_told(service, "42501: permission denied for schema public")
            target.administer("ALTER SCHEMA public OWNER TO sms")
            wait_until_ready(service)
            load.wait_for(50)
        assert f'42P01: relation "{table}" does not exist' in service.log.read_text()
        load.deliveries = [delivery for delivery in load.deliveries if delivery.began > since]
        _judge(load, reader, target, figure, promise, f"table {table} dropped")
        assert _foreign_events(target) == 0


def _foreign_events(target: Target) -> int:
    """Events of a message that came before it was seen: of one that was in the table before."""
    ((count,),) = ask(
        target.url,
        "SELECT count(*) FROM status_events AS e JOIN messages AS m ON m.id = message_id"
        " WHERE e.received_at < m.created_at",
    )
    return int(count)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["idle", "in the middle of a statement"])
def test_callbacks_are_answered_and_kept_while_the_network_drops_everything(
    tmp_path: Path, limits: dict[str, str], full: bool, figure: Figure, promise: Promise, when: str
) -> None:
    """In the middle: the server waits for a lock, then writes, and its answer is lost."""
    with running(tmp_path, limits) as target, Hole(target.server.port).running() as hole:
        service = target.service
        service.kill()
        url = service.environment["DATABASE_URL"]
        through = url.replace(str(target.server.port), str(hole.port))
        service.environment["DATABASE_URL"] = through
        service.start()
        with Load(service.port, service.plivo) as load:
            load.wait_for(50)
        sent, reader = load.deliveries, Reader()
        load = Load(service.port, service.plivo, pause=0.05)
        with ExitStack() as clients, ExitStack() as silence:
            if when == "idle":
                silence.enter_context(hole.closed())
                clients.enter_context(load)
            else:
                with table_locked(target):
                    clients.enter_context(load)
                    wait_until(lambda: _waits_for_a_lock(target), what="a statement is under way")
                    silence.enter_context(hole.closed())
            began = time.monotonic()
            with reader.reading(target, sent[0]):
                wait_until_spooled(service, 50)
                load.go_on(began + 30 - time.monotonic() if full else 0)
                wait_until_told(service, "")
                seconds = time.monotonic() - began
            silence.close()
            wait_until_ready(service)
            load.wait_for(50)
        load.deliveries += sent
        _judge(load, reader, target, figure, promise, f"black hole for {seconds:.0f} s, {when}")
        assert reader.refused["/readyz"]
        assert reader.refused["/messages/<uuid>"]


def _waits_for_a_lock(target: Target) -> bool:
    return bool(
        ask(
            target.url,
            "SELECT 1 FROM pg_stat_activity WHERE usename = 'sms' AND wait_event_type = 'Lock'",
        )
    )


@pytest.mark.slow
def test_while_the_servers_disk_is_full_callbacks_are_spooled(
    tmp_path: Path, limits: dict[str, str], figure: Figure, promise: Promise
) -> None:
    """A tablespace of its own on a small file system; only root may mount one."""
    with (
        server_folder() as disk,
        small_disk(disk, 24),
        running(tmp_path, limits, tablespace=disk) as target,
    ):
        reader = Reader()
        with Load(target.service.port, target.service.plivo, pause=0.02) as load:
            load.wait_for(50)
            with filled(disk), reader.reading(target, load.deliveries[0]):
                wait_until_spooled(target.service, 50)
                wait_until_told(target.service, "53100: could not extend file")
            wait_until_ready(target.service)
            load.wait_for(50)
        assert "53100: could not extend file" in target.service.log.read_text()
        _judge(load, reader, target, figure, promise, "disk full, then space again")


def _judge(
    load: Load, reader: Reader, target: Target, figure: Figure, promise: Promise, fault: str
) -> None:
    """Everything that was answered is kept, and stands as it should once the spool is drained."""
    lost = missing(load.deliveries, target.service, target.url)
    gather(target.service)
    figure(
        f"PostgreSQL: {fault}, under load from 8 clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}, drained without a restart",
    )
    assert load.others == []
    assert lost == []
    assert wrong(load.deliveries, target.url) == []
    assert "Traceback" not in target.service.log.read_text()
    promise(slowest(load.deliveries))
    reader.judge(figure, promise, fault)
