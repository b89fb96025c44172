"""One writer at a time, across processes: an flock on `<database>.lock`.

Hosts that overlap the old and the new container put two processes on one SQLite file. SQLite's own
lock would starve one of them for seconds, and before 3.51.3 two connections that write and
checkpoint at once can lose commits (https://www.sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from .files import closed_to_us

_POLL_SECONDS = 0.002


class FileLock:
    """An exclusive lock on a file of its own (never on the database file: see howtocorrupt 2.2).

    `pause(seconds)` is called between two tries while another process holds it.
    """

    def __init__(self, path: Path, pause: Callable[[float], object] = time.sleep) -> None:
        self._path = path
        self._pause = pause
        self._descriptor: int | None = None
        self._inode = 0

    @contextmanager
    def hold(self, seconds: float) -> Iterator[None]:
        """Hold the lock. Raises TimeoutError if it cannot be taken within `seconds`."""
        self.take(seconds)
        try:
            yield
        finally:
            self.give()

    def take(self, seconds: float) -> None:
        """Take the lock, or make sure that it is held still. Raises TimeoutError as `hold`."""
        deadline = time.monotonic() + seconds
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process holds {self._path.name}") from None
                self._pause(_POLL_SECONDS)
                continue
            if self._still_there():
                return
            self.close()

    def give(self) -> None:
        """Let others have the lock."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _open(self) -> int:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except PermissionError:
                if os.path.exists(self._path):  # as when a command was run by root
                    raise PermissionError(closed_to_us(self._path)) from None
                raise
            self._inode = os.fstat(self._descriptor).st_ino
        return self._descriptor

    def _still_there(self) -> bool:
        """A deleted lock file would let another process lock a new one beside ours."""
        try:
            return os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file. Locking opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock on a file unless somebody does, also in this process: is it held now?

    Raises OSError if the file cannot be made.
    """
    lock = FileLock(path)
    with closing(lock), ExitStack() as held:
        try:
            held.enter_context(lock.hold(0))
            is_held = True
        except TimeoutError:
            is_held = False
        yield is_held
