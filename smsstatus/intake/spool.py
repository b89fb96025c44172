"""Fsynced files for what the store could not take, and reading them back.

The guarantee: when `keep` returns, the callback is in a file whose content and name are fsynced:
in one of its own if it came alone, else with those that came while another file was written. A
file is removed only after the store has answered for its callbacks, so replaying is at least once
and the store has to be idempotent (it is).
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from .. import promise
from ..bounded import Bounded, Recent
from ..files import make_folder, write_synced
from ..locking import hold_if_free
from ..logs import RateLimit
from ..notation import visible
from ..plivo.callback import Callback
from ..plivo.form import Malformed
from .bad import Bad
from .gather import Gathered
from .records import SUFFIXES, Line, callbacks_in, digest_of_fields, file_name, text_of

LISTING_SECONDS = 15.0
"""A count of the files is at most this old: a serving process counts every few seconds."""

STUCK_SECONDS = 5.0
STUCK_LONGEST = 600.0
"""A file that cannot go now is tried again after the first, then twice that, up to the second."""

log = logging.getLogger(__name__)


class SpoolUnavailable(Exception):
    """The spool took nothing. The text says why."""


class _TooSlow(SpoolUnavailable):
    """The disk hangs, or has very much to do."""


class Depth(NamedTuple):
    """How many callbacks wait to be replayed and were set aside, the age of the oldest in seconds.

    `stuck` of the waiting cannot go now, though the store takes others.
    """

    waiting: int
    bad: int
    oldest_seconds: float
    stuck: int = 0


@dataclass
class Stuck:
    """A file that cannot go now: why, and when (time.monotonic()) it is tried again."""

    reason: str
    pause: float
    again_at: float


class _Record(NamedTuple):
    """A callback to be written."""

    digest: bytes
    received_at: str
    text: bytes


class Spool:
    """A folder of callbacks in files of JSON lines; the names sort by time of receipt.

    How many there are is known without listing them at each question: what this process adds and
    removes is counted, and `list_files` sees what others did. `write` makes a file that survives.
    """

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None] = write_synced) -> None:
        self.folder = folder
        self._write_synced = write
        self.bad = folder / "bad"
        self._set_aside = Bad(self.bad, self._write)
        self.lines = RateLimit()
        self.stuck: dict[str, Stuck] = {}
        self._bounded = Bounded(promise.SPOOL_SECONDS, "the disk")
        self._gathered = Gathered(self._keep_all, self._bounded)
        self._kept: Recent[Path] = Recent()
        self._listing = threading.Lock()
        self._counting = threading.Lock()
        self._listed_at = float("-inf")
        self._waiting = 0
        self._oldest = 0.0

    def prepare(self) -> None:
        """Create the folders and prove that they take files. Raises OSError.

        The folder above must exist: if not, a disk is not mounted, or a path is misspelt.
        """
        for folder in (self.folder, self.bad):
            self._prove(folder)
        self.list_files(1)

    def hold(self) -> AbstractContextManager[bool]:
        """Be the one process of those that share the folder that drains it, until the block ends.

        False if another is. When a process dies, the next one may. Raises OSError.
        """
        return hold_if_free(self.folder / ".drain-lock")

    def probe(self) -> None:
        """See whether it takes files now. Raises SpoolUnavailable within SPOOL_SECONDS."""
        with _in_time():
            self._bounded.call("probe", self._prove, self.folder)

    def keep(self, callback: Callback, reason: str) -> None:
        """Keep a callback to be replayed. Raises SpoolUnavailable within SPOOL_SECONDS."""
        self.begin(callback, reason)()

    def begin(self, callback: Callback, reason: str) -> Callable[[], None]:
        """Begin to `keep` a callback. What comes back waits for that; its time runs from now on.

        One that has a file waiting needs no second one. Raises SpoolUnavailable.
        """
        digest = digest_of_fields(callback)
        record = _Record(digest, callback.received_at, text_of(callback, reason))
        with _in_time():
            finish = self._gathered.begin(record)
        return _in_time()(finish)

    def keep_bad(self, callback: Callback, reason: str) -> bool:
        """Keep a callback that cannot be applied; False if that text is there already.

        Raises SpoolUnavailable within SPOOL_SECONDS.
        """
        with _in_time():
            return self._bounded.call("keep", self._set_aside.keep, callback, reason)

    def list_files(self, at_most: int | None = None, *, every: bool = False) -> list[str]:
        """Count callbacks; the names of the oldest waiting files, oldest first. Raises OSError.

        Those that are stuck are not among them until they may be tried again, unless `every` one is
        wanted.
        """
        began = time.monotonic()
        stuck = [] if every else list(self.stuck.items())
        found = _Found({name for name, known in stuck if known.again_at > began})
        with os.scandir(self.folder) as entries:
            names = found.names(entries)
            oldest = sorted(names) if at_most is None else heapq.nsmallest(at_most, names)
        self._set_aside.recount()
        since = _modified(self.folder / found.first) if found.first else 0.0
        with self._counting:
            self._waiting, self._oldest = found.count, since
            self._listed_at = began
        for name in list(self.stuck):
            if not os.path.lexists(self.folder / name):
                del self.stuck[name]
        return oldest

    def depth(self) -> Depth:
        """How much waits. Raises SpoolUnavailable within SPOOL_SECONDS.

        If counting takes longer than that, the last count stands.
        """
        with self._listing:
            if time.monotonic() - self._listed_at > LISTING_SECONDS:
                with contextlib.suppress(_TooSlow), _in_time():
                    self._bounded.call("list", self.list_files, 1)
        with self._counting:
            seconds = time.time() - self._oldest if self._waiting else 0.0
            stuck = sum(map(callbacks_in, list(self.stuck)))
            return Depth(self._waiting, self._set_aside.count, max(seconds, 0.0), stuck)

    def remove(self, name: str) -> None:
        """What it holds is elsewhere now. Raises OSError."""
        (self.folder / name).unlink(missing_ok=True)
        self.stuck.pop(name, None)
        self._count(-callbacks_in(name))

    def split(self, name: str, groups: Iterable[Sequence[Line]]) -> list[str]:
        """Have these records of a file in files of their own, and none in it. Raises OSError.

        Returns the names of the files, one for each group that holds a record.
        """
        since = _modified(self.folder / name)
        names = []
        for lines in filter(None, groups):
            path = self.folder / file_name(name.partition("-")[0], len(lines))
            self._write(path, b"\n".join([line.raw for line in lines]))
            os.utime(path, (since, since))
            for line in lines:
                with contextlib.suppress(Malformed):
                    if isinstance(line.found, Callback):
                        self._kept.put(digest_of_fields(line.found), path)
            self._count(len(lines))
            names.append(path.name)
        self.remove(name)
        return names

    def set_aside(self, line: Line, reason: str) -> None:
        """Keep a record that cannot be applied in `bad/`, with the reason. Raises OSError."""
        self._set_aside.keep_line(line, reason)

    def pass_by(self, name: str, reason: str) -> None:
        """Try a file again later, and those behind it now."""
        known = self.stuck.get(name)
        pause = min(known.pause * 2, STUCK_LONGEST) if known else STUCK_SECONDS
        self.stuck[name] = Stuck(reason, pause, time.monotonic() + pause)
        if known is None:
            self.lines.log(
                log.error, "spool file %s cannot go now, passed by: %s", visible(name), reason
            )

    def tidy_bad(self) -> None:
        """Remove what is too much in bad/, oldest first. Raises OSError."""
        self._set_aside.tidy()

    def _keep_all(self, records: list[_Record]) -> None:
        new: dict[bytes, bytes] = {}
        for record in records:
            kept = self._kept.get(record.digest)
            if kept is None or not kept.exists():
                new.setdefault(record.digest, record.text)
        if not new:
            return
        stamp = re.sub(r"\D", "", min(record.received_at for record in records))
        path = self.folder / file_name(stamp, len(new))
        self._write(path, b"\n".join(new.values()))
        for digest in new:
            self._kept.put(digest, path)
        self._count(len(new))

    def _prove(self, folder: Path) -> None:
        probe = folder / f".probe-{uuid4().hex}"
        self._write(probe, b"{}")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file, in folders that somebody may have removed meanwhile. Raises OSError."""
        make_folder(self.folder)
        make_folder(self.bad)
        self._write_synced(path, content)

    def _count(self, callbacks: int) -> None:
        with self._counting:
            if self._waiting <= 0:
                self._waiting, self._oldest = 0, time.time()
            self._waiting = max(self._waiting + callbacks, 0)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """A disk that hangs must not keep Plivo waiting. Raises SpoolUnavailable."""
    try:
        yield
    except TimeoutError as error:
        raise _TooSlow(str(error)) from None
    except (OSError, RuntimeError) as error:
        text = getattr(error, "strerror", None) or error
        raise SpoolUnavailable(f"{type(error).__name__}: {text}") from error


class _Found:
    """The names of waiting files in a listing, while their callbacks are counted."""

    def __init__(self, resting: set[str]) -> None:
        self._resting = resting
        self.count = 0
        self.first = ""

    def names(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
        for entry in entries:
            name = entry.name
            if "0" <= name[0] <= "9" and name.endswith(SUFFIXES):
                self.count += callbacks_in(name)
                if not self.first or name < self.first:
                    self.first = name
                if name not in self._resting:
                    yield name


def _modified(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_mtime
    return time.time()
