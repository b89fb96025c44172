"""Looking at, and meddling with, a running worker's system calls: strace and /proc."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..live import LiveService, wait_until


@dataclass
class Call:
    """One system call. `entered` and `left` are line numbers of the trace.

    strace stops a thread when it enters a call, before anything is done, and when it leaves. So
    `a.left < b.entered` means: a was done before b began.
    """

    thread: int
    name: str
    arguments: str
    entered: int
    left: int = -1
    failed: bool = False


def worker_pid(service: LiveService) -> int:
    """The process that serves: the one child of gunicorn's master."""
    assert service.process is not None
    master = service.process.pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    assert len(children) == 1, f"workers: {children}"
    return int(children[0])


@contextlib.contextmanager
def held(pid: int) -> Iterator[None]:
    """Let a process do nothing while the context lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: _states(pid) == {"T"}, what="all its threads have stopped")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> set[str]:
    """The states of a process's threads, in proc(5)'s letters."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return {path.read_text().rpartition(")")[2].split()[0] for path in threads}


@contextlib.contextmanager
def strace(pid: int, output: Path, *options: str) -> Iterator[None]:
    """Trace a process with all its threads while the context lasts."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("NOT CHECKED: strace is not installed (apt-get install strace)")
    messages = output.with_name(output.name + ".messages")
    with open(messages, "wb") as stderr:
        command = [program, "-f", "-p", str(pid), "-o", str(output), *options]
        tracer = subprocess.Popen(command, stdout=stderr, stderr=stderr)
    try:
        wait_until(
            lambda: tracer.poll() is not None or "attached" in messages.read_text(),
            what="strace has attached",
        )
        if tracer.poll() is not None:
            pytest.skip(f"NOT CHECKED: strace may not attach here: {messages.read_text().strip()}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(60)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait(10)


_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")


def calls(output: Path) -> list[Call]:
    """The traced calls, in the order in which they were entered."""
    found: list[Call] = []
    open_calls: dict[int, Call] = {}
    with open(output, encoding="latin-1") as lines:
        for number, line in enumerate(lines):
            match = _LINE.match(line)
            if match is None:
                continue  # a signal or a thread's end
            thread, resumed, name, text = int(match[1]), match[2], match[3], match[4]
            if resumed:
                call = open_calls.pop(thread, None)
                if call is None:
                    continue  # entered before strace came
                call.arguments += text
            else:
                call = Call(thread, name, text, number)
                found.append(call)
            if text.endswith("<unfinished ...>"):
                open_calls[thread] = call
            else:
                call.left = number
                call.failed = bool(re.search(r"\) += -1 ", text))
    return found


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used, all threads, user and kernel."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
