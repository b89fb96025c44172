"""The spool's folder bad/: what can never be applied, one file each, with the reason inside.

A captured request can be sent as often as its owner likes, so it makes one file, and the folder is
bounded: over BAD_FILES or BAD_BYTES its oldest files are removed. REMOVED counts them by reason.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from ..files import fsync_folder
from ..plivo.callback import Callback
from ..plivo.form import parse_form
from ..plivo.signature import signed_v3
from .records import Line, callback_of, digest_of_fields, text_of

BAD_FILES = 1000
BAD_BYTES = 32 * 1024 * 1024
REMOVED = "removed.counts"
"""The file in bad/ that says, as JSON, how many were removed for which reason."""
_REASONS = 50  # different ones that are counted apart

log = logging.getLogger(__name__)


class Bad:
    """The folder. `write` makes a file that survives; `count` is how many wait."""

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None]) -> None:
        self.folder = folder
        self.count = 0
        self._write = write
        self._counting = threading.Lock()

    def keep(self, callback: Callback, reason: str) -> bool:
        """Keep a callback; False if that text is there already. Raises OSError."""
        return self._keep(_name(callback), text_of(callback, reason))

    def keep_line(self, line: Line, reason: str) -> None:
        """Keep a record of the spool. Raises OSError."""
        name = line.name
        try:
            content = json.loads(line.raw.decode())
            content["reason"] = reason
            text = json.dumps(content)
        except (ValueError, TypeError, RecursionError):
            text = json.dumps({"reason": reason, "unreadable": line.raw.decode("latin-1")})
        with suppress(ValueError, TypeError, RecursionError):
            # By its fields: another cut of its text may have a file there, and this one be genuine.
            name = f"{digest_of_fields(callback_of(json.loads(text))).hex()}.json"
        self._keep(name, text.encode())

    def recount(self) -> None:
        """See what others did. Raises OSError."""
        found = len(self._files())
        with self._counting:
            self.count = found

    def tidy(self) -> None:
        """Remove what is too much, oldest first. Raises OSError."""
        files = sorted(self._files())
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
            self._add(-len(removed))
            self._count_removed(reasons)

    def _keep(self, name: str, content: bytes) -> bool:
        path = self.folder / name
        if path.exists():
            fsync_folder(self.folder)  # its writer may not have come to that yet
            return False
        self._write(path, content)
        self._add(1)
        return True

    def _add(self, files: int) -> None:
        with self._counting:
            self.count += files

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time, size and path of each. Raises OSError."""
        files = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    found = entry.stat(follow_symlinks=False)
                    files.append((found.st_mtime, found.st_size, self.folder / entry.name))
        return files

    def _count_removed(self, reasons: list[str]) -> None:
        record = self.folder / REMOVED
        counts: Counter[str] = Counter()
        with suppress(OSError, ValueError, TypeError):
            counts.update(json.loads(record.read_text()))
        for reason in reasons:
            counts[reason if reason in counts or len(counts) < _REASONS else "another"] += 1
        self._write(record, json.dumps(counts).encode())
        log.warning(
            "bad/ held too much, its %d oldest files were removed; removed in all, by reason: %s",
            len(reasons),
            json.dumps(counts),
        )


def _name(callback: Callback) -> str:
    """Equal for callbacks of which V3 signs the same text: a captured one can be cut elsewhere."""
    query, body = parse_form(callback.query.encode()), parse_form(callback.body.encode())
    text = signed_v3(callback.method, "", query, body, "")
    return f"{blake2b(text, digest_size=16).hexdigest()}.json"


def _reason_in(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["reason"])[:200]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "unknown"
