"""Fsynced files for what the store could not take, and reading them back.

The guarantee: when `keep` returns, the callback is in a file of its own whose content and
name are fsynced. A file is removed only after the store has answered for its callback, so
replaying is at least once and the store has to be idempotent (it is).

A file that can never be applied moves to `bad/`, with the reason inside. A captured request can be
sent as often as its owner likes, so it makes one file, and `bad/` is bounded: over BAD_FILES or
BAD_BYTES its oldest files are removed, and REMOVED counts them by reason.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4

from ..bounded import Bounded, Recent
from ..files import fsync_folder, make_folder, write_synced
from ..logs import RateLimit, printable
from ..plivo.callback import Callback
from ..plivo.form import parse_form
from ..plivo.signature import signed_v3

KEEP_SECONDS = 1.0
"""With the store's 3 s this stays under the 5 s in which Plivo is answered."""
LISTING_SECONDS = 15.0
"""A count of the files is at most so old: a serving process counts every few seconds."""

BAD_FILES = 1000
BAD_BYTES = 32 * 1024 * 1024
REMOVED = "removed.counts"
"""The file in bad/ that says, as JSON, how many were removed for which reason."""
_REASONS = 50  # different ones that are counted apart

STUCK_SECONDS = 5.0
STUCK_LONGEST = 600.0
"""A file that cannot go now is tried again after the first, then twice that, up to the second."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class SpoolUnavailable(Exception):
    """The spool took nothing. The text says why."""


class _TooSlow(SpoolUnavailable):
    """The disk hangs, or has very much to do."""


class NotReadable(ValueError):
    """A spool file or log record that cannot be read. The text says which and why."""


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
        self.lines = RateLimit()
        self.stuck: dict[str, Stuck] = {}
        self._bounded = Bounded(KEEP_SECONDS, "the disk")
        self._kept: Recent[Path] = Recent()
        self._listing = threading.Lock()
        self._counting = threading.Lock()
        self._listed_at = float("-inf")
        self._waiting = 0
        self._bad = 0
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
        return self._in_time("keep", self._keep_bad, callback, reason)

    def list_files(self, at_most: int | None = None) -> list[str]:
        """Count the files; the names of the oldest waiting ones, oldest first. Raises OSError.

        Those that are stuck are not among them until they may be tried again.
        """
        began = time.monotonic()
        found = _Found({name for name, stuck in self.stuck.items() if stuck.again_at > began})
        with os.scandir(self.folder) as entries:
            names = found.names(entries)
            oldest = sorted(names) if at_most is None else heapq.nsmallest(at_most, names)
        bad = len(self._bad_files())
        since = _modified(self.folder / found.first) if found.first else 0.0
        with self._counting:
            self._waiting, self._bad, self._oldest = found.count, bad, since
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
            return Depth(self._waiting, self._bad, max(seconds, 0.0), len(self.stuck))

    def remove(self, name: str) -> None:
        """Its callback is in the store now. Raises OSError."""
        (self.folder / name).unlink(missing_ok=True)
        self.stuck.pop(name, None)
        self._count(waiting=-1)

    def set_aside(self, name: str, reason: str) -> None:
        """Move a file that cannot be applied to `bad/`, with the reason. Raises OSError."""
        path = self.folder / name
        try:
            content = json.loads(path.read_text())
            content["reason"] = reason
            text = json.dumps(content)
        except (ValueError, TypeError, RecursionError):
            text = json.dumps({"reason": reason, "unreadable": path.read_bytes().decode("latin-1")})
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            # By its fields: another cut of its text may have a file there, and this one be genuine.
            name = f"{digest_of_fields(callback_of(json.loads(text))).hex()}.json"
        self._write_bad(self.bad / name, text)
        self.remove(path.name)

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
        files = sorted(self._bad_files())
        left, size = len(files), sum(file[1] for file in files)
        removed = []
        for _, length, path in files:
            if left <= BAD_FILES and size <= BAD_BYTES:
                break
            removed.append(path)
            left, size = left - 1, size - length
        if removed:
            reasons = [_reason_in(path) for path in removed]
            for path in removed:
                path.unlink(missing_ok=True)
            self._count(bad=-len(removed))
            self._count_removed(reasons)

    def _keep(self, callback: Callback, reason: str) -> None:
        digest = digest_of_fields(callback)
        kept = self._kept.get(digest)
        if kept is not None and kept.exists():
            return
        stamp = re.sub(r"\D", "", callback.received_at)
        path = self.folder / f"{stamp}-{uuid4().hex[:12]}.json"
        self._write(path, _text(callback, reason))
        self._kept.put(digest, path)
        self._count(waiting=1)

    def _keep_bad(self, callback: Callback, reason: str) -> bool:
        return self._write_bad(self.bad / _bad_name(callback), _text(callback, reason))

    def _write_bad(self, path: Path, text: str) -> bool:
        if path.exists():
            fsync_folder(self.bad)  # its writer may not have come to that yet
            return False
        self._write(path, text)
        self._count(bad=1)
        return True

    def _bad_files(self) -> list[tuple[float, int, Path]]:
        """Time, size and path of each. Raises OSError."""
        files = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.bad) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    found = entry.stat(follow_symlinks=False)
                    files.append((found.st_mtime, found.st_size, self.bad / entry.name))
        return files

    def _count_removed(self, reasons: list[str]) -> None:
        record = self.bad / REMOVED
        counts: Counter[str] = Counter()
        with contextlib.suppress(OSError, ValueError, TypeError):
            counts.update(json.loads(record.read_text()))
        for reason in reasons:
            counts[reason if reason in counts or len(counts) < _REASONS else "another"] += 1
        self._write(record, json.dumps(counts))
        log.warning(
            "bad/ held too much, its %d oldest files were removed; removed in all, by reason: %s",
            *(len(reasons), json.dumps(counts)),
        )

    def _prove(self, folder: Path) -> None:
        probe = folder / f".probe-{uuid4().hex}"
        self._write(probe, "{}")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, text: str) -> None:
        """Also where somebody has removed the folders meanwhile. Raises OSError."""
        make_folder(self.folder)
        make_folder(self.bad)
        write_synced(path, text)

    def _count(self, waiting: int = 0, bad: int = 0) -> None:
        with self._counting:
            if waiting and self._waiting <= 0:
                self._waiting, self._oldest = 0, time.time()
            self._waiting = max(self._waiting + waiting, 0)
            self._bad += bad

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


def read_file(path: Path) -> Callback:
    """Read a spool file. Raises NotReadable or OSError."""
    try:
        return callback_of(json.loads(path.read_text()))
    except (ValueError, RecursionError) as error:
        raise NotReadable(f"{printable(path.name)} is not a spool file: {error}") from None


def callback_of(content: object) -> Callback:
    """The Callback in what was read from JSON. Raises NotReadable."""
    defaults = Callback._field_defaults
    try:
        fields = {
            name: content.get(name, defaults[name]) if name in defaults else content[name]  # type: ignore[attr-defined, index]
            for name in Callback._fields
        }
    except (AttributeError, KeyError, TypeError):
        raise NotReadable("fields are missing") from None
    if not all(isinstance(v, str) or v is defaults.get(name, "") for name, v in fields.items()):
        raise NotReadable("a field is not text")
    try:
        "".join([value or "" for value in fields.values()]).encode()
    except UnicodeEncodeError:  # JSON can spell half a character
        raise NotReadable("a field is not UTF-8") from None
    return Callback(**fields)


def digest_of_fields(callback: Callback) -> bytes:
    """Equal for callbacks whose fields are equal, however they are encoded."""
    query, body = parse_form(callback.query.encode()), parse_form(callback.body.encode())
    text = repr((callback.method, query, body, callback.v2_nonce, callback.used_nonce))
    return blake2b(text.encode(), digest_size=16).digest()


def _bad_name(callback: Callback) -> str:
    """Equal for callbacks of which V3 signs the same text: a captured one can be cut elsewhere."""
    query, body = parse_form(callback.query.encode()), parse_form(callback.body.encode())
    text = signed_v3(callback.method, "", query, body, "")
    return f"{blake2b(text, digest_size=16).hexdigest()}.json"


def _text(callback: Callback, reason: str) -> str:
    return json.dumps({"version": 1, "reason": reason, **callback._asdict()})


def _reason_in(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["reason"])[:200]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "unknown"


def _modified(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_mtime
    return time.time()
