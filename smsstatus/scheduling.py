"""How the kernel takes turns between this process's threads."""

from __future__ import annotations

import contextlib
import os


def wait_for_a_turn() -> None:
    """Have the calling thread not interrupt the one that wakes it.

    One thread at a time runs Python. The first callback of many wakes the writer, and the kernel
    would put it in the place of the loop, which has the others still to hand in: each commit would
    hold two or three callbacks, not twenty. SCHED_BATCH lets the writer wait its turn:
    https://man7.org/linux/man-pages/man7/sched.7.html
    The price: beside a program that keeps the same core busy, it waits for that one too, for some
    milliseconds. Another policy that somebody has chosen for the process is left alone.
    """
    with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux; or not allowed
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
