"""Run all tests repeatedly, each time in another order, the last times on a busy machine.

python tools/repeat.py [N]: N runs, including one beside two busy loops per core, one on a single
core, and one while the disk is kept busy. Exits with 1 if any of them failed.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
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


def is_green(number: int, condition: Condition) -> bool:
    """Run all tests once and print a line about it, and all their output if any failed."""
    seed = random.randrange(2**32)  # noqa: S311 - an order, not a secret
    tests = ("-m", "pytest", "--numprocesses=auto", "--quiet", f"--randomly-seed={seed}")
    with running(condition.beside):
        done = subprocess.run(
            [*condition.prefix, sys.executable, *tests], stdout=subprocess.PIPE, text=True
        )
    if done.returncode:
        print(done.stdout)
    summary = done.stdout.rstrip().rpartition("\n")[2].strip("= ")
    print(f"run {number}, {condition.name}, seed {seed}: {summary}", flush=True)
    return done.returncode == 0


def main(runs: int = 10) -> int:
    special = SPECIAL[:runs]
    conditions = [PLAIN] * (runs - len(special)) + list(special)
    green = sum([is_green(*numbered) for numbered in enumerate(conditions, 1)])
    print(f"{green} of {runs} runs were green")
    return 0 if green == runs else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
