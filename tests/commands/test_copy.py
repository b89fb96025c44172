"""`copy`: everything moves from one store to another, either way, and again after it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.store.contract import Filters, Outcome
from smsstatus.store.moving import Marks
from smsstatus.store.postgres import counting
from smsstatus.store.postgres.moving import PostgresMover
from smsstatus.store.sqlite.moving import SqliteMover

from ..live import ROOT, wait_until
from ..store.conftest import write
from ..store.updates import DAY, at, second, update_of
from .copying import content, copy, opened

WENT = {"MCC": "310", "MNC": "260", "Units": "2", "TotalAmount": "0.011"}


def fill(url: str, messages: int = 30) -> None:
    """Whole lives, repeats, texts, references, a nonce, a key, a check and a prune."""
    with closing(opened(url)) as store:
        store.prepare()
        life = [("queued", "11:00:00"), ("sent", "11:00:01"), ("delivered", "")]
        updates = [
            update_of(
                at(
                    word,
                    time,
                    MessageUUID=f"m-{number}",
                    From="14155550101",
                    QueuedTime=f"{DAY} 11:00:00",
                    ErrorCode="30" if number % 7 == 0 else "",
                    **(WENT if number % 2 and word != "queued" else {}),
                    **{"?": f"order={number}" if number % 3 == 0 else ""},
                ),
                second(number),
            )
            for number in range(messages)
            for word, time in life
        ]
        write(store, updates)
        write(store, updates[::4] + updates[::8])
        sent = update_of(at("queued", MessageUUID="sent-from-here", Body="the text"), second(1))
        store.record(sent._replace(source="send", rank=-1))
        store.record(update_of(at("sent", MessageUUID="m-1"), second(99), nonce="a-nonce"))
        store.claim_key("a-key", b"its digest")
        store.keep_answer("a-key", '"the answer"')
        store.note_check("m-2", second(200))
        assert store.prune_batch(second(1)) == 1


def test_everything_is_there_afterwards_and_stands_as_it_stood(urls: tuple[str, str]) -> None:
    fill(urls[0])
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    assert "30 messages, 89 events: the same in both, digest " in done.output
    assert "the target" not in done.output
    with closing(opened(urls[0])) as source, closing(opened(urls[1])) as target:
        assert content(target) == content(source)
        window = (second(0), second(600))
        assert list(target.history(window)) == list(source.history(window))
        copied, original = [s.delivery_times(*window, (), 0)[()] for s in (target, source)]
        assert [*copied] == pytest.approx([*original], abs=0.001)
        forged = update_of(at("read", MessageUUID="m-1"), nonce="a-nonce")
        assert target.record(forged) is Outcome.NONCE_TAKEN
        claim = target.claim_key("a-key", b"another")
        assert claim is not None
        assert (claim.digest, claim.answer) == (b"its digest", '"the answer"')
        silent = {"silent_since": second(600), "created_since": second(0)}
        assert list(target.waiting(**silent)) == list(source.waiting(**silent))
        captured = update_of(at("sent", "11:00:01", MessageUUID="m-0", From="14155550101"))
        assert target.record(captured) is Outcome.PRUNED


def test_what_plivo_told_when_it_was_asked_dates_its_message_there_too(
    urls: tuple[str, str],
) -> None:
    """By what it told then, whatever another update says of when the message was queued."""
    asked = at("sent", MessageUUID="asked", Asked="Plivo", QueuedTime=f"{DAY} 10:59:59")
    early = at("queued", MessageUUID="asked-later", QueuedTime=f"{DAY} 09:00:00")
    later = at("sent", MessageUUID="asked-later", Asked="Plivo", QueuedTime=f"{DAY} 10:00:00")
    with closing(opened(urls[0])) as store:
        store.prepare()
        write(store, [update_of(fields, second(9)) for fields in (asked, early, later)])
        first_seen = {m.message_uuid: m.created_at[11:16] for m in store.walk(Filters())}
        assert first_seen == {"asked": "10:59", "asked-later": "10:00"}
    for _ in range(2):
        done = copy(*urls)
        assert done.exit_code == 0, done.output
    with closing(opened(urls[0])) as source, closing(opened(urls[1])) as target:
        assert content(target) == content(source)


def test_what_is_kept_beside_the_messages_is_copied_a_batch_at_a_time(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smsstatus.commands.copy.BATCH", 4)
    keys, nonces = [[f"{kind}-{number}" for number in range(9)] for kind in ("key", "nonce")]
    with closing(opened(urls[0])) as store:
        store.prepare()
        for number in range(9):
            assert store.claim_key(keys[number], b"its digest") is None
            assert number > 4 or store.claim_nonce(nonces[number], b"its digest", "")
    written: list[tuple[int, int]] = []
    for mover in (PostgresMover, SqliteMover):
        monkeypatch.setattr(mover, "restore_marks", noting(mover.restore_marks, written))
    assert copy(*urls).exit_code == 0
    assert written == [(4, 4), (1, 4), (0, 1), (0, 0)]
    with closing(opened(urls[1])) as target:
        assert all(target.claim_key(key, b"another") is not None for key in keys)
        assert not any(target.claim_nonce(nonce, b"another", "") for nonce in nonces[:5])


def noting(restore: Callable[..., None], written: list[tuple[int, int]]) -> Callable[..., None]:
    def restore_marks(mover: object, marks: Marks) -> None:
        written.append((len(marks.nonces), len(marks.keys)))
        restore(mover, marks)

    return restore_marks


def test_copying_again_changes_nothing(urls: tuple[str, str]) -> None:
    fill(urls[0])
    first, again = copy(*urls), copy(*urls)
    assert first.output == again.output
    assert again.exit_code == 0


def test_a_callback_that_comes_to_the_target_first_stays(urls: tuple[str, str]) -> None:
    fill(urls[0])
    with closing(opened(urls[1])) as target:
        target.prepare()
        target.record(update_of(at("read", "11:30:00", MessageUUID="m-5"), second(300)))
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    assert "of 1 messages the target knows more by now" in done.output
    with closing(opened(urls[1])) as target:
        found = target.find("m-5")
        assert found is not None
        assert found.events is not None
        assert [event.status for event in found.events] == ["queued", "sent", "delivered", "read"]


def test_what_the_target_has_removed_it_still_knows_to_have_changed(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a page of it that was made before would be shown again."""
    monkeypatch.setattr(counting, "LATE_COMMITS", 1)
    with closing(opened(urls[0])) as source, closing(opened(urls[1])) as target:
        for store in (source, target):
            store.prepare()
            store.record(update_of(at("sent", MessageUUID="first")))
        target.record(update_of({**at("sent", MessageUUID="forgotten"), "?": "order=42"}))
        target.record(update_of(at("sent", MessageUUID="last")))
        before = target.change_marker()
        assert target.forget_batch("order=42") == 1
        assert copy(*urls).exit_code == 0
        assert target.change_marker() != before


def test_what_the_target_holds_beside_it_is_said(urls: tuple[str, str]) -> None:
    fill(urls[0])
    with closing(opened(urls[1])) as target:
        target.prepare()
        target.record(update_of(at("read", MessageUUID="of-another-service"), second(300)))
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    held = "The source holds 30 messages, 89 events, the target 31 messages, 90 events."
    assert held in done.output


def test_the_place_of_a_newest_event_that_was_removed_is_no_event(urls: tuple[str, str]) -> None:
    with closing(opened(urls[0])) as source:
        source.prepare()
        source.record(update_of({**at("sent", MessageUUID="forgotten"), "?": "order=42"}))
        assert source.forget_batch("order=42") == 1
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    assert "The source holds" not in done.output


def test_what_comes_meanwhile_is_copied_too(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service writes the old database until it is started with the new one."""
    monkeypatch.setattr("smsstatus.commands.copy.BATCH", 10)
    fill(urls[0], 40)
    stopped = threading.Event()

    def callbacks() -> None:
        with closing(opened(urls[0])) as store:
            for number in range(80):
                if stopped.is_set():
                    return
                name = f"late-{number}" if number % 2 else f"m-{number + 1}"
                store.record(update_of(at("undelivered", MessageUUID=name), second(500)))

    service = threading.Thread(target=callbacks)
    service.start()
    try:
        copy(*urls)
    finally:
        stopped.set()
        service.join(60)
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    with closing(opened(urls[0])) as source, closing(opened(urls[1])) as target:
        assert sorted(map(repr, content(target))) == sorted(map(repr, content(source)))


IN_SMALL_BATCHES = """
from smsstatus.__main__ import main
from smsstatus.commands import copy
copy.BATCH = 10
main()
"""


def test_killed_on_the_way_it_goes_on_where_it_was(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smsstatus.commands.copy.BATCH", 10)
    fill(urls[0], 100)
    arguments = ["copy", "--from", urls[0], "--to", urls[1]]
    environment = {"PATH": os.environ["PATH"], "PYTHON_DOTENV_DISABLED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", IN_SMALL_BATCHES, *arguments], cwd=ROOT, env=environment
    )
    with closing(opened(urls[1])) as target:
        target.prepare()
        wait_until(lambda: target.list(Filters(), 1).messages, what="some are copied")
        process.kill()
        process.wait(60)
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    assert "100 messages" in done.output


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("sqlite:///no-such.db", "sqlite:///other.db", "there is no "),
        ("sqlite:///other.db", "sqlite:///other.db", "the same database"),
        ("mysql://me:secret@host/db", "sqlite:///other.db", "must start with"),
        ("sqlite:///other.db", "postgres://me:secret@host/db?x=1", "an option behind its ?"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = copy(source, target)
    assert done.exit_code == 2
    assert says in done.output
    assert "secret" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path / 'sms.db'}", 1)
    target = "postgres://me:secret@127.0.0.1:1/db"
    done = copy(f"sqlite:///{tmp_path / 'sms.db'}", target)
    assert done.exit_code == 1
    assert "stopped, run it again to go on: " in done.output
    assert "secret" not in done.output
