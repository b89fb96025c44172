"""Run all tests repeatedly, each time in another order, the last times on a busy machine.

python tools/repeat.py [N] [--minutes M] [TESTS...]: N runs, including one beside two busy loops
per core, one on a single core, and one while the disk is kept busy. One that takes longer than M
minutes is ended and has failed. Prints a line for each, and exits with 1 if any of them failed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CORES = sorted(os.sched_getaffinity(0))
BUSY_LOOP = "while True: pass"
BUSY_DISK = """
import os, tempfile
with tempfile.TemporaryFile() as file:
    while True:
        file.seek(0)
        for _ in range(64):
            file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
"""


class Condition(NamedTuple):
    """What makes a run harder: programs that run beside it, a prefix to its command."""

    name: str
    beside: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()


PLAIN = Condition("plain")
SPECIAL = (
    Condition("beside two busy loops per core", beside=(BUSY_LOOP,) * 2 * len(CORES)),
    Condition("on a single core", prefix=("taskset", "--cpu-list", str(CORES[0]))),
    Condition("while the disk is busy", beside=(BUSY_DISK,)),
)


@contextlib.contextmanager
def running(programs: tuple[str, ...]) -> Iterator[None]:
    """Run Python programs meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
    try:
        yield
    finally:
        for program in started:
            program.kill()
            program.wait()


def is_green(number: int, condition: Condition, tests: Sequence[str], minutes: float) -> bool:
    """Run these tests once and print a line about it, and all their output if any failed."""
    seed = random.randrange(2**32)  # noqa: S311 - an order, not a secret
    options = ("--numprocesses=auto", "--quiet", f"--randomly-seed={seed}", *tests)
    command = [*condition.prefix, sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryFile("w+") as output:
        with running(condition.beside):
            process = subprocess.Popen(command, stdout=output)
            try:
                failed = process.wait(minutes * 60) != 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                failed = True
                print(f"not done within {minutes:g} minutes", file=output)
        left = end_strays()
        output.seek(0)
        said = output.read().rstrip()
    if failed:
        print(said)
    summary = said.rpartition("\n")[2].strip("= ")
    if left:
        summary += f"; ended {left} processes that it left behind"
    print(f"run {number}, {condition.name}, seed {seed}: {summary}", flush=True)
    return not failed


def adopt_strays() -> None:
    """Become the parent of what a run leaves behind, on Linux: see prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def end_strays() -> int:
    """Kill what has been left behind, and what that leaves; how many there were."""
    ended = 0
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while pids := children.read_text().split() if children.exists() else ():
        for pid in map(int, pids):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):  # else it had ended by itself
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                ended += 1
    return ended


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="?", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60)
    given, tests = parser.parse_known_args()
    adopt_strays()
    special = SPECIAL[: given.runs]
    conditions = [PLAIN] * (given.runs - len(special)) + list(special)
    green = sum(
        [is_green(*numbered, tests, given.minutes) for numbered in enumerate(conditions, 1)]
    )
    print(f"{green} of {given.runs} runs were green")
    return 0 if green == given.runs else 1


if __name__ == "__main__":
    sys.exit(main())
