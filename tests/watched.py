"""The service with routes by which test_worker sees how a request is served, and by whom."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from typing import Any

from gunicorn.config import Config

import smsstatus.server.worker
from wsgi import app

WAIT_SECONDS = 60.0  # longer than any client of the test waits

# A lock goes with its process, however that ends.
_life = open(os.environ["WATCHED_LIFE"], "w")  # noqa: SIM115 - until the end
fcntl.flock(_life, fcntl.LOCK_EX)

# So that no thread leaves a connection because a slow machine has a late client.
smsstatus.server.worker.STAY_SECONDS = WAIT_SECONDS

_looked_up: list[str] = []
_look_up = Config.__getattr__


def _note(config: Config, name: str) -> Any:
    _looked_up.append(name)
    return _look_up(config, name)


Config.__getattr__ = _note

_held = threading.Event()


def _hold_up(*_: Any) -> None:
    """Python runs signal handlers in the main thread, so gunicorn's main loop waits here."""
    _held.set()
    threading.Event().wait(WAIT_SECONDS)
    _held.clear()


signal.signal(signal.SIGALRM, _hold_up)


@app.get("/hold")
def hold() -> str:
    """From now on gunicorn's main loop does nothing, for WAIT_SECONDS."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
    assert _held.wait(WAIT_SECONDS)
    return "held\n"


@app.get("/served")
def served() -> str:
    """Is the main loop held up while this is served?"""
    return "held\n" if _held.is_set() else "free\n"


@app.get("/looked-up")
def looked_up() -> list[str]:
    """Settings for which gunicorn's functions were called."""
    return _looked_up


@app.get("/policies")
def policies() -> list[int]:
    """How the kernel gives turns to the main loop, whose thread has the process's id; to this one.

    Linux only.
    """
    return [os.sched_getscheduler(os.getpid()), os.sched_getscheduler(0)]
