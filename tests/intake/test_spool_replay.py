"""Replaying a spool file that holds several callbacks: each of them goes its own way."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from smsstatus.intake.records import file_name, text_of
from smsstatus.intake.replay import Replayed, drain
from smsstatus.intake.spool import Spool
from smsstatus.model import StatusUpdate
from smsstatus.plivo.callback import Callback
from smsstatus.service import Service
from smsstatus.store.contract import Outcome, StoreUnavailable
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..conftest import Query
from ..signed import Plivo

RECEIVED = "2026-11-01T12:00:00.000000Z"
UNUSABLE = text_of(Callback("POST", "", "Status=sent", RECEIVED), "a reason")


@pytest.fixture
def service(client: FlaskClient) -> Service:
    return service_of(client.application)


def callback(message_uuid: str) -> Callback:
    return Callback("POST", "", urlencode(Plivo().fields("sent", message_uuid)), RECEIVED)


def together(spool: Spool, *records: bytes) -> Path:
    path = spool.folder / file_name("20261101120000000000", len(records))
    path.write_bytes(b"\n".join(records))
    spool.list_files()
    return path


def record(message_uuid: str) -> bytes:
    return text_of(callback(message_uuid), "a reason")


def messages(query: Query) -> list[str]:
    return [row["message_uuid"] for row in query("SELECT message_uuid FROM messages ORDER BY 1")]


def test_the_depth_counts_callbacks_and_not_files(client: FlaskClient, service: Service) -> None:
    together(service.spool, record("a"), record("b"), record("c"))
    service.spool.keep(callback("d"), "a reason")
    assert Spool(service.spool.folder).depth().waiting == service.spool.depth().waiting == 4
    assert client.get("/readyz").get_json()["spooled"] == 4
    assert 'smsstatus_spool_files{kind="waiting"} 4' in client.get("/metrics").text
    drain(service.store, service.spool)
    assert service.spool.depth().waiting == 0


def test_what_cannot_be_applied_goes_to_bad_alone_and_the_rest_of_its_file_is_applied(
    service: Service, query: Query
) -> None:
    spool = service.spool
    together(spool, record("a"), b'{"torn', UNUSABLE, record("b"), b"\xff", record("c"))
    assert drain(service.store, spool) == Replayed(applied=3, unreadable=2, refused=1)
    assert messages(query) == ["a", "b", "c"]
    assert spool.depth()[:2] == (0, 3)
    assert list(spool.folder.glob("*.json*")) == []
    kept = [json.loads(path.read_text()) for path in spool.bad.glob("*.json")]
    assert sorted(one.get("unreadable", "") for one in kept) == ["", '{"torn', "\xff"]


def test_a_file_that_was_cut_within_its_first_record_is_set_aside_and_counted(
    service: Service,
) -> None:
    path = together(service.spool, record("a"), record("b"))
    path.write_bytes(record("a")[:20])
    assert drain(service.store, service.spool) == Replayed(unreadable=1)
    assert service.spool.depth()[:2] == (0, 1)
    assert service.spool.list_files() == []
    assert service.spool.depth()[:2] == (0, 1)


class Poisoned(SqliteStore):
    """A store that cannot take one message now, though it takes others."""

    is_poisoned = True

    def record(self, update: StatusUpdate) -> Outcome:
        if self.is_poisoned and update.message_uuid == "poisoned":
            raise StoreUnavailable("SQLITE_CORRUPT")
        return super().record(update)


def test_what_has_to_wait_gets_a_file_of_its_own_and_the_rest_of_its_file_is_applied(
    service: Service, query: Query
) -> None:
    spool, store = service.spool, Poisoned(service.settings.database_path)
    os.utime(together(spool, record("a"), record("poisoned"), record("b")), (1000, 1000))
    assert drain(store, spool) == Replayed(applied=2, stuck=1)
    assert messages(query) == ["a", "b"]
    (path,) = spool.folder.glob("*.json*")
    assert path.read_bytes() == record("poisoned")
    assert path.stat().st_mtime == 1000  # as old as before
    assert (spool.depth().waiting, spool.depth().stuck) == (1, 1)
    assert drain(store, spool) == Replayed()  # not yet
    spool.keep(callback("poisoned"), "a reason")  # has a file already
    assert list(spool.folder.glob("*.json*")) == [path]
    store.is_poisoned, spool.stuck[path.name].again_at = False, 0.0
    assert drain(store, spool) == Replayed(applied=1)
    assert (spool.depth().waiting, spool.depth().stuck) == (0, 0)
    assert messages(query) == ["a", "b", "poisoned"]
    store.close()


class Dying(SqliteStore):
    """A store that takes nothing any more after some updates."""

    left = 2

    def record(self, update: StatusUpdate) -> Outcome:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("the disk is full")
        return super().record(update)

    def probe(self) -> None:
        raise StoreUnavailable("the disk is full")


@pytest.mark.parametrize("why", ["the store takes nothing", "it is to stop"])
def test_a_drain_that_ends_within_a_file_leaves_the_rest_of_it(
    service: Service, query: Query, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smsstatus.intake.replay.TRIAL_SECONDS", 0.0)
    spool, store = service.spool, service.store
    together(spool, *map(record, "abcde"))
    if why == "it is to stop":
        questions = iter([False, False, False])
        assert drain(store, spool, lambda: next(questions, True)) == Replayed(applied=2)
    else:
        dying = Dying(service.settings.database_path)
        with pytest.raises(StoreUnavailable):
            drain(dying, spool)
        dying.close()
    assert messages(query) == ["a", "b"]
    assert spool.depth().waiting == Spool(spool.folder).depth().waiting == 3
    assert drain(store, spool) == Replayed(applied=3)
    assert messages(query) == ["a", "b", "c", "d", "e"]


def test_a_file_stays_whole_while_no_other_can_be_written(service: Service, query: Query) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    spool = Spool(service.spool.folder, full)
    path = together(spool, record("a"), UNUSABLE, record("b"))
    content = path.read_bytes()
    drain(service.store, spool)
    assert messages(query) == ["a", "b"]
    assert path.read_bytes() == content
    assert "No space left" in spool.stuck[path.name].reason
    assert drain(service.store, service.spool) == Replayed(known=2, refused=1)
    assert service.spool.depth()[:2] == (0, 1)


def test_replay_applies_what_it_can_of_a_file_that_is_named(
    service: Service, client: FlaskClient, query: Query
) -> None:
    path = together(service.spool, record("a"), UNUSABLE, record("b"))
    done = client.application.test_cli_runner().invoke(args=["replay", str(path)])
    assert done.exit_code == 1
    assert "MessageUUID is missing" in done.stderr
    assert "2 applied" in done.stderr
    assert messages(query) == ["a", "b"]
    assert path.exists()
