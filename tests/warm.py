"""Processes of the service that begin with its modules imported, which costs half a second each.

A process without threads imports them once, and forks for each that is wanted, as gunicorn's
master does with --preload; all else is as in a new one: arguments, environment, signals, exit.
Each has a parent that only waits for it, and tells its status through a pipe.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

NEEDS_A_NEW_ONE = ("PYTHON", "LD_", "MALLOC_", "TZ", "LANG", "LC_")
"""What these variables begin with is read when Python starts,"""

READ_BY_IMPORT = frozenset(("PORT", "FORWARDED_ALLOW_IPS", "SENDFILE"))
"""or when gunicorn is imported. (As WEB_CONCURRENCY is, but gunicorn.conf.py sets the number.)"""

_NUMBER = struct.Struct("q")
_LONGEST = 1 << 16


class WarmProcess:
    """One that runs, with what tests need of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], status: int) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._lock = threading.Lock()
        self._status = status
        self.pid = self._told()

    def poll(self) -> int | None:
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._ended_within(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, sent: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sent)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            told = select.poll()
            told.register(self._status, select.POLLIN)
            if told.poll(None if seconds is None else seconds * 1000):
                with self._lock:
                    if self.returncode is None:  # else another thread was told meanwhile
                        self.returncode = self._told()
                        os.close(self._status)
        return self.returncode

    def _told(self) -> int:
        (number,) = _NUMBER.unpack(os.read(self._status, _NUMBER.size))
        return int(number)


def can_be_warm(environment: Mapping[str, str]) -> bool:
    """Whether a new process with these variables would be no other; only Linux passes packets."""
    names = {name for name in environment if not name.startswith("PYTHON_DOTENV")}
    others = {name for name in names if name.startswith(NEEDS_A_NEW_ONE)}
    return sys.platform == "linux" and not others | (READ_BY_IMPORT & names)


def start(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: IO[bytes]
) -> WarmProcess:
    """Run `python -m ARGUMENTS` as the leader of a session of its own, writing to the log."""
    sys.audit("subprocess.Popen", sys.executable, arguments, str(folder), environment)
    wanted = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
    mine, its = os.pipe()
    try:
        socket.send_fds(_connection(), [wanted], [log.fileno(), its])
    finally:
        os.close(its)
    return WarmProcess(arguments, mine)


class _Forker:
    """The process that forks, and the connection through which it is asked to."""

    def __init__(self) -> None:
        self.connection, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with its:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(its.fileno())],
                cwd=Path(__file__).parents[1],
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )


_forkers: list[_Forker] = []
_lock = threading.Lock()


def _connection() -> socket.socket:
    with _lock:
        if not _forkers:
            _forkers.append(_Forker())
        return _forkers[0].connection


def end() -> None:
    """Have no process that forks any more. What it forked goes on."""
    while _forkers:
        forker = _forkers.pop()
        forker.connection.close()
        forker.process.wait(60)


def _wanted(asked: socket.socket) -> list[str]:
    """Returns in each new process, with what it is to run."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, _LONGEST, 2)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not message:
            os._exit(0)
        log, status = descriptors
        if os.fork() == 0:
            break
        os.close(log)
        os.close(status)
    asked.close()
    pid = os.fork()
    if pid:
        os.close(log)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(status, _NUMBER.pack(ended))
        os._exit(0)
    arguments, folder, environment = json.loads(message)
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(folder)
    os.environ.update(environment)
    sys.path[0] = folder
    os.write(status, _NUMBER.pack(os.getpid()))
    os.close(status)
    return list(arguments)


if __name__ == "__main__":
    import gunicorn.app.wsgiapp  # noqa: F401 - for those that are forked

    import smsstatus.server.worker
    import smsstatus.ui  # noqa: F401

    sys.argv = _wanted(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
