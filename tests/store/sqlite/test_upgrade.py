"""A file of version 2 of the schema: what is in it stays, and stands as it should now."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from smsstatus.intake.records import read_record
from smsstatus.model import utc_now
from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.settings import Settings
from smsstatus.store.contract import Outcome
from smsstatus.store.sqlite import upgrade
from smsstatus.store.sqlite.schema import SCHEMA_VERSION
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.upkeep.reconcile import update_from_api

from ... import version_2
from ...live import ROOT, environment, live_service, wait_until
from ...signed import send
from ...version_2 import Event, fill, some_messages

LATER = "2025-11-01T00:01:00.000000Z"
COLUMNS = (
    "m.message_uuid, m.initial_status, m.current_status, m.status_timestamp, m.error_code,"
    " m.created_at, m.updated_at, m.is_final, m.sequence, m.rank, m.digest"
)
EVENT_COLUMNS = "m.message_uuid, " + ", ".join(f"e.{name}" for name in Event._fields)


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def messages_in(path: Path) -> set[tuple[Any, ...]]:
    return set(ask(path, f"SELECT {COLUMNS} FROM messages AS m"))


def events_in(path: Path) -> set[tuple[Any, ...]]:
    return set(
        ask(
            path,
            f"SELECT {EVENT_COLUMNS} FROM status_events AS e JOIN messages AS m"
            " ON m.id = e.message_id",
        )
    )


def as_they_should_be(messages: dict[str, list[Event]]) -> set[tuple[Any, ...]]:
    rows = set()
    for uuid, events in messages.items():
        first = min(events, key=lambda event: event.key)
        last = max(events, key=lambda event: event.key)
        rows.add(
            (
                uuid,
                first.status,
                last.status,
                last.status_timestamp,
                last.error_code,
                events[0].received_at,
                last.received_at,
                last.is_final,
                last.sequence,
                last.rank,
                last.digest,
            )
        )
    return rows


def as_they_came(messages: dict[str, list[Event]]) -> set[tuple[Any, ...]]:
    return {(uuid, *event) for uuid, events in messages.items() for event in events}


def is_done(path: Path) -> bool:
    return ask(path, "SELECT min(looked_at = last_message) FROM upgrades") == [(1,)]


CORRECTING = """
import sys
from pathlib import Path
from smsstatus.model import utc_now
from smsstatus.store.sqlite import upgrade
from smsstatus.store.sqlite.store import SqliteStore
upgrade.BATCH = 10
store = SqliteStore(Path(sys.argv[1]))
store.prepare()
print("opened", flush=True)
while store.correct_some(utc_now()):
    print("some more", flush=True)
store.close()
"""


def correcting(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CORRECTING, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_all_rows_are_there_and_stand_by_the_order_key_of_now(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "BATCH", 200)
    messages = some_messages(500)
    path = settings.database_path
    fill(path, messages)
    before = messages_in(path)
    assert before != as_they_should_be(messages)  # so there is something to correct
    store = SqliteStore(path)
    store.prepare()
    assert messages_in(path) == before
    marker = store.change_marker()
    while store.correct_some(utc_now()):
        assert store.change_marker() != marker  # so a page that shows the rows is made again
        marker = store.change_marker()
    store.close()
    assert messages_in(path) == as_they_should_be(messages)
    assert events_in(path) == as_they_came(messages)
    assert ask(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert is_done(path)
    assert not store.correct_some(utc_now())


def test_opening_builds_no_index_and_reads_no_message(settings: Settings) -> None:
    """Where there are millions that would take minutes, and callbacks would wait in the spool."""
    path = settings.database_path
    fill(path, some_messages(300))
    trees = """SELECT name, rootpage FROM sqlite_master
        WHERE tbl_name IN ('messages', 'status_events') AND rootpage > 0"""
    before = ask(path, trees)
    SqliteStore(path).prepare()
    assert ask(path, trees) == before


def test_killed_at_random_moments_it_ends_the_same(
    settings: Settings, pytestconfig: pytest.Config
) -> None:
    kills = 10 if pytestconfig.getoption("--fault-rounds") == "full" else 3
    messages = some_messages(200 * kills)
    path = settings.database_path
    fill(path, messages)
    rng = random.Random(3)
    for _ in range(kills):
        process = correcting(path)
        assert process.stdout is not None
        for _ in range(rng.randint(0, 15)):
            process.stdout.readline()
        process.kill()
        process.wait(30)
        process.stdout.close()
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
        assert events_in(path) == as_they_came(messages)
        assert len(messages_in(path)) == len(messages)
    assert not is_done(path)
    process = correcting(path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert is_done(path)
    assert messages_in(path) == as_they_should_be(messages)
    assert events_in(path) == as_they_came(messages)


def test_several_processes_may_do_it_at_once(settings: Settings) -> None:
    messages = some_messages(500)
    fill(settings.database_path, messages)
    processes = [correcting(settings.database_path) for _ in range(4)]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0] * 4
    assert messages_in(settings.database_path) == as_they_should_be(messages)
    assert events_in(settings.database_path) == as_they_came(messages)


@pytest.mark.parametrize("every", [1000, 20, 2])
def test_callbacks_that_come_meanwhile_stand_if_they_should(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(upgrade, "BATCH", 10)
    messages = some_messages(120)
    fill(settings.database_path, messages)
    store = SqliteStore(settings.database_path)
    rng = random.Random(1)
    for number, uuid in enumerate(messages, 1):
        if number % every == 0:
            store.correct_some(utc_now())
        fields = {"MessageUUID": uuid, "Status": rng.choice(["sent", "failed", "read"]), "To": "2"}
        update = read_callback(Callback("POST", "", urlencode(fields), LATER), source="callback")
        store.record(update)
        came = version_2.event(urlencode(fields), LATER)._replace(digest=update.digest)
        messages[uuid].append(came)
    while store.correct_some(utc_now()):
        pass
    store.close()
    assert messages_in(settings.database_path) == as_they_should_be(messages)


@pytest.fixture
def former(settings: Settings) -> Iterator[sqlite3.Connection]:
    """The connection of a program of version 2 that began before the upgrade and goes on."""
    fill(settings.database_path, some_messages(80))
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("SELECT count(*) FROM messages").fetchall()
        yield connection


@pytest.mark.parametrize("is_done_before", [False, True])
def test_what_a_program_of_version_2_still_writes_stands_only_if_it_should(
    settings: Settings, former: sqlite3.Connection, is_done_before: bool
) -> None:
    messages = some_messages(80)
    store = SqliteStore(settings.database_path)
    store.prepare()
    while is_done_before and store.correct_some(utc_now()):
        pass
    rng = random.Random(5)
    messages |= {f"{n:08}-1111-4000-8000-000000000000": [] for n in range(80)}
    for uuid, events in messages.items():
        for word in rng.sample(["queued", "sent", "odd", "undelivered", "delivered", "read"], 4):
            fields = {"MessageUUID": uuid, "Status": word, "To": "2"}
            if rng.random() < 0.6:
                fields["SentTime"] = f"2025-11-01 00:00:0{rng.randint(0, 9)}"
            events.append(version_2.event(urlencode(fields), LATER))
            version_2.write(former, uuid, events[-1])
        version_2.write(former, uuid, rng.choice(events))  # Plivo repeats one
    while store.correct_some(utc_now()):
        pass
    store.close()
    assert messages_in(settings.database_path) == as_they_should_be(messages)
    assert events_in(settings.database_path) == as_they_came(messages)


@pytest.mark.parametrize("count", [0, 3])
def test_a_retry_of_what_version_2_wrote_after_the_upgrade_is_no_second_event(
    settings: Settings, count: int
) -> None:
    fill(settings.database_path, some_messages(count))
    store = SqliteStore(settings.database_path)
    store.prepare()
    while store.correct_some(utc_now()):
        pass
    with closing(sqlite3.connect(settings.database_path)) as former:
        version_2.write(former, UUID, version_2.event(BODY, LATER))
    retry = read_callback(Callback("POST", "", BODY, LATER), source="callback")
    assert store.record(retry) is Outcome.DUPLICATE
    store.close()


def test_the_service_corrects_by_itself_and_takes_callbacks_meanwhile(tmp_path: Path) -> None:
    messages = some_messages(6000)
    path = tmp_path / "sms.db"
    fill(path, messages)
    uuids, came = list(messages), list[tuple[str, str]]()

    def one_more_callback() -> bool:
        was_done = is_done(path)
        uuid = uuids[len(came) % len(uuids)]
        request = service.plivo.post({"MessageUUID": uuid, "Status": "read", "To": "2"})
        assert send(request, service.address) == (200, b"")
        came.append((uuid, request.body.decode()))
        return was_done

    with live_service(tmp_path) as service:
        wait_until(one_more_callback, 120)
    rows = ask(path, "SELECT parameters, digest, received_at FROM status_events ORDER BY id")
    stored = {parameters: row for parameters, *row in rows}  # the newest of equal ones
    for uuid, body in came:
        digest, received_at = stored[body]
        messages[uuid].append(version_2.event(body, received_at)._replace(digest=digest))
    assert messages_in(path) == as_they_should_be(messages)
    assert list(service.spool.rglob("*.json*")) == []


UUID, OTHER = "00000000-0000-4000-8000-000000000000", "00000001-0000-4000-8000-000000000000"
BODY = f"From=1&MessageUUID={UUID}&ParentMessageUUID={OTHER}&Status=undelivered&ErrorCode=30"


@pytest.fixture
def one(settings: Settings) -> SqliteStore:
    """A file of version 2 with an update of each source, and a V2 nonce."""
    events = [
        version_2.event(BODY, "2025-11-01T00:00:10.000000Z"),
        version_2.event(f"order=1&{BODY}&Units=1", "2025-11-01T00:00:11.000000Z"),
        version_2.event(f"MessageUUID={UUID}&Status=queued", "2025-11-01T00:00:09.000000Z", "send"),
        version_2.event(
            f"Status=failed&MessageUUID={UUID}", "2025-11-01T00:00:12.000000Z", "reconcile"
        ),
    ]
    fill(settings.database_path, {UUID: events})
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.execute("INSERT INTO v2_nonces VALUES ('9', ?)", (events[0].digest,))
        connection.commit()
    return SqliteStore(settings.database_path)


RETRIES = {
    "a callback": read_callback(Callback("POST", "", BODY, LATER), source="callback"),
    "one with a query": read_callback(
        Callback("POST", "order=1", f"{BODY}&Units=1", LATER), source="callback"
    ),
    "one that only V2 signed": read_callback(
        Callback("POST", "", BODY, LATER, "9"), source="callback"
    ),
    "a send": read_record(Callback("SEND", "", f"MessageUUID={UUID}&Status=queued&Text=hi", LATER)),
    "an answer of Plivo's API": update_from_api(UUID, {"message_state": "failed"}, utc_now()),
}


@pytest.mark.parametrize("retry", RETRIES.values(), ids=RETRIES)
def test_a_retry_across_the_upgrade_is_no_second_event(
    settings: Settings, one: SqliteStore, retry: Any
) -> None:
    one.prepare()
    events, rows = events_in(settings.database_path), messages_in(settings.database_path)
    assert len(events) == 4
    assert [one.record(retry) for _ in range(2)] == [Outcome.DUPLICATE] * 2
    one.close()
    assert events_in(settings.database_path) == events
    assert messages_in(settings.database_path) == rows
    ((repeats,),) = ask(settings.database_path, "SELECT sum(repeats) FROM status_events")
    assert repeats == (2 if retry.source == "callback" else 0)


RECUTS = {
    "an error code cleared": Callback(
        "POST",
        "",
        f"ErrorCode3=0&From=1&MessageUUID={UUID}&ParentMessageUUID={OTHER}&Status=undelivered",
        LATER,
    ),
    "moved to another message": Callback(
        "POST",
        "",
        f"ErrorCode=30&From=1MessageUUID{UUID}Parent&MessageUUID={OTHER}&Status=undelivered",
        LATER,
    ),
    "of one with a query": Callback(
        "POST",
        "order=1",
        f"ErrorCode3=0&From=1&MessageUUID={UUID}&ParentMessageUUID={OTHER}&Status=undelivered"
        "&Units=1",
        LATER,
    ),
}


@pytest.mark.parametrize("recut", RECUTS.values(), ids=RECUTS)
def test_another_reading_of_what_version_2_stored_is_refused(
    settings: Settings, one: SqliteStore, recut: Callback
) -> None:
    one.prepare()
    rows, events = messages_in(settings.database_path), events_in(settings.database_path)
    update = read_callback(recut, source="callback")
    assert [one.record(update) for _ in range(2)] == [Outcome.TEXT_TAKEN] * 2
    one.close()
    assert messages_in(settings.database_path) == rows
    assert events_in(settings.database_path) == events


def test_an_update_of_other_letters_costs_no_digest_of_each_reading(
    settings: Settings, one: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are as many readings as fields: milliseconds for each callback, all in one thread."""

    def digest_of(*args: Any, **more: Any) -> bytes:
        raise AssertionError("a digest was made")

    monkeypatch.setattr(upgrade, "digest_of", digest_of)
    body = BODY.replace("undelivered", "delivered")
    update = read_callback(Callback("POST", "", body, LATER), source="callback")
    assert one.record(update) is Outcome.APPLIED
    one.close()


def test_a_v2_nonce_of_version_2_brings_no_other_body(settings: Settings, one: SqliteStore) -> None:
    other = read_callback(Callback("POST", "", f"{BODY}&a=1", LATER, "9"), source="callback")
    assert one.record(other) is Outcome.NONCE_TAKEN
    one.close()


def test_an_older_backup_put_in_place_is_brought_up_to_date(settings: Settings) -> None:
    store = SqliteStore(settings.database_path)
    fill(settings.database_path, some_messages(5))
    store.look()
    store.close()
    assert ask(settings.database_path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_commands_run_on_a_file_of_version_2(tmp_path: Path) -> None:
    messages = some_messages(50)
    fill(tmp_path / "sms.db", messages)
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "init-db"],
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ask(tmp_path / "sms.db", "SELECT count(*) FROM messages") == [(50,)]
