"""What the figures were measured on: without it they cannot be compared with others."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from bench.cores import LOAD_CORE, SERVER_CORE
from bench.paths import CACHE


def describe() -> dict[str, str]:
    """The machine in words, the time of one fdatasync on its disk included."""
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()} (server on {SERVER_CORE}, load on {LOAD_CORE})",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "fdatasync": _fdatasync_words(),
        "load average before": f"{os.getloadavg()[0]:.2f}{_busy_words()}",
    }


def _busy_words() -> str:
    """Both cores are needed whole: a neighbour's work shows in every figure."""
    return " **(other work is running: stop it first)**" if os.getloadavg()[0] > 1 else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fdatasync_words() -> str:
    times = sorted(_fdatasync_times(200))
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    return f"{p50 * 1e3:.2f} ms (p99 {p99 * 1e3:.2f}) after a write of 4 KiB"


def _fdatasync_times(count: int) -> list[float]:
    CACHE.mkdir(exist_ok=True)
    times = []
    with tempfile.TemporaryFile(dir=CACHE) as file:
        for _ in range(count):
            os.write(file.fileno(), bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return times
