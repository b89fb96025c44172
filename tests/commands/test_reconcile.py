"""`reconcile` asks Plivo about silent messages, slowly, and stops where going on is no use."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from smsstatus import create_app
from smsstatus.model import utc_timestamp
from smsstatus.plivo.api import PlivoError
from smsstatus.settings import Settings
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.upkeep import reconcile as reconciling
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Query, Receive
from ..live import ROOT, environment, wait_until
from ..plivo_api import AUTH_ID, Asked, HangingPlivo, PlivoApi, Reply
from ..rows import insert, row
from ..terminals import shown_on_a_terminal
from .conftest import Run, command, refused

DAY = "2026-11-01"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def nobody_waits(clock: HandClock) -> None:
    """Between requests only the clock is turned."""


def silent(number: int, age: timedelta = HOUR, status: str = "sent", **more: Any) -> dict[str, Any]:
    """A message whose last update came this long ago."""
    created_at = utc_timestamp(str(datetime.now(UTC) - age))
    return row(number, created_at, status, **more)


def uuid_of(number: int) -> str:
    return str(row(number, "")["message_uuid"])


def asked_about(standin: PlivoApi) -> list[str]:
    return [asked.path.rstrip("/").rsplit("/", 1)[-1] for asked in standin.asked]


@pytest.fixture
def three(writable: sqlite3.Connection) -> list[str]:
    """Three silent messages, the oldest first."""
    insert(writable, [silent(number, HOUR - number * MINUTE) for number in range(3)])
    return [uuid_of(number) for number in range(3)]


def summary(result: Result) -> str:
    """The last line; nothing else is printed, and no progress bar where nobody looks."""
    assert result.stderr == ""
    (line,) = result.stdout.splitlines()
    return line


def delivered(**more: str) -> dict[str, str]:
    """What the Message API says, in an account whose clock is that of India."""
    return {
        "message_state": "delivered",
        "error_code": "000",
        "from_number": "14155550100",
        "to_number": "14155550123",
        "message_time": f"{DAY} 05:30:01+05:30",
        "message_sent_time": f"{DAY} 05:30:02.5+05:30",
        "message_updated_time": f"{DAY} 05:30:03.94772+05:30",
        **more,
    }


# What an answer does.


def test_an_answer_goes_the_way_of_a_callback(
    run: Run, standin: PlivoApi, three: list[str], query: Query
) -> None:
    for message_uuid in three:
        standin.messages[message_uuid] = delivered()
    done = run("reconcile")
    assert done.exit_code == 0
    assert summary(done) == "3 asked, 3 changed, 0 unknown to Plivo, 0 failed, 0 left"
    assert sorted(asked_about(standin)) == three
    assert {asked.method for asked in standin.asked} == {"GET"}
    for message in query("SELECT * FROM messages"):
        assert message["current_status"] == "delivered"
        assert message["status_timestamp"] == f"{DAY}T00:00:03.947720Z"
        assert message["queued_at"] == f"{DAY}T00:00:01.000000Z"
        assert message["error_code"] is None
        assert message["sender_number"] == "14155550100"
    assert {event["source"] for event in query("SELECT * FROM status_events")} == {"reconcile"}


def test_an_error_code_is_kept(run: Run, standin: PlivoApi, three: list[str], query: Query) -> None:
    standin.messages[three[0]] = delivered(message_state="undelivered", error_code="30")
    run("reconcile", "--limit", 1)
    (changed,) = query("SELECT * FROM messages WHERE is_final = 1")
    assert (changed["current_status"], changed["error_code"]) == ("undelivered", "30")


def test_the_same_answer_again_changes_nothing(
    app: Flask, standin: PlivoApi, writable: sqlite3.Connection, query: Query
) -> None:
    insert(writable, [silent(0, status="queued")])
    standin.messages[uuid_of(0)] = delivered(message_state="sent")
    assert reconciling.ask_about(service_of(app), uuid_of(0)).is_changed
    before = query("SELECT * FROM status_events")
    assert not reconciling.ask_about(service_of(app), uuid_of(0)).is_changed
    assert query("SELECT * FROM status_events") == before


@pytest.mark.parametrize(
    ("said", "at", "stands"),
    [
        ("sent", "05:30:09+05:30", "delivered"),
        ("undelivered", "05:30:04.9+05:30", "delivered"),
        ("undelivered", "05:30:05.1+05:30", "undelivered"),
        ("undelivered", "00:00:04+00:00", "delivered"),
        ("undelivered", "2026-10-31 19:00:06-05:00", "undelivered"),
    ],
)
def test_a_callback_that_comes_while_plivo_is_asked_is_compared_by_time_whatever_the_offset(
    run: Run,
    standin: PlivoApi,
    three: list[str],
    receive: Receive,
    query: Query,
    said: str,
    at: str,
    stands: str,
) -> None:
    moment = at if at.startswith("2026") else f"{DAY} {at}"

    def meanwhile(asked: Asked) -> Reply:
        receive("delivered", three[0], DeliveryReportTime=f"{DAY} 00:00:05")
        times = dict.fromkeys(("message_sent_time", "message_updated_time"), moment)
        return Reply(200, delivered(message_state=said, **times))

    standin.reply = meanwhile
    assert run("reconcile", "--limit", 1).exit_code == 0
    (message,) = query("SELECT * FROM messages WHERE message_uuid = ?", three[0])
    assert message["current_status"] == stands


def test_a_final_message_is_not_asked_about(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection
) -> None:
    finals = ("delivered", "undelivered", "failed", "rejected", "read")
    insert(writable, [silent(number, HOUR, status) for number, status in enumerate(finals)])
    assert summary(run("reconcile")).startswith("0 asked")
    assert standin.asked == []


def test_a_message_that_plivo_received_is_not_written(
    app: Flask, standin: PlivoApi, query: Query
) -> None:
    standin.messages[uuid_of(1)] = delivered(message_direction="inbound")
    with pytest.raises(PlivoError, match="only those that it was to send") as refusal:
        reconciling.ask_about(service_of(app), uuid_of(1))
    assert refusal.value.status == 422
    assert query("SELECT * FROM messages") == []


def test_messages_that_plivo_received_stop_no_run(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection
) -> None:
    insert(writable, [silent(number) for number in range(4)])
    for number in range(4):
        standin.messages[uuid_of(number)] = delivered(message_direction="inbound")
    done = run("reconcile")
    assert summary(done) == "4 asked, 0 changed, 4 unknown to Plivo, 0 failed, 0 left"


TYPED = "ABCDEF00-0000-4000-8000-00000000000A"


@pytest.mark.parametrize("known", [False, True])
def test_a_uuid_typed_in_capitals_is_that_of_the_same_message(
    app: Flask, standin: PlivoApi, receive: Receive, query: Query, *, known: bool
) -> None:
    if known:
        receive("sent", TYPED.lower())
    standin.messages[TYPED] = delivered(message_uuid=TYPED.lower())
    assert reconciling.ask_about(service_of(app), TYPED).is_changed
    (message,) = query("SELECT * FROM messages")
    assert message["message_uuid"] == TYPED.lower()
    assert message["current_status"] == "delivered"


def test_a_row_in_capitals_is_still_the_one_that_changes(
    app: Flask, standin: PlivoApi, receive: Receive, query: Query
) -> None:
    receive("sent", TYPED)
    standin.messages[TYPED] = delivered(message_uuid=TYPED.lower())
    assert reconciling.ask_about(service_of(app), TYPED).is_changed
    (message,) = query("SELECT * FROM messages")
    assert (message["message_uuid"], message["current_status"]) == (TYPED, "delivered")


def test_an_answer_about_another_message_is_not_believed(
    app: Flask, standin: PlivoApi, three: list[str], query: Query
) -> None:
    before = query("SELECT * FROM status_events")
    standin.messages[three[0]] = delivered(message_uuid=three[1])
    with pytest.raises(PlivoError, match="no usable content"):
        reconciling.ask_about(service_of(app), three[0])
    assert query("SELECT * FROM status_events") == before


@pytest.mark.parametrize(
    ("answer", "is_noted"),
    [
        (Reply(500, {"error": "no"}), False),
        (Reply(200, b"<html>"), False),
        (Reply(200, {"error": "odd"}), False),
        (Reply(hang_up_after=-1), False),
        (Reply(401, {"error": "no"}), False),
        (Reply(429, {"error": "slow down"}), False),
        (Reply(404, {"error": "not found"}), True),
        (Reply(200, delivered(message_direction="inbound")), True),
        (Reply(200, delivered(message_uuid=uuid_of(0), message_state="")), True),
    ],
)
def test_that_plivo_was_asked_is_noted_where_it_said_something_about_the_message(
    app: Flask, standin: PlivoApi, three: list[str], query: Query, answer: Reply, *, is_noted: bool
) -> None:
    standin.reply = lambda asked: answer
    with pytest.raises(PlivoError):
        reconciling.ask_about(service_of(app), three[0])
    checked = query("SELECT message_uuid FROM messages WHERE checked_at IS NOT NULL")
    assert [row["message_uuid"] for row in checked] == three[:1] * is_noted


# Which are asked about.


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], [4, 3, 2]),
        (["--older-than", "2m"], [4, 3, 2, 1]),
        (["--older-than", "30m"], [4, 3]),
        (["--older-than", "3600s", "--within", "10d"], [5, 4, 3]),
        (["--within", "2h"], [3, 2]),
        (["--limit", "2"], [4, 3]),
        (["--within", "1s"], []),
    ],
)
def test_the_silent_ones_of_the_window_are_asked_about(
    run: Run,
    standin: PlivoApi,
    writable: sqlite3.Connection,
    arguments: list[str],
    wanted: list[int],
) -> None:
    ages = [MINUTE / 60, 5 * MINUTE, 20 * MINUTE, HOUR + MINUTE, 50 * HOUR, 9 * 24 * HOUR]
    insert(writable, [silent(number, age) for number, age in enumerate(ages)])
    run("reconcile", *arguments)
    assert sorted(asked_about(standin)) == sorted([uuid_of(number) for number in wanted])


def test_a_message_that_was_heard_of_lately_is_not_silent(
    run: Run, standin: PlivoApi, three: list[str], receive: Receive
) -> None:
    receive("sent", three[0], Timestamp=f"{DAY} 00:00:09")
    run("reconcile")
    assert sorted(asked_about(standin)) == three[1:]


@pytest.mark.parametrize("span", ["0m", "15", "m", "-5m", "1.5h", "1w", "1000000d", "\u0661m", ""])
@pytest.mark.parametrize("option", ["--older-than", "--within"])
def test_a_span_that_is_none_is_refused(run: Run, option: str, span: str) -> None:
    done = run("reconcile", option, span)
    assert done.exit_code == 2
    assert "is not a time span such as 90s, 15m, 36h or 7d" in done.stderr


@pytest.mark.parametrize("option", ["--older-than", "--within"])
def test_a_span_longer_than_the_calendar_is_no_traceback(run: Run, option: str) -> None:
    done = run("reconcile", option, "999999d")
    assert done.exit_code in (0, 1, 2)
    assert "Traceback" not in done.output


def test_a_dry_run_names_them_and_asks_nothing(
    run: Run, standin: PlivoApi, three: list[str], query: Query
) -> None:
    before = query("SELECT * FROM messages")
    done = run("reconcile", "--dry-run", "--limit", 2)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [*three[:2], "2 would be asked about."]
    assert (standin.asked, query("SELECT * FROM messages")) == ([], before)


def test_with_nothing_to_ask_it_says_so(run: Run) -> None:
    done = run("reconcile")
    assert done.exit_code == 0
    assert summary(done) == "0 asked, 0 changed, 0 unknown to Plivo, 0 failed, 0 left"


def test_the_next_run_takes_up_what_was_left(run: Run, standin: PlivoApi, three: list[str]) -> None:
    for message_uuid in three:
        standin.messages[message_uuid] = delivered(message_state="sent", message_updated_time="")
    run("reconcile", "--limit", 1)
    run("reconcile", "--limit", 1)
    run("reconcile", "--limit", 1)
    assert asked_about(standin) == three


def test_a_message_unknown_to_plivo_is_counted_and_comes_last_next_time(
    run: Run, standin: PlivoApi, three: list[str]
) -> None:
    done = run("reconcile", "--limit", 1)
    assert done.exit_code == 0
    assert summary(done).startswith("1 asked, 0 changed, 1 unknown to Plivo")
    run("reconcile", "--limit", 2)
    assert asked_about(standin)[0] == three[0]
    assert sorted(asked_about(standin)[1:]) == three[1:]


def test_messages_that_plivo_always_fails_on_do_not_keep_the_others_from_being_asked_about(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection
) -> None:
    """Three troubles in a row end a run; not each run may begin with the same three."""
    insert(writable, [silent(number, HOUR - number * MINUTE) for number in range(5)])
    for number in (3, 4):
        standin.messages[uuid_of(number)] = delivered()
    poisoned = {uuid_of(number) for number in range(3)}
    standin.reply = lambda asked: (
        Reply(500, {"error": "oops"}) if asked_about(standin)[-1] in poisoned else None
    )
    for _ in range(100):
        run("reconcile")
        if {uuid_of(3), uuid_of(4)} <= set(asked_about(standin)):
            return
    pytest.fail("each run began with the same three")


def test_a_message_whose_id_is_no_uuid_does_not_ask_for_something_else(
    run: Run, standin: PlivoApi, receive: Receive, writable: sqlite3.Connection
) -> None:
    """The SDK would make another path of it: `a/../b` would ask about b."""
    for name in ("../..", "..", "a/../b", "x?limit=1", "%2e%2e"):
        receive("sent", name)
    old = utc_timestamp(str(datetime.now(UTC) - HOUR))
    writable.execute("UPDATE messages SET created_at = ?, updated_at = ?", (old, old))
    run("reconcile")
    message = f"/v1/Account/{AUTH_ID}/Message/"
    for asked in standin.asked:
        assert asked.path.startswith(message), asked.path
        assert re.fullmatch(r"[^/?]+/?", asked.path.removeprefix(message)), asked.path


# How fast, and where it ends.


def test_five_a_second_at_most(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection, clock: HandClock
) -> None:
    insert(writable, [silent(number) for number in range(21)])
    times: list[float] = []
    standin.reply = lambda asked: times.append(clock.elapsed)
    run("reconcile")
    assert len(times) == 21
    gaps = [round(after - before, 6) for before, after in pairwise(times)]
    assert min(gaps) >= 0.2
    assert times[-1] - times[0] == pytest.approx(4.0)


def test_no_second_has_more_although_some_are_longer_on_their_way(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection, clock: HandClock
) -> None:
    insert(writable, [silent(number) for number in range(30)])
    times: list[float] = []

    def arrive(asked: Asked) -> None:
        if len(times) % 7 == 0:
            clock.turn(0.19)
        times.append(clock.elapsed)

    standin.reply = arrive
    run("reconcile")
    assert len(times) == 30
    spans = [later - earlier for earlier, later in zip(times, times[5:], strict=False)]
    assert min(spans) >= 1 - 1e-9


def test_a_slow_plivo_is_not_waited_for_twice(
    run: Run, standin: PlivoApi, three: list[str], clock: HandClock
) -> None:
    def slowly(asked: Asked) -> None:
        clock.turn(0.5)

    standin.reply = slowly
    run("reconcile")
    assert [round(seconds, 6) for seconds in clock.sleeps] == [0.2, 0, 0]


@pytest.mark.parametrize(
    ("headers", "wait"), [({"Retry-After": "7"}, "wait 7 s"), ({}, "wait 60 s")]
)
def test_the_rate_limit_stops_it_and_says_for_how_long(
    run: Run, standin: PlivoApi, three: list[str], headers: dict[str, str], wait: str
) -> None:
    standin.messages |= {message_uuid: delivered() for message_uuid in three}
    standin.reply = lambda asked: (
        Reply(429, {"error": "slow down"}, headers) if len(standin.asked) > 1 else None
    )
    done = run("reconcile")
    assert done.exit_code == 1
    line = summary(done)
    assert line.startswith("1 asked, 1 changed, 0 unknown to Plivo, 0 failed, 2 left; stopped: ")
    assert "rate limit" in line
    assert wait in line
    assert len(standin.asked) == 2


def test_a_pause_that_a_plivo_in_trouble_asks_for_stops_it(
    run: Run, standin: PlivoApi, three: list[str]
) -> None:
    standin.reply = lambda asked: Reply(503, {"error": "down"}, {"Retry-After": "30"})
    done = run("reconcile")
    assert done.exit_code == 1
    line = summary(done)
    assert line.startswith("1 asked, 0 changed, 0 unknown to Plivo, 1 failed, 2 left; stopped: ")
    assert "wait 30 s" in line


def test_refused_credentials_stop_it_and_name_the_settings(
    run: Run, standin: PlivoApi, three: list[str]
) -> None:
    standin.reply = lambda asked: Reply(401, {"error": "no"})
    done = run("reconcile")
    assert done.exit_code == 1
    assert "3 left; stopped: " in summary(done)
    assert "PLIVO_AUTH_ID" in summary(done)
    assert len(standin.asked) == 1


def test_three_troubles_in_a_row_stop_it(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection
) -> None:
    insert(writable, [silent(number) for number in range(9)])
    standin.reply = lambda asked: Reply(503, b"<html>")
    done = run("reconcile")
    assert done.exit_code == 1
    counts = "3 asked, 0 changed, 0 unknown to Plivo, 3 failed, 6 left"
    assert summary(done).startswith(f"{counts}; stopped: Plivo has trouble")
    assert len(standin.asked) == 3


def test_troubles_that_are_not_in_a_row_do_not_stop_it_but_show_in_the_exit_code(
    run: Run, standin: PlivoApi, writable: sqlite3.Connection
) -> None:
    insert(writable, [silent(number) for number in range(9)])
    standin.reply = lambda asked: None if len(standin.asked) % 3 == 0 else Reply(500, {})
    done = run("reconcile")
    assert done.exit_code == 1
    assert summary(done) == "9 asked, 0 changed, 3 unknown to Plivo, 6 failed, 0 left"


TRAPS = {
    "HTML": Reply(200, b"<html>"),
    "null": Reply(200, None),
    "a list": Reply(200, []),
    "nothing": Reply(200, b""),
    "an error with 200": Reply(200, {"error": "odd"}),
    "a state that is null": Reply(200, {"message_state": None}),
    "a state that is a number": Reply(200, {"message_state": 5}),
    "a state that is empty": Reply(200, {"message_state": ""}),
    "a state that is blank": Reply(200, {"message_state": " "}),
    "a state without end": Reply(200, {"message_state": "x" * 5000}),
    "a surrogate": Reply(200, b'{"message_state": "sent", "from_number": "\\ud800"}'),
    "a NUL": Reply(200, {"message_state": "sent\0"}),
    "an object in the place of a time": Reply(200, {"message_state": "sent", "message_time": {}}),
    "402": Reply(402, {"error": "no"}),
    "403": Reply(403, {"error": "no"}),
    "500": Reply(500, {"error": "no"}),
    "a redirect": Reply(302, b"", {"Location": "/elsewhere"}),
    "a hang-up": Reply(hang_up_after=-1),
    "a hang-up in the middle": Reply(200, {"message_state": "sent"}, hang_up_after=5),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_an_odd_answer_is_counted_and_the_rest_is_asked_about(
    run: Run, standin: PlivoApi, three: list[str], query: Query, trap: str
) -> None:
    standin.messages |= {message_uuid: delivered() for message_uuid in three}
    standin.reply = lambda asked: TRAPS[trap] if len(standin.asked) == 1 else None
    line = summary(run("reconcile"))
    assert sorted(asked_about(standin)) == three
    assert line.startswith("3 asked, ")
    assert "0 left" in line
    assert len(query("SELECT * FROM messages WHERE is_final = 1")) == 2


def test_a_plivo_that_hangs_is_given_up(
    app: Flask, run: Run, hanging: HangingPlivo, three: list[str], settings: Settings
) -> None:
    service_of(app).settings = replace(
        settings, plivo_api_url=hanging.url, plivo_timeouts=(60.0, 0.05)
    )
    done = run("reconcile")
    assert done.exit_code == 1
    assert "stopped: Plivo did not answer in time" in summary(done)
    assert len(hanging.requests()) == 3


def test_a_store_that_takes_nothing_stops_it(
    run: Run, standin: PlivoApi, three: list[str], settings: Settings
) -> None:
    def break_it(asked: Asked) -> Reply:
        settings.database_path.rename(settings.database_path.with_suffix(".away"))
        settings.database_path.mkdir()
        return Reply(200, delivered())

    standin.reply = break_it
    done = run("reconcile")
    assert done.exit_code == 1
    assert "0 asked, 0 changed" in done.stdout
    assert "3 left; stopped: the answer could not be stored" in done.stdout
    assert len(standin.asked) == 1


def test_without_an_auth_id_the_setting_is_named(settings: Settings, three: list[str]) -> None:
    app: Flask = create_app(replace(settings, auth_id=None))
    done = app.test_cli_runner().invoke(args=["reconcile"], catch_exceptions=False)
    assert "PLIVO_AUTH_ID is not set" in refused(done)


def test_a_database_that_cannot_be_read_is_one_line(run: Run, settings: Settings) -> None:
    settings.database_path.unlink()
    settings.database_path.mkdir()
    refused(run("reconcile"))


# In a process of its own.

AT_WORK = "another reconcile is at work, so nothing was asked.\n"


@pytest.fixture
def shell(tmp_path: Path, standin: PlivoApi) -> dict[str, str]:
    """The environment of a shell, with thirty silent messages in its database."""
    path = tmp_path / "shell" / "sms.db"
    path.parent.mkdir()
    SqliteStore(path).prepare()
    connection = sqlite3.connect(path, isolation_level=None)
    insert(connection, [silent(number) for number in range(30)])
    connection.close()
    settings = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url, "TERM": "xterm"}
    return environment(path.parent, "https://sms.example.com", **settings)


def test_ctrl_c_ends_it_with_a_summary(shell: dict[str, str], standin: PlivoApi) -> None:
    released = threading.Event()
    standin.reply = lambda asked: (
        Reply(200, delivered(), wait=released)
        if len(standin.asked) == 2
        else Reply(200, delivered())
    )
    process = subprocess.Popen(
        command("reconcile"),
        cwd=ROOT,
        env=shell,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Started in the background, a shell has its children ignore SIGINT, and theirs too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: len(standin.asked) == 2)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    released.set()
    assert (process.returncode, complained) == (1, "")
    assert said == (
        "1 asked, 1 changed, 0 unknown to Plivo, 0 failed, 29 left; stopped: interrupted\n"
    )


def test_a_later_run_asks_nothing_while_one_is_at_work(
    app: Flask, three: list[str], standin: PlivoApi, settings: Settings
) -> None:
    """Started by hand in the moment when cron's is at work, in a process of its own."""
    variables = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url}
    beside = environment(settings.database_path.parent, settings.base_url, **variables)

    def start(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            command("reconcile", *arguments),
            cwd=ROOT,
            env=beside,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    with reconciling.alone(service_of(app)):
        assert start() == (3, AT_WORK, "")
        assert "3 would be asked about." in start("--dry-run")[1]
        assert standin.asked == []
    assert start()[0] == 0
    assert len(standin.asked) == 3


def test_a_run_is_alone_until_its_last_answer(
    app: Flask, run: Run, standin: PlivoApi, three: list[str]
) -> None:
    refusals = []

    def try_beside(asked: Asked) -> None:
        try:
            with reconciling.alone(service_of(app)):
                pass
        except reconciling.AtWork as refusal:
            refusals.append(refusal)

    standin.reply = try_beside
    assert run("reconcile").exit_code == 0
    assert len(refusals) == 3
    with reconciling.alone(service_of(app)):
        """Once it has ended, the next may begin."""


def test_a_run_that_was_killed_is_not_waited_for(shell: dict[str, str], standin: PlivoApi) -> None:
    released = threading.Event()
    standin.reply = lambda asked: Reply(200, delivered(), wait=released)
    first = subprocess.Popen(command("reconcile"), cwd=ROOT, env=shell)
    wait_until(lambda: standin.asked)
    first.kill()
    first.wait(20)
    released.set()
    done = subprocess.run(
        command("reconcile", "--limit", "1"), cwd=ROOT, env=shell, timeout=60, check=True
    )
    assert done.returncode == 0


def test_a_terminal_gets_a_progress_bar(shell: dict[str, str], standin: PlivoApi) -> None:
    shown = shown_on_a_terminal(command("reconcile", "--limit", "3"), shell)
    assert "messages  [" in shown
    assert "100%" in shown
    assert "3 asked" in shown
