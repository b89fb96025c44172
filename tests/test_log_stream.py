"""A log that nobody reads must not stop the service."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from smsstatus import log_stream
from smsstatus.log_stream import Unhurried

from .live import wait_until

LINE = "one line\n"


@pytest.fixture(autouse=True)
def none_is_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that other tests had left out are not told of here."""
    monkeypatch.setattr(log_stream, "_untold", 0)


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Where a log is read, and where it is written."""
    with open(os.devnull, "w") as elsewhere:
        Unhurried(elsewhere).write(LINE)  # which tells of what other tests have left out
    reader, writer = os.pipe()
    with open(writer, "w") as stream:
        yield reader, stream
    os.close(reader)


def written(reader: int) -> str:
    """What is in the pipe now."""
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 2**20).decode()
    except BlockingIOError:
        return ""


def fill(log: Unhurried) -> int:
    """Write lines until the first is left out; how many were taken."""
    before = log_stream.left_out()
    taken = 0
    while log_stream.left_out() == before:
        log.write(LINE)
        taken += 1
    return taken - 1


def test_what_a_full_pipe_does_not_take_is_left_out_counted_and_told(
    pipe: tuple[int, TextIO],
) -> None:
    reader, stream = pipe
    log = Unhurried(stream)
    before = log_stream.left_out()
    taken = fill(log)
    for _ in range(4):
        log.write(LINE)
    assert log_stream.left_out() - before == 5
    assert written(reader) == LINE * taken
    log.write(LINE)
    log.write(LINE)
    assert written(reader) == f"\n5 log lines are missing here: nobody took them\n{LINE}{LINE}"


def test_a_long_line_does_not_wait_where_a_short_one_has_room(pipe: tuple[int, TextIO]) -> None:
    """A pipe that is nearly full takes its beginning alone."""
    reader, stream = pipe
    log = Unhurried(stream)
    fill(log)
    assert len(os.read(reader, 8192)) == 8192
    log.write("x" * 100_000 + "\n")
    log.write(LINE)
    assert len(written(reader)) < 70_000
    log.write(LINE)
    assert re.fullmatch(rf"\n\d log lines are missing here: [a-z ]+\n{LINE}", written(reader))


def test_a_pipe_that_is_closed_is_one_that_takes_nothing(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    other, writer = os.pipe()
    os.dup2(other, reader)
    os.close(other)
    os.close(writer)
    before = log_stream.left_out()
    Unhurried(stream).write(LINE)
    assert log_stream.left_out() - before == 1


def test_what_is_no_file_of_the_systems_is_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    Unhurried(sys.stderr).write(LINE)
    assert capsys.readouterr().err == LINE


@pytest.fixture
def disk_goes_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set no file takes a line."""
    goes_on = threading.Event()
    write = log_stream._write

    def hang(descriptor: int, data: bytes) -> bool:
        return goes_on.wait(30) and write(descriptor, data)

    monkeypatch.setattr(log_stream, "_write", hang)
    monkeypatch.setattr(log_stream, "_files", log_stream._Files())
    yield goes_on
    goes_on.set()


def test_a_file_on_a_disk_that_hangs_is_not_waited_for_and_has_each_line_once_that_goes_on(
    tmp_path: Path, disk_goes_on: threading.Event
) -> None:
    with open(tmp_path / "log", "w") as stream:
        log = Unhurried(stream)
        before = log_stream.left_out()
        for number in range(5):
            log.write(f"line {number}\n")
        assert (tmp_path / "log").read_text() == ""
        disk_goes_on.set()
        lines = "".join(f"line {number}\n" for number in range(5))
        wait_until(lambda: (tmp_path / "log").read_text() == lines, what="all are written")
    assert log_stream.left_out() == before


def test_of_what_waits_for_a_file_too_much_is_left_out_counted_and_told(
    tmp_path: Path, disk_goes_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_stream, "_AT_MOST", 3)
    with open(tmp_path / "log", "w") as stream:
        log = Unhurried(stream)
        before = log_stream.left_out()
        for _ in range(5):
            log.write(LINE)
        assert log_stream.left_out() - before == 2
        disk_goes_on.set()
        wait_until(lambda: (tmp_path / "log").read_text() == LINE * 3, what="it goes on")
        log.write(LINE)
    told = f"\n2 log lines are missing here: nobody took them\n{LINE}"
    assert (tmp_path / "log").read_text() == LINE * 3 + told


def test_where_the_host_allows_no_more_threads_a_file_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(log_stream, "_files", log_stream._Files())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with open(tmp_path / "log", "w") as stream:
        log = Unhurried(stream)
        log.write(LINE)
        log.write(LINE)
    assert (tmp_path / "log").read_text() == LINE * 2
