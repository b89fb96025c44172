"""The library that counts fsyncs in a running service and can make each slower (slowfsync.c)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.paths import BENCH, CACHE

SOURCE = BENCH / "slowfsync.c"
LIBRARY = CACHE / "slowfsync.so"
HOW_TO_GET_CC = "no C compiler: `apt-get install gcc libc6-dev`, or your system's equal"


class NoCompiler(Exception):
    """The library cannot be built here. The text says how to fix it."""


def build() -> Path:
    """Compile the library if it is missing or old. Raises NoCompiler."""
    if LIBRARY.exists() and LIBRARY.stat().st_mtime > SOURCE.stat().st_mtime:
        return LIBRARY
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler(HOW_TO_GET_CC)
    CACHE.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(LIBRARY), str(SOURCE), "-ldl"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise NoCompiler(f"cc could not build slowfsync.c: {result.stderr.strip()[:300]}")
    return LIBRARY


def environment(library: Path, counter: Path, delay_us: int) -> dict[str, str]:
    """What a service is started with so that its fsyncs are counted in `counter`."""
    counter.write_bytes(bytes(8))
    return {
        "LD_PRELOAD": str(library),
        "BENCH_FSYNC_COUNT": str(counter),
        "BENCH_FSYNC_DELAY_US": str(delay_us),
    }


def count(counter: Path) -> int:
    """How many fsyncs the service has made so far."""
    return int.from_bytes(counter.read_bytes()[:8], "little")
