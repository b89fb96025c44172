"""Which core serves and which makes the load."""

from __future__ import annotations

import os

_cores = sorted(os.sched_getaffinity(0))
ALL_CORES = frozenset(_cores)
SERVER_CORE = _cores[0]
LOAD_CORE = _cores[-1]
SEPARATE = SERVER_CORE != LOAD_CORE


def pin_to_load_core() -> None:
    """Keep this process, and the load it starts, off the server's core."""
    os.sched_setaffinity(0, {LOAD_CORE})
