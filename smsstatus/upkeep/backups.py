"""Backups of the SQLite file in a folder: one now and then, the newest of them kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

_MADE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_LEFT_OVER = re.compile(r"\d{8}T\d{6}Z\.[0-9a-f]{32}", re.ASCII)


def name_of(database: Path, moment: datetime) -> str:
    """The name of a backup: `smsstatus.db-20261101T000000Z`."""
    return f"{database.name}-{moment:%Y%m%dT%H%M%SZ}"


def backups_in(folder: Path, database: Path) -> Sequence[Path]:
    """The database's backups, oldest first; no other file. Raises OSError."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.startswith(f"{database.name}-")
        and _MADE.fullmatch(path.name.removeprefix(f"{database.name}-"))
    )


def remove_left_over(folder: Path, database: Path) -> None:
    """Remove what a backup that was broken off has left behind. Raises OSError.

    Only for who knows that none is under way.
    """
    for path in folder.glob(f".{database.name}-*"):
        if _LEFT_OVER.fullmatch(path.name.removeprefix(f".{database.name}-")):
            path.unlink(missing_ok=True)


def remove_old(folder: Path, database: Path, keep: int) -> int:
    """Remove all of the database's backups but the newest; how many. Raises OSError."""
    old = backups_in(folder, database)[:-keep]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
