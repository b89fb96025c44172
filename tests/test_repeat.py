"""`make test-repeat`: the same verdict each time, or a line that says which run was another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .live import ROOT

LEAVES_A_PROCESS = """
import subprocess, sys
from pathlib import Path

def test_one():
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with Path("left").open("a") as file:
        print(left.pid, file=file)
    left.returncode = 0  # so that nobody warns
"""
HANGS = """
import threading

def test_one():
    threading.Event().wait()
"""


HEAVY = ("schemathesis", "anyio", "hypothesispytest", "timeout")
LIGHT = ["--numprocesses=0", *(f"-pno:{name}" for name in HEAVY)]
"""Without plugins that take a second to import, beside busy loops several."""


def repeat(folder: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_one.py").write_text(test)
    return subprocess.run(
        [sys.executable, ROOT / "tools/repeat.py", *arguments, *LIGHT, "test_one.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_each_run_is_a_line_and_leaves_no_process(tmp_path: Path) -> None:
    done = repeat(tmp_path, LEAVES_A_PROCESS, "3")
    *runs, verdict = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict == "3 of 3 runs were green"
    assert [run.partition(", seed ")[0] for run in runs] == [
        "run 1, beside two busy loops per core",
        "run 2, on a single core",
        "run 3, while the disk is busy",
    ]
    for run in runs:
        assert re.search(r", seed \d+: 1 passed in .+; ended 1 processes", run)
    left = (tmp_path / "left").read_text().split()
    assert len(left) == 3
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def test_a_run_that_takes_too_long_is_ended_and_has_failed(tmp_path: Path) -> None:
    done = repeat(tmp_path, HANGS, "1", "--minutes", "0.05")
    assert done.returncode == 1
    *_, run, verdict = done.stdout.splitlines()
    assert run.endswith("not done within 0.05 minutes")
    assert verdict == "0 of 1 runs were green"
