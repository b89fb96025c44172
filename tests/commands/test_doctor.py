"""`doctor` finds out why nothing arrives: each of its checks, well and ill."""

from __future__ import annotations

import itertools
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from flask import Flask

from smsstatus import create_app
from smsstatus.clock import Clock
from smsstatus.commands.doctor import Check, engine_check, examine
from smsstatus.disks import MOUNTS
from smsstatus.plivo.callback import Callback
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.store.sqlite.version import engine
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..live import ROOT, LiveService, environment, free_port, live_service
from ..plivo_api import AUTH_ID, PlivoApi, Reply
from ..serving import serving
from .conftest import Run, command

NAMES = (
    "settings",
    "BASE_URL",
    "database",
    "disk",
    "spool",
    "SQLite",
    "Plivo account",
    "clock",
    "public road",
    "forgery",
    "server",
)

Examine = Callable[..., dict[str, Check]]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """The service that Plivo's callbacks are to reach."""
    with live_service(tmp_path_factory.mktemp("there")) as service:
        yield service


@pytest.fixture
def settings(settings: Settings, there: LiveService) -> Settings:
    return replace(settings, base_url=there.address)


@pytest.fixture
def checks(settings: Settings) -> Iterator[Examine]:
    """Examine a service with these settings; its checks by name."""
    services: list[Service] = []

    def by_name(
        mounts: Path = MOUNTS, clock: Clock | None = None, **changes: object
    ) -> dict[str, Check]:
        service = Service.make(replace(settings, **changes))  # type: ignore[arg-type]
        service.clock = clock or service.clock
        service.prepare()
        services.append(service)
        return {check.name: check for check in examine(service, mounts)}

    yield by_name
    for service in services:
        service.stop()


def test_a_service_that_is_well_passes_every_check(run: Run, there: LiveService) -> None:
    done = run("doctor")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.partition("  ")[2].partition(":")[0].strip() for line in lines] == list(NAMES)
    by_name = dict(zip(NAMES, lines, strict=True))
    assert all(re.match(r"(ok|warn)  ", line) for line in lines)
    for name in set(NAMES) - {"BASE_URL", "disk", "SQLite"}:
        assert by_name[name].startswith("ok    "), by_name[name]
    assert there.address in by_name["public road"]


def test_the_probe_leaves_no_row_and_no_file(run: Run, there: LiveService, app: Flask) -> None:
    def held() -> tuple[list[tuple[object, ...]], list[Path]]:
        with closing(sqlite3.connect(there.database)) as connection:
            rows = connection.execute(
                "SELECT message_uuid FROM messages UNION ALL SELECT nonce FROM v2_nonces"
            ).fetchall()
        return rows, sorted(there.spool.rglob("*.json*"))

    before = held()
    assert run("doctor").exit_code == 0
    assert held() == before == ([], [])


def test_a_fail_shows_in_the_exit_code_and_the_rest_is_still_checked(settings: Settings) -> None:
    app = create_app(replace(settings, auth_tokens=("another",)))
    done = app.test_cli_runner().invoke(args=["doctor"], catch_exceptions=False)
    service_of(app).stop()
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) == len(NAMES)
    assert [line for line in lines if line.startswith("FAIL")] != []


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        command("doctor"),
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com", PLIVO_AUTH_TOKEN=" "),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "PLIVO_AUTH_TOKEN is empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_api_token_a_warning_says_what_is_closed(checks: Examine) -> None:
    check = checks(api_token=None)["settings"]
    assert (check.level, check.text.split()[0]) == ("warn", "API_TOKEN")
    assert "/messages, /changes, /stats and the page answer 503" in check.text


def test_where_the_spool_keeps_the_service_from_starting_it_still_examines(
    tmp_path: Path, there: LiveService
) -> None:
    variables = environment(tmp_path, there.address, SPOOL_DIR="/proc/spool")
    done = subprocess.run(
        command("doctor"), cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert re.search(r"^FAIL  spool: /proc/spool takes no files", done.stdout, re.MULTILINE)
    assert re.search(r"^ok    public road: ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("base_url", "level", "words"),
    [
        ("https://sms.example.com", "ok", "https://sms.example.com"),
        ("https://sms.example.com:8443/prefix", "ok", "prefix"),
        ("https://8.8.8.8", "ok", "8.8.8.8"),
        ("http://sms.example.com", "warn", "is not https"),
        *((f"http://{host}:8000", "warn", "public address") for host in ("localhost", "127.0.0.1")),
        *((f"https://{host}", "warn", "public address") for host in ("10.0.0.5", "192.168.1.1")),
        *((f"https://{host}", "warn", "public address") for host in ("box.local", "[::1]")),
    ],
)
def test_base_url_has_to_be_https_and_public(
    app: Flask, settings: Settings, base_url: str, level: str, words: str
) -> None:
    service = Service.make(replace(settings, base_url=base_url))
    check = next(itertools.islice(examine(service), 1, None))
    assert (check.name, check.level) == ("BASE_URL", level)
    assert words in check.text


def test_a_database_that_takes_no_write_fails(checks: Examine, settings: Settings) -> None:
    settings.database_path.mkdir()
    check = checks()["database"]
    assert check.level == "FAIL"
    assert str(settings.database_path) in check.text
    assert "is writable and has space" in check.text


def test_of_a_damaged_database_the_mend_is_said(checks: Examine, settings: Settings) -> None:
    settings.database_path.write_bytes(b"no database" * 1000)
    check = checks()["database"]
    assert check.level == "FAIL"
    assert "SQLITE_NOTADB" in check.text
    assert "move it and its -wal and -shm away, or put a backup in its place" in check.text


@pytest.mark.parametrize(
    ("kind", "dyno", "level", "words"),
    [
        ("ext4", None, "ok", "ext4"),
        ("", None, "ok", "a disk"),
        ("ext4", "web.1", "warn", "Heroku"),
        *((kind, None, "warn", "mount a volume") for kind in ("tmpfs", "ramfs", "overlay")),
        *((kind, None, "FAIL", "local disk") for kind in ("nfs4", "cifs", "fuse.sshfs")),
        ("nfs", "web.1", "FAIL", "local disk"),
    ],
)
def test_the_disk_has_to_survive_a_restart(
    checks: Examine, tmp_path: Path, kind: str, dyno: str | None, level: str, words: str
) -> None:
    mounts = tmp_path / "mounts"
    if kind:  # else as on a system that has no such list
        mounts.write_text(f"root / zfs rw 0 0\nx {tmp_path} {kind} rw 0 0\n")
    check = checks(mounts, dyno=dyno)["disk"]
    assert check.level == level
    assert words in check.text


def test_the_filesystem_is_the_one_df_tells(checks: Examine, tmp_path: Path) -> None:
    told = subprocess.run(
        ["df", "--output=fstype", tmp_path], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    assert told in checks()["disk"].text


def test_a_spool_that_takes_no_files_fails(app: Flask, settings: Settings) -> None:
    (settings.spool_dir / "bad").rmdir()
    settings.spool_dir.rmdir()
    settings.spool_dir.write_text("a file in its place")
    check = next(check for check in examine(service_of(app)) if check.name == "spool")
    assert check.level == "FAIL"
    assert "SPOOL_DIR" in check.text


@pytest.mark.parametrize(
    ("place", "words"), [("bad", "could not be used"), ("waiting", "`replay` does")]
)
def test_callbacks_in_the_spool_are_worth_a_warning(app: Flask, place: str, words: str) -> None:
    spool = service_of(app).spool
    keep = spool.keep_bad if place == "bad" else spool.keep
    keep(Callback("POST", "", "Status=sent", "2026-11-01T00:00:00.000000Z"), "a reason")
    check = next(check for check in examine(service_of(app)) if check.name == "spool")
    assert (check.level, check.text.split()[0]) == ("warn", "1")
    assert words in check.text


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 51, 3), "ok"),
        ((3, 52, 0), "ok"),
        ((4, 0, 0), "ok"),
        ((3, 51, 2), "warn"),
        ((3, 50, 7), "ok"),
        ((3, 50, 8), "ok"),
        ((3, 50, 6), "warn"),
        ((3, 51, 0), "warn"),
        ((3, 44, 6), "ok"),
        ((3, 44, 5), "warn"),
        ((3, 45, 0), "warn"),
        ((3, 40, 1), "warn"),
    ],
)
def test_a_sqlite_with_the_wal_reset_bug_is_worth_a_warning(
    version: tuple[int, int, int], level: str
) -> None:
    check = engine_check(engine(version))
    assert check.level == level
    assert ".".join(map(str, version)) in check.text


def test_credentials_are_read_with_one_cheap_request(checks: Examine, standin: PlivoApi) -> None:
    assert checks()["Plivo account"].level == "ok"
    (asked,) = standin.asked
    assert (asked.method, asked.path.rstrip("/")) == ("GET", f"/v1/Account/{AUTH_ID}")


def test_without_an_auth_id_plivo_is_not_asked(checks: Examine, standin: PlivoApi) -> None:
    found = checks(auth_id=None)
    assert found["Plivo account"].level == "warn"
    assert "skipped: PLIVO_AUTH_ID is not set" in found["Plivo account"].text
    assert (found["clock"].level, standin.asked) == ("warn", [])
    assert "compared with nothing: see that NTP is on" in found["clock"].text


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, b"Could not verify"), "check PLIVO_AUTH_ID and the first token"),
        (Reply(404, {"error": "not found"}), "Plivo does not know this"),
        (Reply(429, {"error": "slow"}), "rate limit"),
        (Reply(503, b"<html>"), "Plivo has trouble"),
        (Reply(302, b"", {"Location": "/"}), "PLIVO_API_URL"),
        (Reply(hang_up_after=-1), "connection to Plivo broke"),
    ],
)
def test_a_plivo_that_refuses_fails(
    checks: Examine, standin: PlivoApi, reply: Reply, words: str
) -> None:
    standin.reply = lambda asked: reply
    found = checks()
    assert found["Plivo account"].level == "FAIL"
    assert words in found["Plivo account"].text
    assert found["public road"].level == "ok"


def test_a_plivo_that_is_not_there_fails(checks: Examine) -> None:
    check = checks(plivo_api_url=f"http://127.0.0.1:{free_port()}")["Plivo account"]
    assert (check.level, "cannot be reached" in check.text) == ("FAIL", True)


@pytest.mark.parametrize(
    ("apart", "level"), [(-60, "ok"), (60, "ok"), (-61, "warn"), (61, "warn"), (86_400, "warn")]
)
def test_a_clock_apart_from_plivos_is_worth_a_warning(
    checks: Examine, standin: PlivoApi, apart: int, level: str
) -> None:
    clock = HandClock(datetime(2026, 11, 1, 12, tzinfo=UTC))
    date = format_datetime(clock.now() + timedelta(seconds=apart), usegmt=True)
    standin.reply = lambda asked: Reply(200, {"auth_id": AUTH_ID}, {"Date": date})
    check = checks(clock=clock)["clock"]
    assert check.level == level
    assert ("NTP" in check.text) == (level == "warn")


def test_a_clock_that_was_never_set_fails_where_there_is_nothing_to_compare_it_with(
    checks: Examine,
) -> None:
    check = checks(clock=HandClock(datetime(1970, 1, 1, tzinfo=UTC)), auth_id=None)["clock"]
    assert (check.level, check.text) == ("FAIL", "it says 1970-01-01: set it")


def test_a_time_in_no_zone_is_utc(checks: Examine, standin: PlivoApi) -> None:
    clock = HandClock(datetime(2026, 11, 1, 12, tzinfo=UTC))
    date = "Sun, 01 Nov 2026 12:00:05 -0000"
    standin.reply = lambda asked: Reply(200, {"auth_id": AUTH_ID}, {"Date": date})
    check = checks(clock=clock)["clock"]
    assert (check.level, check.text) == ("ok", "5 s apart from Plivo's")


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Sun, 99 Nov 2026 00:00:00 GMT",
        "Sun, 01 Nov 2026 00:00:00 +99999999999999",
    ],
)
def test_a_date_that_is_none_compares_nothing(
    checks: Examine, standin: PlivoApi, date: str
) -> None:
    standin.reply = lambda asked: Reply(200, {"auth_id": AUTH_ID}, {"Date": date})
    assert "compared with nothing" in checks()["clock"].text


# The public road.


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """Another program at BASE_URL, that answers these in turn; its address."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = next(left)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", "https://sms.example.com/plivo/status")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def test_another_token_or_base_url_there_fails(checks: Examine, there: LiveService) -> None:
    for changes in (
        {"auth_tokens": ("another",)},
        {"base_url": f"http://localhost:{there.port}"},
    ):
        check = checks(**changes)["public road"]
        assert check.level == "FAIL"
        assert "refused with 403" in check.text
        assert "BASE_URL or PLIVO_AUTH_TOKEN" in check.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, b"Welcome!"), "another program answers"),
        ((200, b""), "another program answers"),
        ((200, b"ok\n"), "another program answers"),
        ((301, b""), "https most often"),
        ((302, b""), "redirected (302)"),
        ((308, b""), "redirected (308)"),
        ((404, b"no"), "path prefix"),
        ((405, b"no"), "answered 405"),
        ((502, b"Bad gateway"), "look at the tunnel or proxy"),
    ],
)
def test_another_program_there_fails(
    checks: Examine, answer: tuple[int, bytes], words: str
) -> None:
    with answering(answer) as address:
        found = checks(base_url=address)
    assert found["public road"].level == "FAIL"
    assert words in found["public road"].text
    assert found["forgery"].level == "FAIL"


def test_a_service_that_takes_the_forgery_fails(checks: Examine) -> None:
    with answering((200, b"probe ok\n")) as address:
        found = checks(base_url=address)
    assert found["public road"].level == "ok"
    assert found["forgery"].level == "FAIL"
    assert "answered 200, not 403" in found["forgery"].text


def test_nobody_there_fails_once(checks: Examine) -> None:
    found = checks(base_url=f"http://127.0.0.1:{free_port()}")
    assert found["public road"].level == "FAIL"
    assert "tunnel or proxy" in found["public road"].text
    assert "forgery" not in found
