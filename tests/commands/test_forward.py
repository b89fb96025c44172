"""`forward`, `listen` and the part of `doctor` that is about the receiver."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask

from smsstatus.commands import forward
from smsstatus.commands.doctor import Check, examine
from smsstatus.commands.listen import line_of
from smsstatus.commands.receiver import receiver_checks
from smsstatus.forwarding import payload, signing
from smsstatus.forwarding.listener import Heard, Listener
from smsstatus.forwarding.signing import read_secret, write_secret
from smsstatus.model import utc_now
from smsstatus.settings import Settings
from smsstatus.store.sqlite import forwards
from smsstatus.web.current import service_of

from ..conftest import Receive
from ..forwarding.changes import MESSAGE, change
from ..forwarding.receivers import Answer, Delivered, Receiver, receiver
from ..live import ROOT, environment, free_port, wait_until
from .conftest import Run, refused

KEY = bytes(range(32))


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, there: Receiver) -> Settings:
    return replace(settings, forward_url=there.url, forward_secrets=(KEY,), forward_timeout=30.0)


def test_a_secret_is_made_without_any_setting() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "smsstatus", "forward", "secret"],
        cwd=ROOT,
        env={"PATH": "", "PYTHON_DOTENV_DISABLED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert len(read_secret(made.stdout.strip())) == 32


def test_no_two_secrets_are_the_same(run: Run) -> None:
    assert run("forward", "secret").stdout != run("forward", "secret").stdout


def test_status_tells_what_waits_and_what_was_given_up(
    run: Run, receive: Receive, app: Flask
) -> None:
    receive("sent", MESSAGE)
    receive("delivered")
    give_up(app)
    said = run("forward", "status").stdout
    assert "waiting                  1\n" in said
    assert "given up                 1\n" in said
    assert [line.split()[:4] for line in said.splitlines() if MESSAGE in line] == [
        [MESSAGE, "sent", "1", "400"]
    ]


def give_up(app: Flask) -> None:
    """Settle the oldest change that waits as one that was given up."""
    from smsstatus.store.outbox import Fate, Settlement

    outbox = service_of(app).store.outbox
    (claimed,) = outbox.claim(utc_now(), 1)
    assert outbox.settle([Settlement(claimed=claimed, fate=Fate.DEAD, at=utc_now(), answer="400")])
    outbox.release()


def test_what_was_given_up_waits_again_after_retry(run: Run, receive: Receive, app: Flask) -> None:
    receive("sent", MESSAGE)
    give_up(app)
    assert run("forward", "retry", MESSAGE).stdout == "1 changes wait again.\n"
    assert service_of(app).store.outbox.state(utc_now()).waiting == 1


def test_what_waits_or_was_given_up_is_not_sent_after_skip(
    run: Run, receive: Receive, app: Flask
) -> None:
    receive("sent", MESSAGE)
    receive("delivered")
    give_up(app)
    assert run("forward", "skip", "--all").stdout == "2 changes are not sent.\n"
    state = service_of(app).store.outbox.state(utc_now())
    assert (state.waiting, state.dead) == (0, 0)


def test_nothing_can_be_claimed_between_pause_and_resume(
    run: Run, receive: Receive, app: Flask
) -> None:
    receive("sent")
    outbox = service_of(app).store.outbox
    assert run("forward", "pause").exit_code == 0
    assert outbox.claim(utc_now(), 1) == []
    assert "paused since" in run("forward", "status").stdout
    assert run("forward", "resume").exit_code == 0
    assert len(outbox.claim(utc_now(), 1)) == 1


@pytest.mark.parametrize("word", ["retry", "skip"])
@pytest.mark.parametrize("more", [(), (MESSAGE, "--all")])
def test_one_message_is_named_or_all_are_meant(run: Run, word: str, more: tuple[str, ...]) -> None:
    done = run("forward", word, *more)
    assert done.exit_code == 2
    assert "--all" in done.stderr


@pytest.mark.parametrize("words", [("status",), ("retry", "--all"), ("skip", "--all"), ("pause",)])
def test_without_an_address_there_is_nothing_to_look_after(
    run: Run, app: Flask, words: tuple[str, ...]
) -> None:
    service_of(app).settings = replace(service_of(app).settings, forward_url=None)
    assert "FORWARD_URL is not set" in refused(run("forward", *words))


# doctor


def found(app: Flask) -> list[Check]:
    return [Check(*one) for one in receiver_checks(service_of(app))]


def checking(delivered: Delivered) -> Answer:
    """A receiver that verifies."""
    try:
        signing.verify(delivered.headers, datetime.now(UTC), delivered.body, [KEY])
    except signing.NotVerified:
        return Answer(401)
    return Answer(204, body=b"")


def test_doctor_is_content_with_a_receiver_that_verifies(app: Flask, there: Receiver) -> None:
    there.answer = checking
    right, check = found(app)
    assert (right.level, check.level) == ("ok", "ok")
    assert "answered 401" in check.text
    assert [json.loads(delivered.body)["type"] for delivered in there.delivered] == ["ping"] * 2


def test_doctor_says_that_a_receiver_checks_no_signature(app: Flask) -> None:
    right, check = found(app)
    assert (right.level, check.level) == ("ok", "warn")
    assert "anybody who knows its address" in check.text


def test_doctor_says_that_a_receiver_has_another_secret(app: Flask, there: Receiver) -> None:
    there.answer = lambda delivered: Answer(401)
    (right,) = found(app)
    assert right.level == "FAIL"
    assert "the same secret" in right.text


def test_doctor_says_that_the_receivers_clock_is_off(app: Flask, there: Receiver) -> None:
    then = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    there.answer = lambda delivered: Answer(401, {"Date": then})
    right, clock = found(app)
    assert right.level == "FAIL"
    assert "finds the signature old" in right.text
    assert (clock.level, clock.name) == ("warn", "receiver's clock")


def test_doctor_takes_a_date_that_is_none_for_no_answer_about_the_clock(
    app: Flask, there: Receiver
) -> None:
    date = "Sun, 01 Nov 2026 00:00:00 +99999999999999"
    there.answer = lambda delivered: Answer(401, {"Date": date})
    (right,) = found(app)
    assert "the same secret" in right.text


@pytest.mark.parametrize(
    ("status", "text"), [(404, "it must answer 2xx"), (302, "pointing to new.example")]
)
def test_doctor_says_what_another_answer_means(
    app: Flask, there: Receiver, status: int, text: str
) -> None:
    there.answer = lambda delivered: Answer(status, {"Location": "https://new.example/secret"})
    (right,) = found(app)
    assert right.level == "FAIL"
    assert text in right.text
    assert "secret" not in right.text.replace("FORWARD_SECRET", "")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:{}/", "takes no connection"),
        ("http://169.254.169.254/", "an address of the host's own"),
    ],
)
def test_doctor_says_why_there_is_no_answer(app: Flask, url: str, text: str) -> None:
    service = service_of(app)
    service.settings = replace(service.settings, forward_url=url.format(free_port()))
    (right,) = found(app)
    assert right.level == "FAIL"
    assert text in right.text


def test_doctor_asks_no_receiver_where_there_is_none(app: Flask) -> None:
    service = service_of(app)
    service.settings = replace(service.settings, forward_url=None)
    assert not any(check.name.startswith("receiver") for check in examine(service))


# listen


@contextmanager
def listening(answers: tuple[int, ...] = (200,)) -> Iterator[tuple[str, list[Heard]]]:
    heard: list[Heard] = []
    listener = Listener(0, [KEY], heard.append, answers=answers)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}/", heard
    finally:
        listener.shutdown()
        thread.join(10)
        listener.server_close()


def test_listen_answers_in_turn_and_says_what_has_come(app: Flask, receive: Receive) -> None:
    with listening((200, 500, 429)) as (url, heard):
        service = service_of(app)
        service.settings = replace(service.settings, forward_url=url, forward_concurrency=1)
        uuids = [receive("sent", reference="order=42") for _ in range(3)]
        service.start()
        wait_until(lambda: len(heard) >= 3)
    assert [one.answer for one in heard[:3]] == [200, 500, 429]
    lines = "\n".join(line_of(one) for one in heard)
    assert any(uuid in lines for uuid in uuids)
    assert "new -> sent" in lines


def test_listen_refuses_what_it_cannot_verify() -> None:
    body = payload.body(change())
    headers = signing.headers("evt_1", datetime.now(UTC), body, [bytes(32)])
    with listening() as (url, heard):
        request = urllib.request.Request(url, body, headers)
        with pytest.raises(urllib.error.HTTPError, match="401") as answer:
            urllib.request.urlopen(request, timeout=30)
        answer.value.close()
        wait_until(lambda: heard)
    assert "401  not verified: no part of webhook-signature" in line_of(heard[0])


def test_a_line_tells_the_message_what_became_of_it_and_the_senders_reference() -> None:
    line = click.unstyle(line_of(Heard({}, payload.body(change()), "", 200)))
    assert f"200  {MESSAGE}  sent -> undelivered 30 Spam detected" in line
    assert '{"order": "42"}' in line


@pytest.mark.parametrize("body", [b"{}", b"[]", b'"x"', b'{"data":[]}', b'{"type":"ping"}'])
def test_a_line_can_be_made_of_whatever_is_verified(body: bytes) -> None:
    assert line_of(Heard({}, body, "", 200))


def test_listen_needs_a_secret(run: Run, app: Flask) -> None:
    service_of(app).settings = replace(service_of(app).settings, forward_secrets=())
    assert "smsstatus forward secret" in refused(run("listen"))


@pytest.mark.parametrize("codes", ["", "600", "200,", "abc", "99"])
def test_listen_takes_codes_alone(run: Run, codes: str) -> None:
    assert run("listen", "--answer", codes).exit_code == 2


def test_listen_prints_a_line_for_each_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    secret = write_secret(KEY)
    with subprocess.Popen(
        [sys.executable, "-m", "smsstatus", "listen", "--port", "0"],
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com", FORWARD_SECRET=secret),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            url = next(line for line in process.stderr if "Listening on" in line).split()[-1]
            body = payload.body(change())
            headers = signing.headers("evt_1", datetime.now(UTC), body, [KEY])
            request = urllib.request.Request(url, body, headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 200
            assert MESSAGE in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_what_comes_while_all_are_skipped_does_not_keep_the_command_from_ending(
    run: Run, receive: Receive, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = service_of(app).store.outbox
    skip = outbox.skip

    def skip_while_more_come(*arguments: Any) -> int:
        receive("sent")
        return skip(*arguments)

    monkeypatch.setattr(outbox, "skip", skip_while_more_come)
    assert run("forward", "skip", "--all").stdout == "1 changes are not sent.\n"


def test_all_are_skipped_however_many_they_are(
    run: Run, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwards, "AT_ONCE", 2)
    monkeypatch.setattr(forward, "AT_ONCE", 2)
    for _ in range(5):
        receive("sent")
    assert run("forward", "skip", "--all").stdout == "5 changes are not sent.\n"
