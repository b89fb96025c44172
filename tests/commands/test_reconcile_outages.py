"""`reconcile` finds what was never known: it looks through Plivo's list of the open outages."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask

from smsstatus.model import utc_timestamp
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.store.contract import Filters
from smsstatus.upkeep.caretaker import beat
from smsstatus.upkeep.listing import PATIENT, TROUBLES
from smsstatus.upkeep.reconcile import TROUBLES_IN_A_ROW
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..live import ROOT, environment, live_service, wait_until
from ..plivo_api import AUTH_ID, Asked, PlivoApi, Reply
from ..store.conftest import write
from ..store.updates import at, update_of
from ..upkeep.plivo_list import PlivoList
from .conftest import Run, command, run_beside

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NONE_SILENT = "0 asked, 0 changed, 0 unknown to Plivo, 0 failed, 0 left"


@pytest.fixture
def plivo_list(standin: PlivoApi, clock: HandClock) -> PlivoList:
    return PlivoList(standin, clock)


@pytest.fixture
def service(app: Flask, clock: HandClock) -> Service:
    """Up for an hour, nothing is left to be listed, and it asks Plivo nothing by itself."""
    service = service_of(app)
    assert service.settings.reconcile_every is None
    for _ in range(60):
        beat(service.store, clock)
        clock.turn(60)
    (before_first,) = service.store.runs.outages(100)
    service.store.runs.note_listed(before_first.since, before_first.until, 0)
    return service


def down(service: Service, plivo_list: PlivoList, count: int = 0, first: int = 0) -> None:
    """For two hours, in which others send so many messages."""
    for number in range(count):
        sent_at = plivo_list.clock.now() + 2 * HOUR * number / count
        plivo_list.send(first + number, sent_at, "sent" if number == 0 else "delivered")
    plivo_list.clock.turn(2 * HOUR.total_seconds())
    for _ in range(30):
        beat(service.store, service.clock)
        plivo_list.clock.turn(60)


def states(service: Service) -> dict[str, str]:
    return {m.message_uuid: m.current_status for m in service.store.walk(Filters())}


def truth(plivo_list: PlivoList) -> dict[str, str]:
    return {name: row["message_state"] for name, row in plivo_list.messages.items()}


def test_what_others_sent_in_an_outage_is_known_afterwards(
    run: Run, service: Service, plivo_list: PlivoList
) -> None:
    down(service, plivo_list, 500)
    done = run("reconcile")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{NONE_SILENT}; 500 listed, 500 of them missed\n"
    assert states(service) == truth(plivo_list)
    assert plivo_list.refused == 0
    (newest, _) = service.store.runs.outages(100)
    assert (newest.missed, newest.listed_until >= newest.until) == (500, True)
    pages = plivo_list.pages
    again = run("reconcile")
    assert (again.exit_code, plivo_list.pages) == (0, pages)
    assert "listed" not in again.stdout


def test_programs_are_told_the_figures(run: Run, service: Service, plivo_list: PlivoList) -> None:
    down(service, plivo_list, 30)
    figures = json.loads(run("reconcile", "--json").stdout)
    assert figures == {
        **dict.fromkeys(("asked", "changed", "unknown", "failed", "left", "outages_left"), 0),
        "not_listed": 0,
        "listed": 30,
        "missed": 30,
        "stopped": "",
        "retry_after": None,
    }


def test_what_plivo_counts_and_does_not_list_is_waited_for_and_then_given_up(
    run: Run, service: Service, plivo_list: PlivoList
) -> None:
    down(service, plivo_list, 30)
    plivo_list.counted_too = 1
    for _ in range(2):
        done = run("reconcile")
        assert done.exit_code == 1
        assert "2 outages left; stopped: Plivo does not list all messages: " in done.stdout
    slices = json.loads(run("reconcile", "--dry-run", "--json").stdout)["would_be_listed"]
    first, second = sorted((span["since"], span["until"]) for span in slices)
    assert first[1] == second[0], "none is listed for longer than what is short"
    listed_until = f"{first[0]}  30"
    assert listed_until in run("upkeep").stdout
    plivo_list.clock.turn(PATIENT.total_seconds())
    done = run("reconcile", "--json")
    figures = json.loads(done.stdout)
    assert (done.exit_code, figures["outages_left"], figures["stopped"]) == (1, 0, "")
    assert figures["not_listed"] == 2
    assert states(service) == truth(plivo_list)
    assert service.store.runs.outages(1)[0].missed == 30
    assert run("reconcile").exit_code == 0


def test_silent_messages_come_first(
    run: Run, service: Service, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    down(service, plivo_list, 3)
    run("reconcile")
    down(service, plivo_list, 3, first=3)
    standin.asked.clear()
    done = run("reconcile")
    assert done.stdout.startswith("1 asked, 0 changed, ")
    assert "; 3 listed, 3 of them missed\n" in done.stdout
    kinds = ["list" if is_list(asked) else "one" for asked in standin.asked]
    assert kinds == ["one", *["list"] * (len(kinds) - 1)]


def is_list(asked: Asked) -> bool:
    return asked.path.partition("?")[0].endswith("/Message/")


def test_a_run_that_was_interrupted_is_gone_on_with(
    run: Run, service: Service, plivo_list: PlivoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    down(service, plivo_list, 300)
    down(service, plivo_list, 10, first=300)
    sleep = service.clock.sleep

    def interrupt(seconds: float) -> None:
        if plivo_list.pages == 10:
            raise KeyboardInterrupt
        sleep(seconds)

    monkeypatch.setattr(service.clock, "sleep", interrupt)
    done = run("reconcile")
    assert done.exit_code == 1
    assert done.stdout.endswith(", 2 outages left; stopped: interrupted\n")
    _, first, _ = service.store.runs.outages(100)
    assert first.since < first.listed_until < first.until
    assert 0 < first.missed == len(states(service)) < 300
    monkeypatch.undo()
    noted: list[str] = []
    plivo_list.tamper = lambda number, rows: noted.extend(row["message_uuid"] for row in rows)
    known = set(states(service))
    assert run("reconcile").exit_code == 0
    assert not known & set(noted), "what was noted is not listed again"
    assert states(service) == truth(plivo_list)
    assert [outage.missed for outage in service.store.runs.outages(2)] == [10, 300]


def test_an_outage_that_plivo_fails_on_is_left_and_said(
    run: Run, service: Service, plivo_list: PlivoList
) -> None:
    down(service, plivo_list, 10)
    down(service, plivo_list, 10, first=10)
    poison = f"{5:08x}-0000-4000-8000-000000000000"
    met: list[int] = []

    def fail(number: int, rows: list[dict[str, Any]]) -> Reply | None:
        if poison not in [row["message_uuid"] for row in rows]:
            return None
        met.append(number)
        return Reply(500, {"error": "internal"})

    plivo_list.tamper = fail
    done = run("reconcile")
    assert done.exit_code == 1
    assert ", 1 outage left; stopped: Plivo has trouble: " in done.stdout
    assert len(met) == TROUBLES
    assert {f"{number:08x}-0000-4000-8000-000000000000" for number in range(10, 20)} <= set(
        states(service)
    )
    plivo_list.tamper = lambda number, rows: None
    assert run("reconcile").exit_code == 0
    assert states(service) == truth(plivo_list)


@pytest.mark.parametrize(
    ("refusal", "said", "wait"),
    [
        (Reply(401, {"error": "no"}), "PLIVO_AUTH_TOKEN", None),
        (Reply(429, {}, {"Retry-After": "700"}), "(wait 700 s)", 700),
    ],
)
def test_what_plivo_refuses_ends_it_with_what_is_left(
    run: Run, service: Service, plivo_list: PlivoList, refusal: Reply, said: str, wait: int | None
) -> None:
    down(service, plivo_list, 1)
    down(service, plivo_list, 1, first=1)
    plivo_list.tamper = lambda number, rows: refusal
    pages = plivo_list.pages
    done = run("reconcile", "--json")
    assert (done.exit_code, plivo_list.pages) == (1, pages + 1)
    figures = json.loads(done.stdout)
    assert (figures["outages_left"], figures["retry_after"]) == (2, wait)
    assert said in figures["stopped"]


def silent_ones(run: Run, service: Service, plivo_list: PlivoList, count: int) -> None:
    """So many messages that are `sent`, and an outage that is not listed."""
    for number in range(count):
        plivo_list.send(100 + number, plivo_list.clock.now() + MINUTE, "sent")
    down(service, plivo_list)
    assert run("reconcile").exit_code == 0
    down(service, plivo_list, 2)


def test_while_plivo_wants_a_pause_between_silent_messages_no_list_is_asked_for(
    run: Run, service: Service, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    silent_ones(run, service, plivo_list, 2)
    standin.asked.clear()
    standin.reply = lambda asked: Reply(429, {}, {"Retry-After": "7"})
    done = run("reconcile")
    assert done.exit_code == 1
    assert [is_list(asked) for asked in standin.asked] == [False]
    assert "2 left; 0 listed, 0 of them missed, 1 outage left; stopped: " in done.stdout


def test_silent_messages_that_plivo_always_fails_on_keep_no_outage_from_being_listed(
    run: Run, service: Service, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    silent_ones(run, service, plivo_list, TROUBLES_IN_A_ROW)
    reply = standin.reply
    standin.reply = lambda asked: reply(asked) if is_list(asked) else Reply(500, {})
    done = run("reconcile")
    assert done.exit_code == 1
    assert "3 failed, 0 left; 2 listed, 2 of them missed; stopped: " in done.stdout


def test_a_store_that_takes_nothing_any_more_ends_it(
    run: Run, service: Service, plivo_list: PlivoList, settings: Settings
) -> None:
    down(service, plivo_list, 2)

    def break_it(number: int, rows: list[dict[str, Any]]) -> None:
        if rows:
            settings.database_path.rename(settings.database_path.with_suffix(".away"))
            settings.database_path.mkdir()

    plivo_list.tamper = break_it
    done = run("reconcile")
    assert done.exit_code == 1
    assert "1 outage left; stopped: what Plivo listed could not be stored (" in done.stdout


def test_the_time_of_an_outage_does_not_make_a_message_too_old(run: Run, service: Service) -> None:
    received_at = utc_timestamp(str(service.clock.now()))
    write(service.store, [update_of(at("sent", MessageUUID="before-it"), received_at)])
    assert isinstance(service.clock, HandClock)
    service.clock.turn(8 * 24 * 3600)
    beat(service.store, service.clock)
    assert "before-it\n1 would be asked about." in run("reconcile", "--dry-run").stdout
    assert "0 would be asked about." in run("reconcile", "--dry-run", "--within", "7d").stdout


def test_a_dry_run_names_the_times_and_asks_nothing(
    run: Run, service: Service, plivo_list: PlivoList, standin: PlivoApi
) -> None:
    left_at = plivo_list.clock.now() - MINUTE
    down(service, plivo_list, 2)
    back_at = left_at + 2 * HOUR + MINUTE
    times = [utc_timestamp(str(m)) for m in (left_at - 15 * MINUTE, back_at + 5 * MINUTE)]
    before = service.store.runs.outages(100)
    said = run("reconcile", "--dry-run").stdout.splitlines()
    assert said == [
        "0 would be asked about.",
        f"{times[0][:19]} to {times[1][:19]} would be listed.",
    ]
    told = json.loads(run("reconcile", "--dry-run", "--json").stdout)
    assert told["would_be_listed"] == [{"since": times[0], "until": times[1]}]
    assert (standin.asked, service.store.runs.outages(100)) == ([], before)


# In a process of its own.


def test_outages_are_noted_where_the_service_asks_nothing_by_itself(
    tmp_path_factory: pytest.TempPathFactory, standin: PlivoApi
) -> None:
    settings = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url, "RECONCILE_EVERY": "off"}
    with live_service(tmp_path_factory.mktemp("live"), **settings) as live:

        def spans() -> Any:
            return json.loads(run_beside(live, "reconcile", "--dry-run", "--json").stdout)

        wait_until(lambda: spans()["would_be_listed"], what="the day before the start is noted")


def test_a_terminal_is_told_how_far_it_is_and_ctrl_c_ends_it(
    app: Flask, clock: HandClock, plivo_list: PlivoList, standin: PlivoApi, settings: Settings
) -> None:
    """It makes a pause of some seconds before each request."""
    clock.turn(-6 * 3600)
    beat(service_of(app).store, clock)
    ours, theirs = pty.openpty()
    variables = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url, "TERM": "xterm"}
    with subprocess.Popen(
        command("reconcile"),
        cwd=ROOT,
        env=environment(settings.database_path.parent, settings.base_url, **variables),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
        # Started in the background, a shell has its children ignore SIGINT, and theirs too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while b"0 listed, 0 of them missed" not in shown:
                shown += os.read(ours, 65_536)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            os.close(ours)
    assert process.returncode == 1
    assert said == (
        f"{NONE_SILENT}; 0 listed, 0 of them missed, 1 outage left; stopped: interrupted\n"
    )
