"""What SQLite's errors mean, and what a person does where the file itself is damaged."""

from __future__ import annotations

from ..contract import StoreUnavailable

FIX = (
    "move it and its -wal and -shm away, or put a backup in its place; "
    "callbacks are kept in the spool until then"
)


class FileDamaged(StoreUnavailable):
    """The database file is not what was written to it. The text says what to do."""


def describe(error: Exception) -> str:
    """What failed, in one line, and the fix where the file itself is damaged."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    damaged = name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
    return f"{name}: {error}" + (f": {FIX}" if damaged else "")


def is_damage(error: BaseException | None) -> bool:
    """Did SQLite find a page that is no page?"""
    return getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT")
