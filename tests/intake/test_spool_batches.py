"""Callbacks that come together share a file of the spool and its fsyncs, and go on one by one."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from smsstatus import promise
from smsstatus.files import write_synced
from smsstatus.intake import gather
from smsstatus.intake.records import read_file
from smsstatus.intake.spool import Spool, SpoolUnavailable
from smsstatus.plivo.callback import Callback
from smsstatus.settings import Settings

from ..live import ROOT, wait_until
from ..signed import Plivo

RECEIVED = "2026-11-01T12:00:00.000000Z"
MANY = 50


def callback(message_uuid: str) -> Callback:
    return Callback("POST", "", urlencode(Plivo().fields("sent", message_uuid)), RECEIVED)


class Disk:
    """Writes files when it may, and counts them."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_go_on = threading.Event()
        self.files: list[Path] = []
        self.failure: OSError | None = None

    def write(self, path: Path, content: bytes) -> None:
        if path.name.startswith(".probe"):
            return write_synced(path, content)
        self.began.set()
        assert self.may_go_on.wait(60)
        if self.failure is not None:
            raise self.failure
        self.files.append(path)
        return write_synced(path, content)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.may_go_on.set()


@pytest.fixture
def patient(settings: Settings, disk: Disk) -> Spool:
    """A spool that waits for its disk as long as a test needs."""
    made = Spool(settings.spool_dir, disk.write)
    made.prepare()
    return made


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MANY) as pool:
        yield pool


def kept_while_one_is_written(
    spool: Spool, disk: Disk, callers: ThreadPoolExecutor, others: Sequence[Callback]
) -> list[Future[None]]:
    """Have one callback in the middle of being written and these others come meanwhile."""
    keeping = [callers.submit(spool.keep, callback("first"), "a reason")]
    assert disk.began.wait(60)
    keeping += [callers.submit(spool.keep, other, "a reason") for other in others]
    wait_until(lambda: len(spool._gathered._waiting) == len(others), what="all have come")
    return keeping


@pytest.fixture
def fsyncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is fsynced: the names of files and folders, in order."""
    synced: list[str] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_what_comes_while_a_file_is_written_shares_the_next_file_and_its_fsyncs(
    patient: Spool, disk: Disk, callers: ThreadPoolExecutor, fsyncs: list[str]
) -> None:
    fsyncs.clear()
    others = [callback(str(number)) for number in range(MANY - 1)]
    keeping = kept_while_one_is_written(patient, disk, callers, others)
    assert not any(one.done() for one in keeping)
    disk.may_go_on.set()
    for one in keeping:
        one.result()
    alone, together = disk.files
    assert (alone.suffix, together.suffix) == (".json", ".jsonl")  # which earlier versions skip
    assert [line.found for line in read_file(alone)] == [callback("first")]
    assert {line.found for line in read_file(together)} == set(others)
    folder = patient.folder.name
    assert [name if name == folder else "file" for name in fsyncs] == ["file", folder] * 2
    assert patient.depth().waiting == MANY


def test_who_has_several_begins_with_all_of_them_before_it_waits_for_one(
    patient: Spool, disk: Disk
) -> None:
    finish_first = patient.begin(callback("first"), "a reason")
    assert disk.began.wait(60)
    others = [callback(str(number)) for number in range(MANY)]
    finish_others = [patient.begin(other, "a reason") for other in others]
    disk.may_go_on.set()
    for finish in [finish_first, *finish_others]:
        finish()
    _, together = disk.files
    assert {line.found for line in read_file(together)} == set(others)


def test_the_time_of_each_runs_from_when_it_began(
    patient: Spool, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So one thread may wait for many: together they take no longer than one."""
    finish = [patient.begin(callback(str(number)), "a reason") for number in range(3)]
    later = time.monotonic() + promise.SPOOL_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    waits = []

    def wait(futures: Sequence[Future[None]], seconds: float) -> Any:
        waits.append(seconds)
        return really(futures, 0)

    really = gather.wait
    monkeypatch.setattr(gather, "wait", wait)
    for each in finish:
        with pytest.raises(SpoolUnavailable, match="no answer from the disk"):
            each()
    assert waits == [0.0] * 3


def test_one_that_comes_alone_has_a_file_as_earlier_versions_wrote_it(
    patient: Spool, disk: Disk
) -> None:
    disk.may_go_on.set()
    patient.keep(callback("a"), "a reason")
    (path,) = patient.folder.glob("*.json")
    assert path.name.count(".") == 1
    written = {"version": 1, "reason": "a reason", **callback("a")._asdict()}
    assert path.read_text() == json.dumps(written)


def test_a_request_that_comes_again_meanwhile_is_written_once(
    patient: Spool, disk: Disk, callers: ThreadPoolExecutor
) -> None:
    others = [callback("first"), callback("a"), callback("a"), callback("b")]
    keeping = kept_while_one_is_written(patient, disk, callers, others)
    disk.may_go_on.set()
    for one in keeping:
        one.result()
    found = [line.found for path in disk.files for line in read_file(path)]
    assert sorted(found, key=str) == sorted(map(callback, ("a", "b", "first")), key=str)
    assert patient.depth().waiting == 3


def test_a_write_that_fails_is_reported_to_all_who_share_it(
    patient: Spool, disk: Disk, callers: ThreadPoolExecutor
) -> None:
    others = [callback(str(number)) for number in range(5)]
    keeping = kept_while_one_is_written(patient, disk, callers, others)
    disk.failure = OSError(errno.ENOSPC, "No space left on device")
    disk.may_go_on.set()
    for one in keeping:
        with pytest.raises(SpoolUnavailable, match="No space left"):
            one.result()
    assert patient.depth().waiting == 0
    disk.failure = None
    patient.keep(callback("0"), "a reason")
    assert patient.depth().waiting == 1


def test_while_a_write_hangs_others_are_refused_at_once_and_taken_again_afterwards(
    settings: Settings, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promise, "SPOOL_SECONDS", 0.01)
    spool = Spool(settings.spool_dir, disk.write)

    def hangs(name: str) -> bool:
        with pytest.raises(SpoolUnavailable, match="no answer from the disk"):
            spool.keep(callback(name), "a reason")
        return disk.began.is_set()

    wait_until(lambda: hangs("a"), what="a write hangs")
    assert hangs("b")
    assert hangs("c")
    assert not spool._gathered._waiting
    disk.may_go_on.set()

    def takes_one() -> bool:
        try:
            spool.keep(callback("d"), "a reason")
        except SpoolUnavailable:
            return False
        return True

    wait_until(takes_one, what="the spool takes callbacks again")
    found = {line.found for path in disk.files for line in read_file(path)}
    assert found == {callback("a"), callback("d")}


KEEPING = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from smsstatus import promise
from smsstatus.intake import spool as spools
from smsstatus.plivo.callback import Callback
promise.SPOOL_SECONDS = 60.0
spool = spools.Spool(Path(sys.argv[1]))
spool.prepare()

def keep(number):
    spool.keep(Callback("POST", "", f"MessageUUID={number}&Status=sent", "2026"), "a reason")
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()

with ThreadPoolExecutor(16) as callers:
    list(callers.map(keep, range(100_000)))
"""


def test_what_was_answered_before_the_process_was_killed_is_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEPING, str(tmp_path / "spool")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline() for _ in range(300)]
        process.kill()
        answered += [line for line in process.stdout if line.endswith(b"\n")]
    files = [path for path in (tmp_path / "spool").glob("*.json*") if path.name[0] != "."]
    lines = [line for path in files for line in read_file(path)]
    found = {line.found.body for line in lines if isinstance(line.found, Callback)}
    assert {f"MessageUUID={int(number)}&Status=sent" for number in answered} <= found
    assert len(found) == len(lines)
    assert len(files) < len(lines)
    assert Spool(tmp_path / "spool").depth().waiting == len(lines)
