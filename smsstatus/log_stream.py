"""A log that nobody reads must not stop the service: what it does not take at once is left out."""

from __future__ import annotations

import os
import select
import threading
from typing import TextIO

_PIECE = select.PIPE_BUF
"""What a pipe that poll calls writable takes without a wait: 4,096 bytes on Linux (pipe(7))."""

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

    def write(self, text: str) -> None:
        """Write one line, or leave it out."""
        global _left_out, _untold
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError):  # it is none of the system's
            self._stream.write(text)
            return
        with _lock:
            # A line of its own, also behind one of which only the beginning was taken.
            told = f"\n{_untold} log lines are missing here: nobody took them\n" if _untold else ""
            if _write(descriptor, f"{told}{text}".encode(errors="backslashreplace")):
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
