"""Drives a service as hard as it can take, with wrk, and knows which callbacks were answered."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cores import LOAD_CORE
from bench.paths import BENCH

CONNECTIONS = 32
HOW_TO_GET_WRK = "wrk is missing: `apt-get install wrk`"


class LoadFailed(Exception):
    """wrk did not do its work, so there is no figure. The text says why."""


@dataclass(frozen=True)
class Saturated:
    """One run of wrk. Callbacks are named by their index in the list they were dealt from."""

    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    answered: tuple[int, ...]  # with 200
    refused: int  # answered with anything else
    socket_errors: int
    lines_used: int  # of each thread's file, so that a next run can go on behind them

    @property
    def rate(self) -> float:
        """Callbacks answered with 200 in a second."""
        return len(self.answered) / self.seconds


def find_wrk() -> str | None:
    """Where wrk is, if it is."""
    return shutil.which("wrk")


def saturate(port: int, slices: Path, offset: int, seconds: int) -> Saturated:
    """Send callbacks over 32 kept connections, each as soon as its last one is answered.

    There are as many threads as connections, all on the load core: see wrk.lua for why.
    Raises LoadFailed when wrk fails or runs out of callbacks.
    """
    report = slices / "report.json"
    report.unlink(missing_ok=True)
    command = [
        "taskset",
        "-c",
        str(LOAD_CORE),
        find_wrk() or "wrk",
        f"-t{CONNECTIONS}",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "20s",
        "-s",
        str(BENCH / "wrk.lua"),
        f"http://127.0.0.1:{port}/",
        "--",
        str(slices),
        str(offset),
        str(report),
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    if result.returncode != 0 or not report.exists():
        raise LoadFailed(f"wrk failed: {(result.stderr or result.stdout).strip()[-500:]}")
    return _read_report(json.loads(report.read_text()), offset)


def _read_report(report: dict[str, Any], offset: int) -> Saturated:
    threads = report["threads"]
    if any(thread["ran_out"] for thread in threads):
        raise LoadFailed("ran out of callbacks before the time was over: give --max-rate")
    answered: list[int] = []
    refused = 0
    for number, thread in enumerate(threads):
        bad = {int(item.split(":")[0]) for item in thread["refused"].split()}
        open_ = {int(item) for item in thread["unanswered"].split()}
        if thread["waiting"]:
            open_.add(thread["sent"])
        lines = set(range(1, thread["sent"] + 1)) - bad - open_
        answered.extend((offset + line - 1) * CONNECTIONS + number for line in lines)
        refused += len(bad)
    return Saturated(
        seconds=report["duration_us"] / 1e6,
        p50_ms=report["p50_us"] / 1e3,
        p99_ms=report["p99_us"] / 1e3,
        max_ms=report["max_us"] / 1e3,
        answered=tuple(answered),
        refused=refused,
        socket_errors=report["socket_errors"],
        lines_used=offset + max(thread["sent"] for thread in threads),
    )
