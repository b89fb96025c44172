"""A log that nobody reads must not stop the service: what it does not take at once is left out.

Nor must one that is a file on a disk that hangs: a thread of its own writes to files.
"""

from __future__ import annotations

import os
import queue
import select
import stat
import threading
from collections import deque
from concurrent.futures import Future, wait
from typing import TextIO

_PIECE = select.PIPE_BUF
"""What a pipe that poll calls writable takes without a wait: 4,096 bytes on Linux (pipe(7))."""
_FILE_SECONDS = 0.25
"""For the first line that a file does not take; those behind it are not waited for."""
_AT_MOST = 1000
"""Lines that wait for a file."""

_lock = threading.Lock()  # several loggers write to one pipe
_left_out = 0
_untold = 0


def left_out() -> int:
    """How many log lines this process has left out so far."""
    return _left_out


class Unhurried:
    """What a logging handler writes to: `stream`, or nothing where that would mean to wait.

    How many lines are missing is said before the next one that is taken.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_file: bool | None = None

    def write(self, text: str) -> None:
        """Write one line, or leave it out."""
        global _left_out, _untold
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError):  # it is none of the system's
            self._stream.write(text)
            return
        if self._is_file is None:  # once: to ask a file server that is gone would be to wait
            self._is_file = _is_file(descriptor)
        with _lock:
            # A line of its own, also behind one of which only the beginning was taken.
            told = f"\n{_untold} log lines are missing here: nobody took them\n" if _untold else ""
            data = f"{told}{text}".encode(errors="backslashreplace")
            if _files.write(descriptor, data) if self._is_file else _write(descriptor, data):
                _untold = 0
            else:
                _left_out += 1
                _untold += 1

    def flush(self) -> None:
        """`write` leaves nothing behind."""

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        self._stream.close()


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:  # somebody closed it
        return False


def _write(descriptor: int, data: bytes) -> bool:
    """False if it was not all taken."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    try:
        for at in range(0, len(data), _PIECE):
            if not poll.poll(0):
                return False
            os.write(descriptor, data[at : at + _PIECE])
    except OSError:  # nobody will read it, or its disk is full
        return False
    return True


_Job = tuple[int, bytes, Future[bool]]


class _Files:
    """Has one thread write to files, of which poll says that they take more, whatever they do."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._waiting: deque[Future[bool]] = deque()
        self._pid = 0

    def write(self, descriptor: int, data: bytes) -> bool:
        """False if it was not all taken. What has to wait is taken, up to _AT_MOST lines."""
        if self._pid != os.getpid():  # threads do not survive a fork
            self._jobs, self._waiting = queue.SimpleQueue(), deque()
            writer = threading.Thread(target=self._work, args=(self._jobs,), name="log")
            writer.daemon = True  # a process ends although its log hangs
            try:
                writer.start()
            except RuntimeError:  # the host allows no more
                return _write(descriptor, data)
            self._pid = os.getpid()
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        if len(self._waiting) == _AT_MOST:
            return False
        done: Future[bool] = Future()
        self._jobs.put((descriptor, data, done))
        if self._waiting or not wait((done,), _FILE_SECONDS).done:
            self._waiting.append(done)
            return True
        return done.result()

    def _work(self, jobs: queue.SimpleQueue[_Job]) -> None:
        while True:
            descriptor, data, done = jobs.get()
            done.set_result(_write(descriptor, data))


_files = _Files()
