"""Fsynced files for what the store could not take, and reading them back.

The guarantee: when `keep` returns, the callback is in a file of its own whose content and
name are fsynced. A file is removed only after the store has answered for its callback, so
replaying is at least once and the store has to be idempotent (it is).

A file that can never be applied moves to `bad/`, with the reason inside, and is left alone.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from .callback import Callback
from .files import make_folder, write_synced

KEEP_SECONDS = 1.0
"""With the store's 3 s this stays under the 5 s in which Plivo is answered."""
_HANGS = f"no answer from the disk in {KEEP_SECONDS} s"

LOG_MARK = "smsstatus-callback"
_LOG_RECORD = re.compile(rf"{LOG_MARK} ([A-Za-z0-9_=-]+)\.([0-9a-f]{{64}})")


class SpoolUnavailable(Exception):
    """The spool took nothing. The text says why."""


class NotReadable(ValueError):
    """A spool file or log line that is not one of ours. The text says why."""


class Depth(NamedTuple):
    """How much waits: files to replay, files set aside, age in seconds of the oldest waiting."""

    waiting: int
    bad: int
    oldest_seconds: float


class Spool:
    """A folder of callbacks, one JSON file each; the names sort by time of receipt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bad = folder / "bad"
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._hanging: dict[str, Future[None]] = {}

    def prepare(self) -> None:
        """Create the folders and prove that they take files. Raises OSError.

        Also if the folder above is missing: then a disk is not mounted, or a path is misspelt.
        """
        for folder in (self.folder, self.bad):
            self._prove(folder)

    def probe(self) -> None:
        """See whether it takes files now. Raises SpoolUnavailable within KEEP_SECONDS."""
        self._bounded("probe", self._prove, self.folder)

    def keep(self, callback: Callback, reason: str) -> None:
        """Keep a callback to be replayed. Raises SpoolUnavailable within KEEP_SECONDS."""
        self._keep_in(self.folder, callback, reason)

    def keep_bad(self, callback: Callback, reason: str) -> None:
        """Keep a callback that cannot be applied. Raises SpoolUnavailable within KEEP_SECONDS."""
        self._keep_in(self.bad, callback, reason)

    def waiting(self) -> list[Path]:
        """The files to replay, oldest first. Raises OSError."""
        return sorted(path for path in self.folder.iterdir() if path.match("[0-9]*.json"))

    def set_aside(self, path: Path, reason: str) -> None:
        """Move a file that cannot be applied to `bad/`, with the reason. Raises OSError."""
        try:
            content = json.loads(path.read_text())
            content["reason"] = reason
            text = json.dumps(content)
        except (ValueError, TypeError, RecursionError):
            text = json.dumps({"reason": reason, "unreadable": path.read_bytes().decode("latin-1")})
        self._write(self.bad / path.name, text)
        path.unlink(missing_ok=True)

    def depth(self) -> Depth:
        """Count what waits. Raises OSError."""
        waiting = self.waiting()
        oldest = time.time() - waiting[0].stat().st_mtime if waiting else 0.0
        return Depth(len(waiting), len(list(self.bad.glob("*.json"))), max(oldest, 0.0))

    def _keep_in(self, folder: Path, callback: Callback, reason: str) -> None:
        stamp = re.sub(r"\D", "", callback.received_at)
        path = folder / f"{stamp}-{uuid4().hex[:12]}.json"
        text = json.dumps({"version": 1, "reason": reason, **callback._asdict()})
        self._bounded("keep", self._write, path, text)

    def _prove(self, folder: Path) -> None:
        probe = folder / f".probe-{uuid4().hex}"
        self._write(probe, "{}")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, text: str) -> None:
        """Also where somebody has removed the folders meanwhile. Raises OSError."""
        make_folder(self.folder)
        make_folder(self.bad)
        write_synced(path, text)

    def _bounded(self, kind: str, write: Callable[..., None], *arguments: object) -> None:
        """A disk that hangs must not keep Plivo waiting, so a helper thread does the writing.

        While one hangs in it the next callers of this kind are told at once.
        """
        hanging = self._hanging.get(kind)
        if hanging is not None and not hanging.done():
            raise SpoolUnavailable(_HANGS)
        if self._pool is None or self._pid != os.getpid():
            self._pool = ThreadPoolExecutor(8, thread_name_prefix="spool")
            self._pid = os.getpid()
        try:
            writing = self._pool.submit(write, *arguments)
            if not wait((writing,), KEEP_SECONDS).done:
                self._hanging[kind] = writing
                raise SpoolUnavailable(_HANGS)
            writing.result()
        except (OSError, RuntimeError) as error:
            text = getattr(error, "strerror", None) or error
            raise SpoolUnavailable(f"{type(error).__name__}: {text}") from error


def read_file(path: Path) -> Callback:
    """Read a spool file. Raises NotReadable or OSError."""
    try:
        return _callback(json.loads(path.read_text()))
    except (ValueError, RecursionError) as error:
        raise NotReadable(f"{path.name} is not a spool file: {error}") from None


def log_record(callback: Callback, token: str) -> str:
    """One word that holds the whole callback, for the log line of last resort.

    It is authenticated, since a log can hold text from strangers and `replay` trusts what it
    reads back. It is base64, so that numbers do not stand in the log as such.
    """
    content = urlsafe_b64encode(json.dumps(callback._asdict()).encode()).decode()
    return f"{LOG_MARK} {content}.{_mac(content, token)}"


def read_log(lines: Iterable[str], tokens: Iterable[str]) -> Iterator[Callback | NotReadable]:
    """The callbacks in the lines of a log; NotReadable for a record we did not write."""
    keys = tuple(tokens)
    for line in lines:
        for content, mac in _LOG_RECORD.findall(line):
            if any(hmac.compare_digest(_mac(content, token), mac) for token in keys):
                yield _callback(json.loads(urlsafe_b64decode(content)))
            else:
                yield NotReadable("a record that none of the tokens in PLIVO_AUTH_TOKEN wrote")


def _callback(content: object) -> Callback:
    try:
        fields = {name: content[name] for name in Callback._fields}  # type: ignore[index]
    except (KeyError, TypeError):
        raise NotReadable("fields are missing") from None
    nonce = fields.pop("v2_nonce")
    if not all(isinstance(v, str) for v in fields.values()) or not isinstance(nonce, str | None):
        raise NotReadable("a field is not text")
    try:
        "".join((*fields.values(), nonce or "")).encode()
    except UnicodeEncodeError:  # JSON can spell half a character
        raise NotReadable("a field is not UTF-8") from None
    return Callback(**fields, v2_nonce=nonce)


def _mac(content: str, token: str) -> str:
    return hmac.digest(token.encode(), f"{LOG_MARK} {content}".encode(), "sha256").hex()
