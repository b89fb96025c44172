"""`replay`: the spool, one of its files, or a log; doing it again changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask

from smsstatus.callback import Callback, StatusUpdate
from smsstatus.service import Service, service_of
from smsstatus.settings import Settings
from smsstatus.spool import log_record
from smsstatus.store import Outcome, Store

from ..conftest import Query
from ..plivo import Plivo
from .conftest import Run, files_of, refused

SELECT = "SELECT message_uuid, current_status, created_at FROM messages"
RECEIVED = "2026-11-01T12:00:00.000000Z"


@pytest.fixture
def service(app: Flask) -> Service:
    return service_of(app)


def callback(message_uuid: str, status: str = "sent", **more: str) -> Callback:
    fields = Plivo().fields(status, message_uuid, **more)
    return Callback("POST", "", urlencode(fields), RECEIVED)


def unusable() -> Callback:
    return Callback("POST", "", urlencode({"Status": "sent"}), RECEIVED)


def content(query: Query) -> list[list[dict[str, Any]]]:
    return [query("SELECT * FROM messages"), query("SELECT * FROM status_events")]


def test_the_spool_is_applied_and_emptied(run: Run, service: Service, query: Query) -> None:
    for name, status in (("a", "sent"), ("b", "delivered"), ("a", "delivered")):
        service.spool.keep(callback(name, status), "a reason")
    done = run("replay")
    assert (done.exit_code, done.stdout, done.stderr) == (
        *(0, "3 applied, 0 cannot be applied.\n", ""),
    )
    assert query(f"{SELECT} ORDER BY message_uuid") == [
        {"message_uuid": name, "current_status": "delivered", "created_at": RECEIVED}
        for name in ("a", "b")
    ]
    assert query("SELECT DISTINCT source FROM status_events") == [{"source": "replay"}]
    assert service.spool.depth()[:2] == (0, 0)
    assert run("replay").stdout == "0 applied, 0 cannot be applied.\n"


def test_what_cannot_be_applied_is_set_aside_and_shows_in_the_exit_code(
    run: Run, service: Service, query: Query
) -> None:
    service.spool.keep(unusable(), "a reason")
    (service.spool.folder / "20261101-broken.json").write_bytes(b"{\xff")
    service.spool.keep(callback("a"), "a reason")
    done = run("replay")
    assert done.exit_code == 1
    assert done.stdout == "1 applied, 2 cannot be applied.\n"
    assert service.spool.depth()[:2] == (0, 2)
    reasons = [json.loads(path.read_text())["reason"] for path in service.spool.bad.iterdir()]
    assert "MessageUUID is missing" in reasons
    assert len(query("SELECT * FROM messages")) == 1


@pytest.mark.parametrize("what", ["half a character", "a mistake in the program"])
def test_a_file_that_fails_as_nobody_foresaw_does_not_keep_those_behind_it_waiting(
    run: Run, service: Service, query: Query, what: str
) -> None:
    poisoned = callback("poisoned")._replace(received_at="2026-11-01T11:00:00.000000Z")
    if what == "half a character":
        text = json.dumps(poisoned._replace(body="MessageUUID=\ud800&Status=sent")._asdict())
        (service.spool.folder / "20261101110000000000-x.json").write_text(text)
    else:
        service.spool.keep(poisoned, "a reason")
        service.store = Mistaken(service.settings.database_path)
    service.spool.keep(callback("a"), "a reason")
    assert run("replay").stdout == "1 applied, 1 cannot be applied.\n"
    assert service.spool.depth()[:2] == (0, 1)
    assert query("SELECT message_uuid FROM messages") == [{"message_uuid": "a"}]


class Mistaken(Store):
    """A store with a mistake that shows at one message."""

    def record(self, update: StatusUpdate) -> Outcome:
        if update.message_uuid == "poisoned":
            raise KeyError(update.message_uuid)
        return super().record(update)


def test_a_spool_that_is_not_there_is_not_taken_for_an_empty_one(
    run: Run, service: Service
) -> None:
    service.spool.bad.rmdir()
    service.spool.folder.rmdir()
    assert "not replayed" in refused(run("replay"))


def test_a_spool_that_somebody_removed_is_made_again(service: Service) -> None:
    for keep in (service.spool.keep, service.spool.keep_bad, lambda *_: service.spool.probe()):
        shutil.rmtree(service.spool.folder)
        keep(callback("a"), "a reason")
    shutil.rmtree(service.spool.folder)
    service.spool.keep(callback("a"), "a reason")
    assert service.spool.depth()[:2] == (1, 0)


def test_a_file_is_applied_and_left_where_it_is(run: Run, service: Service, query: Query) -> None:
    service.spool.keep_bad(callback("a"), "mended since")
    (path,) = service.spool.bad.iterdir()
    assert run("replay", path).stdout == "1 applied, 0 cannot be applied.\n"
    before = content(query)
    assert run("replay", path).exit_code == 0
    assert content(query) == before
    assert files_of(service.spool.bad) == {path.name}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "[]", "5", "{}", '{"method": "POST"}', "\ud800"),
        json.dumps({**unusable()._asdict(), "reason": "", "version": 1}),
        json.dumps({**callback("a")._asdict(), "body": 5}),
        json.dumps({**callback("a")._asdict(), "v2_nonce": 5}),
        json.dumps({**callback("a")._asdict(), "body": "Status=%FF"}),
        "[" * 10_000,
    ],
    ids=range(13),
)
def test_a_file_that_is_none_of_ours_is_one_line(
    run: Run, tmp_path: Path, query: Query, text: str
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert "not replayed" in refused(run("replay", path))
    assert query("SELECT * FROM messages") == []


@pytest.mark.parametrize("name", ["none.json", "none.log"])
def test_a_file_that_does_not_exist_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    assert "not replayed" in refused(run("replay", tmp_path / name))


def log_of(*callbacks: Callback, token: str = Plivo.token) -> str:
    head = ["[2026-11-01 00:00:00 +0000] [1] [INFO] Starting", "Status=sent&MessageUUID=c"]
    records = [log_record(kept, token) for kept in callbacks]
    lines = [f"2026-11-01T00:00:00.000Z ERROR smsstatus: {record}" for record in records]
    return "\n".join([*head, *lines, "\x00\x1b[2J", ""])


@pytest.mark.parametrize("way", ["a file", "standard input"])
def test_a_logs_lines_of_last_resort_are_applied_and_no_others(
    run: Run, tmp_path: Path, query: Query, way: str
) -> None:
    log = log_of(callback("a"), callback("b", "delivered"))
    path = tmp_path / "service.log"
    path.write_bytes(log.encode() + b"\xff\xfe\n")
    for _ in range(2):
        done = run("replay", path) if way == "a file" else run("replay", "-", input=log)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == "2 applied, 0 cannot be applied.\n"
        assert [message["message_uuid"] for message in content(query)[0]] == ["a", "b"]
        assert len(content(query)[1]) == 2


def test_a_log_without_them_is_no_trouble(run: Run) -> None:
    assert run("replay", "-", input=log_of()).stdout == "0 applied, 0 cannot be applied.\n"


@pytest.mark.parametrize("change", ["another token", "another body", "cut"])
def test_a_forged_record_is_refused_and_the_rest_is_applied(
    run: Run, query: Query, change: str
) -> None:
    forged = log_of(callback("forged"), token="another" if "token" in change else Plivo.token)
    if change == "another body":
        record = log_record(callback("a"), Plivo.token)
        mac = record.rpartition(".")[2]
        forged = log_record(callback("forged"), Plivo.token).rpartition(".")[0] + f".{mac}\n"
    elif change == "cut":
        record = log_record(callback("forged"), Plivo.token)
        forged = record.replace("smsstatus-callback ", "smsstatus-callback A") + "\n"
    done = run("replay", "-", input=forged + log_of(callback("a")))
    assert done.exit_code == 1
    assert done.stdout == "1 applied, 1 cannot be applied.\n"
    assert "none of the tokens in PLIVO_AUTH_TOKEN wrote" in done.stderr
    assert [message["message_uuid"] for message in query("SELECT * FROM messages")] == ["a"]


def test_a_record_of_a_token_that_was_rotated_is_read(
    app: Flask, run: Run, service: Service, settings: Settings, query: Query
) -> None:
    service.settings = replace(settings, auth_tokens=("new", Plivo.token))
    assert run("replay", "-", input=log_of(callback("a"))).exit_code == 0
    assert len(query("SELECT * FROM messages")) == 1


def test_a_record_that_cannot_be_used_is_named(run: Run) -> None:
    done = run("replay", "-", input=log_of(unusable()))
    assert (done.exit_code, done.stdout) == (1, "0 applied, 1 cannot be applied.\n")
    assert "MessageUUID is missing" in done.stderr


def test_a_store_that_takes_nothing_keeps_the_spool_as_it_is(
    run: Run, service: Service, settings: Settings
) -> None:
    service.spool.keep(callback("a"), "a reason")
    settings.database_path.unlink()
    settings.database_path.mkdir()
    assert "not replayed" in run("replay").stderr
    assert service.spool.depth()[:2] == (1, 0)
