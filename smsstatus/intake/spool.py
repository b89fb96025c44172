"""Fsynced files for what the store could not take, and reading them back.

The guarantee: when `keep` returns, the callback is in a file of its own whose content and
name are fsynced. A file is removed only after the store has answered for its callback, so
replaying is at least once and the store has to be idempotent (it is).
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4

from ..bounded import Bounded, Recent
from ..files import make_folder, write_synced
from ..logs import RateLimit, printable
from ..plivo.callback import Callback
from .bad import Bad
from .records import Line, digest_of_fields, text_of

KEEP_SECONDS = 1.0
"""With the store's 3 s this stays under the 5 s in which Plivo is answered."""
LISTING_SECONDS = 15.0
"""A count of the files is at most so old: a serving process counts every few seconds."""

STUCK_SECONDS = 5.0
STUCK_LONGEST = 600.0
"""A file that cannot go now is tried again after the first, then twice that, up to the second."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class SpoolUnavailable(Exception):
    """The spool took nothing. The text says why."""


class _TooSlow(SpoolUnavailable):
    """The disk hangs, or has very much to do."""


class Depth(NamedTuple):
    """How much waits: files to replay, files set aside, age in seconds of the oldest waiting.

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


class Spool:
    """A folder of callbacks, one JSON file each; the names sort by time of receipt.

    How many there are is known without listing them at each question: what this process adds and
    removes is counted, and `list_files` sees what others did.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bad = folder / "bad"
        self._set_aside = Bad(self.bad, self._write)
        self.lines = RateLimit()
        self.stuck: dict[str, Stuck] = {}
        self._bounded = Bounded(KEEP_SECONDS, "the disk")
        self._kept: Recent[Path] = Recent()
        self._listing = threading.Lock()
        self._counting = threading.Lock()
        self._listed_at = float("-inf")
        self._waiting = 0
        self._oldest = 0.0

    def prepare(self) -> None:
        """Create the folders and prove that they take files. Raises OSError.

        Also if the folder above is missing: then a disk is not mounted, or a path is misspelt.
        """
        for folder in (self.folder, self.bad):
            self._prove(folder)
        self.list_files(1)

    def probe(self) -> None:
        """See whether it takes files now. Raises SpoolUnavailable within KEEP_SECONDS."""
        self._in_time("probe", self._prove, self.folder)

    def keep(self, callback: Callback, reason: str) -> None:
        """Keep a callback to be replayed. Raises SpoolUnavailable within KEEP_SECONDS.

        One that has a file waiting needs no second one.
        """
        self._in_time("keep", self._keep, callback, reason)

    def keep_bad(self, callback: Callback, reason: str) -> bool:
        """Keep a callback that cannot be applied; False if that text is there already.

        Raises SpoolUnavailable within KEEP_SECONDS.
        """
        return self._in_time("keep", self._set_aside.keep, callback, reason)

    def list_files(self, at_most: int | None = None) -> list[str]:
        """Count the files; the names of the oldest waiting ones, oldest first. Raises OSError.

        Those that are stuck are not among them until they may be tried again.
        """
        began = time.monotonic()
        found = _Found({name for name, stuck in self.stuck.items() if stuck.again_at > began})
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
        """How much waits. Raises SpoolUnavailable within KEEP_SECONDS.

        If counting takes longer than that, the last count stands.
        """
        with self._listing:
            if time.monotonic() - self._listed_at > LISTING_SECONDS:
                with contextlib.suppress(_TooSlow):
                    self._in_time("list", self.list_files, 1)
        with self._counting:
            seconds = time.time() - self._oldest if self._waiting else 0.0
            return Depth(self._waiting, self._set_aside.count, max(seconds, 0.0), len(self.stuck))

    def remove(self, name: str) -> None:
        """Its callback is in the store now. Raises OSError."""
        (self.folder / name).unlink(missing_ok=True)
        self.stuck.pop(name, None)
        self._count(-1)

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
                log.error, "spool file %s cannot go now, passed by: %s", printable(name), reason
            )

    def tidy_bad(self) -> None:
        """Remove what is too much in bad/, oldest first. Raises OSError."""
        self._set_aside.tidy()

    def _keep(self, callback: Callback, reason: str) -> None:
        digest = digest_of_fields(callback)
        kept = self._kept.get(digest)
        if kept is not None and kept.exists():
            return
        stamp = re.sub(r"\D", "", callback.received_at)
        path = self.folder / f"{stamp}-{uuid4().hex[:12]}.json"
        self._write(path, text_of(callback, reason))
        self._kept.put(digest, path)
        self._count(1)

    def _prove(self, folder: Path) -> None:
        probe = folder / f".probe-{uuid4().hex}"
        self._write(probe, "{}")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, text: str) -> None:
        """Also where somebody has removed the folders meanwhile. Raises OSError."""
        make_folder(self.folder)
        make_folder(self.bad)
        write_synced(path, text)

    def _count(self, callbacks: int) -> None:
        with self._counting:
            if self._waiting <= 0:
                self._waiting, self._oldest = 0, time.time()
            self._waiting = max(self._waiting + callbacks, 0)

    def _in_time(self, kind: str, work: Callable[..., T], *arguments: object) -> T:
        """A disk that hangs must not keep Plivo waiting. Raises SpoolUnavailable."""
        try:
            return self._bounded.call(kind, work, *arguments)
        except TimeoutError as error:
            raise _TooSlow(str(error)) from None
        except (OSError, RuntimeError) as error:
            text = getattr(error, "strerror", None) or error
            raise SpoolUnavailable(f"{type(error).__name__}: {text}") from error


class _Found:
    """The names of waiting files in a listing, while they are counted."""

    def __init__(self, resting: set[str]) -> None:
        self._resting = resting
        self.count = 0
        self.first = ""

    def names(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
        for entry in entries:
            name = entry.name
            if "0" <= name[0] <= "9" and name.endswith(".json"):
                self.count += 1
                if not self.first or name < self.first:
                    self.first = name
                if name not in self._resting:
                    yield name


def _modified(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_mtime
    return time.time()
