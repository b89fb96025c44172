"""`replay`: the spool, one of its files, or a log; doing it again changes nothing."""

from __future__ import annotations

import gzip
import hmac
import json
import random
import re
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask

from smsstatus.intake import replay as replaying
from smsstatus.intake.last_resort import log_lines
from smsstatus.model import StatusUpdate
from smsstatus.plivo.callback import Callback
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.store.contract import Outcome
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..conftest import Query
from ..rows import PARAMETERS
from ..signed import Plivo
from .conftest import Run, files_of, refused

SELECT = "SELECT message_uuid, current_status, created_at FROM messages"
NOTHING = "0 applied, 0 already known, 0 unreadable.\n"
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
        0,
        "3 applied, 0 already known, 0 unreadable.\n",
        "",
    )
    assert query(f"{SELECT} ORDER BY message_uuid") == [
        {"message_uuid": name, "current_status": "delivered", "created_at": RECEIVED}
        for name in ("a", "b")
    ]
    assert query("SELECT DISTINCT source FROM status_events") == [{"source": "replay"}]
    assert service.spool.depth()[:2] == (0, 0)
    assert run("replay").stdout == NOTHING


def test_what_cannot_be_applied_is_set_aside_and_shows_in_the_exit_code(
    run: Run, service: Service, query: Query
) -> None:
    service.spool.keep(unusable(), "a reason")
    (service.spool.folder / "20261101-broken.json").write_bytes(b"{\xff")
    service.spool.keep(callback("a"), "a reason")
    done = run("replay")
    assert done.exit_code == 1
    assert done.stdout == "1 applied, 0 already known, 1 unreadable, 1 cannot be applied.\n"
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
    unreadable, refused = (1, 0) if what == "half a character" else (0, 1)
    said = run("replay").stdout
    assert said.startswith(f"1 applied, 0 already known, {unreadable} unreadable")
    assert ("1 cannot be applied" in said) == bool(refused)
    assert service.spool.depth()[:2] == (0, 1)
    assert query("SELECT message_uuid FROM messages") == [{"message_uuid": "a"}]


class Mistaken(SqliteStore):
    """A store with a mistake that shows at one message."""

    def record(self, update: StatusUpdate) -> Outcome:
        if update.message_uuid == "poisoned":
            raise KeyError(update.message_uuid)
        return super().record(update)


def test_what_was_set_aside_for_its_query_can_be_replayed_now(
    run: Run, service: Service, query: Query
) -> None:
    kept = callback("a", "delivered")._replace(query="To=crm&Status=sent")
    service.spool.keep_bad(kept, "Status is given more than once with different values")
    (path,) = service.spool.bad.iterdir()
    assert run("replay", str(path)).exit_code == 0
    (row,) = query("SELECT * FROM messages")
    assert (row["current_status"], row["recipient_number"]) == ("delivered", "14155550123")


def test_another_reading_of_a_known_text_is_not_applied(
    run: Run, service: Service, query: Query
) -> None:
    kept = Callback("POST", "", "ErrorCode=30&MessageUUID=a&Status=failed", RECEIVED)
    service.spool.keep(kept, "a reason")
    assert run("replay").exit_code == 0
    before = content(query)
    other = kept._replace(body="ErrorCode3=0&MessageUUID=a&Status=failed")
    service.spool.keep(other, "a reason")
    assert run("replay").exit_code == 1
    assert content(query) == before
    (bad,) = service.spool.bad.iterdir()
    assert "what Plivo signed was read as other fields before" in bad.read_text()


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
    service.spool.list_files()
    assert service.spool.depth()[:2] == (1, 0)


def test_a_file_is_applied_and_left_where_it_is(run: Run, service: Service, query: Query) -> None:
    service.spool.keep_bad(callback("a"), "fixed since")
    (path,) = service.spool.bad.iterdir()
    assert run("replay", path).stdout == "1 applied, 0 already known, 0 unreadable.\n"
    before = content(query)
    assert run("replay", path).exit_code == 0
    assert content(query) == before
    assert files_of(service.spool.bad) == {path.name}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "5",
        "{}",
        '{"method": "POST"}',
        "\ud800",
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


HEAD = "[2026-11-01 00:00:00 +0000] [1] [INFO] Starting\nStatus=sent&MessageUUID=c\n"


def log_of(*callbacks: Callback, token: str = Plivo.token) -> str:
    """What the service's log holds after it could keep these callbacks nowhere else."""
    lines = [line for kept in callbacks for line in log_lines(kept, token)]
    return HEAD + "".join(lines) + "\x00\x1b[2J\n"


def wordy(message_uuid: str) -> Callback:
    """A callback with so much to say that it takes several lines."""
    return callback(message_uuid, Text=random.Random(message_uuid).randbytes(900).hex())


def messages(query: Query) -> list[str]:
    return [row["message_uuid"] for row in query(f"{SELECT} ORDER BY message_uuid")]


@pytest.mark.parametrize("way", ["a file", "standard input"])
def test_a_logs_lines_of_last_resort_are_applied_and_no_others(
    run: Run, tmp_path: Path, query: Query, way: str
) -> None:
    log = log_of(callback("a"), callback("b", "delivered"))
    path = tmp_path / "service.log"
    path.write_bytes(log.encode() + b"\xff\xfe\n")
    for applied, known in ((2, 0), (0, 2)):
        done = run("replay", path) if way == "a file" else run("replay", "-", input=log)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == f"{applied} applied, {known} already known, 0 unreadable.\n"
        assert messages(query) == ["a", "b"]
        assert len(content(query)[1]) == 2


def test_a_log_of_json_lines_is_read_as_a_log(run: Run, tmp_path: Path, query: Query) -> None:
    """Its name can end as that of a spool file with several callbacks does."""
    path = tmp_path / "service.2026.jsonl"
    path.write_text(json.dumps({"log": log_of(callback("a"))}) + "\n")
    assert run("replay", path).stdout == "1 applied, 0 already known, 0 unreadable.\n"
    assert messages(query) == ["a"]


def test_a_log_without_them_is_no_trouble(run: Run) -> None:
    assert run("replay", "-", input=log_of()).stdout == NOTHING


def _json(log: str) -> bytes:
    return b"".join(json.dumps({"log": line}).encode() + b"\n" for line in log.splitlines(True))


TRANSPORTS: dict[str, Callable[[str], bytes]] = {
    "syslog": lambda log: re.sub(
        "^", "<131>Nov 25 20:00:05 host smsstatus[123]: ", log, flags=re.M
    ).encode(),
    "heroku": lambda log: re.sub(
        "^", "2026-11-25T20:00:05.123456+00:00 app[web.1]: ", log, flags=re.M
    ).encode(),
    "JSON": _json,
    "JSON in JSON": lambda log: _json(_json(log).decode()),
    "HTML-safe JSON": lambda log: _json(log).replace(b"=", b"\\u003d").replace(b"`", b"\\u0060"),
    "CRLF": lambda log: log.replace("\n", "\r\n").encode(),
    "CR": lambda log: log.replace("\n", "\r").encode(),
    "UTF-16": lambda log: log.encode("utf-16"),
    "UTF-16 without a mark": lambda log: log.encode("utf-16-be"),
    "UTF-32": lambda log: log.encode("utf-32"),
    "Latin-1": lambda log: log.replace("Starting", "d\xe9marr\xe9").encode("latin-1"),
    "gzip": lambda log: gzip.compress(log.encode()),
    "colours": lambda log: re.sub("(.+)", "\x1b[31m\\1\x1b[0m", log).encode(),
    "URL-encoded": lambda log: quote(log, safe="\n").encode(),
    "upside down": lambda log: "".join(reversed(log.splitlines(True))).encode(),
    "doubled": lambda log: re.sub("(.*\n)", "\\1\\1", log).encode(),
    "no line ends": lambda log: log.replace("\n", " ").encode(),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_records_are_found_whatever_a_transport_made_of_the_lines(
    run: Run, tmp_path: Path, query: Query, transport: str
) -> None:
    path = tmp_path / "service.log"
    path.write_bytes(TRANSPORTS[transport](log_of(wordy("a"), callback("b"), wordy("c"))))
    done = run("replay", path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("3 applied, ")
    assert messages(query) == ["a", "b", "c"]


def test_parts_of_several_callbacks_are_told_apart(run: Run, query: Query) -> None:
    lines = [log_lines(wordy(name), Plivo.token) for name in ("a", "b", "c")]
    mixed = [line for parts in zip_longest(*lines, fillvalue="") for line in parts]
    random.Random(1).shuffle(mixed)
    assert run("replay", "-", input="".join(mixed)).stdout.startswith("3 applied, ")
    stored = {row["message_uuid"]: row["parameters"] for row in query(PARAMETERS)}
    assert stored == {name: wordy(name).body for name in ("a", "b", "c")}


def test_a_record_that_lacks_a_part_is_named_and_the_rest_is_applied(
    run: Run, query: Query
) -> None:
    first, _, *rest = log_lines(wordy("a"), Plivo.token)
    log = HEAD + first + log_of(callback("b")) + "".join(rest)
    done = run("replay", "-", input=log)
    assert (done.exit_code, done.stdout) == (1, "1 applied, 0 already known, 1 unreadable.\n")
    total = len(rest) + 2
    assert done.stderr == f"line 3: a record lacks part 2 of {total} and cannot be applied\n"
    assert messages(query) == ["b"]


def test_a_torn_copy_of_a_record_that_came_whole_is_no_loss(run: Run, query: Query) -> None:
    (line,) = log_lines(callback("a"), Plivo.token)
    for log in (line[:-40] + "\n" + line, line + line[:-40]):
        assert run("replay", "-", input=log).exit_code == 0
    assert messages(query) == ["a"]


EARLIER = (
    "2026-11-25T20:00:05.123Z ERROR smsstatus.webhook: store and spool both failed (SQLITE_FULL: "
    "database or disk is full; OSError: No space left on device), feed this line to `replay`: "
)


def earlier_log(kept: Callback, token: str = Plivo.token) -> str:
    """The line that versions before this one wrote."""
    encoded = urlsafe_b64encode(json.dumps(kept._asdict()).encode()).decode()
    mac = hmac.digest(token.encode(), f"smsstatus-callback {encoded}".encode(), "sha256").hex()
    return f"{EARLIER}smsstatus-callback {encoded}.{mac}\n"


@pytest.mark.parametrize("length", [4, 5, 6])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_an_earlier_version_wrote_is_read(
    run: Run, tmp_path: Path, query: Query, transport: str, length: int
) -> None:
    path = tmp_path / "service.log"
    path.write_bytes(TRANSPORTS[transport](earlier_log(callback("a" * length))))
    assert run("replay", path).exit_code == 0
    assert messages(query) == ["a" * length]


WRITERS: dict[str, Callable[..., str]] = {
    "now": lambda kept, token=Plivo.token: log_lines(kept, token)[0],
    "earlier": earlier_log,
}


@pytest.mark.parametrize("version", WRITERS)
def test_a_record_cut_anywhere_is_named_with_its_line(run: Run, query: Query, version: str) -> None:
    line = WRITERS[version](callback("lost")).rstrip()
    mark = line.index("smsstatus-callback")
    behind = (0, 9, 18, 19, 20, 22, 32, 33, 60, (len(line) - mark) // 2)
    for end in (*(mark + more for more in behind), len(line) - 1):
        done = run("replay", "-", input=HEAD + line[:end] + "\n" + log_of(callback("a")))
        assert done.exit_code == 1, end
        assert done.stderr == "line 3: a record is cut and cannot be applied\n", end
        assert done.stdout.endswith(" 1 unreadable.\n")
    assert messages(query) == ["a"]


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("change", ["another token", "another body"])
def test_a_forged_record_is_refused_and_the_rest_is_applied(
    run: Run, query: Query, change: str, version: str
) -> None:
    write = WRITERS[version]
    forged = write(callback("forged"), token="another")
    if change == "another body":
        mac = write(callback("a")).rpartition(".")[2]
        forged = write(callback("forged")).rpartition(".")[0] + f".{mac}"
    done = run("replay", "-", input=forged + log_of(callback("a")))
    assert done.exit_code == 1
    assert done.stdout == "1 applied, 0 already known, 1 unreadable.\n"
    assert "none of the tokens in PLIVO_AUTH_TOKEN wrote" in done.stderr
    assert done.stderr.startswith("line 1: ")
    assert messages(query) == ["a"]


def test_a_part_cannot_be_put_into_another_record_or_place(run: Run, query: Query) -> None:
    """Each of its numbers is under the MAC."""
    lines = log_lines(wordy("a"), Plivo.token)
    others = log_lines(callback("b"), Plivo.token)
    ids = [re.findall(r" 2\.([\w-]{11})\.", line)[0] for line in (lines[0], others[0])]
    moved = [line.replace(ids[0], ids[1]) for line in lines]
    swapped = [
        lines[0].replace(f"{ids[0]}.1.", f"{ids[0]}.2."),
        lines[1].replace(".2.", ".1."),
        *lines[2:],
    ]
    for log in (moved, swapped):
        done = run("replay", "-", input="".join(log))
        assert (done.exit_code, done.stdout) == (1, NOTHING.replace("0 unr", "1 unr"))
    assert messages(query) == []


@pytest.mark.parametrize(
    "line",
    [
        "records of smsstatus-callback are for replay",
        "see `smsstatus-callback` in the README",
        "grep smsstatus-callback service.log | flask --app wsgi replay -",
        "GET /smsstatus-callback.html 404",
        "store and spool both failed (...): the callback is in lines of the log, for `replay`",
    ],
)
def test_a_mark_in_prose_is_no_record(run: Run, line: str) -> None:
    done = run("replay", "-", input=f"{line}\n")
    assert (done.exit_code, done.stdout, done.stderr) == (0, NOTHING, "")


def test_a_log_whose_packing_is_damaged_is_not_taken_for_read(
    run: Run, tmp_path: Path, query: Query
) -> None:
    path = tmp_path / "service.log.gz"
    noise = random.Random(1).randbytes(100_000).hex()
    path.write_bytes(gzip.compress((log_of(callback("a")) + noise).encode())[:-9])
    assert "not replayed" in run("replay", path).stderr
    assert run("replay", path).exit_code == 1


def test_a_record_of_a_token_that_was_rotated_is_read(
    app: Flask, run: Run, service: Service, settings: Settings, query: Query
) -> None:
    service.settings = replace(settings, auth_tokens=("new", Plivo.token))
    log = log_of(callback("a")) + earlier_log(callback("b"))
    assert run("replay", "-", input=log).exit_code == 0
    assert messages(query) == ["a", "b"]


def test_a_record_that_cannot_be_used_is_named(run: Run) -> None:
    done = run("replay", "-", input=log_of(unusable()))
    assert done.exit_code == 1
    assert done.stdout == "0 applied, 0 already known, 0 unreadable, 1 cannot be applied.\n"
    assert "MessageUUID is missing" in done.stderr


def test_a_store_that_takes_nothing_keeps_the_spool_as_it_is(
    run: Run, service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "TRIAL_SECONDS", 0.0)
    service.spool.keep(callback("a"), "a reason")
    settings.database_path.unlink()
    settings.database_path.mkdir()
    assert "not replayed" in run("replay").stderr
    assert service.spool.depth()[:2] == (1, 0)
