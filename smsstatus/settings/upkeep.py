"""The settings of what the service does by itself: reconcile, prune, back up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .variables import read_number, read_seconds_or_off, read_value, refusal


def _reconcile_every(environ: Mapping[str, str]) -> float | None:
    name = "RECONCILE_EVERY"
    can_ask = bool(read_value(environ, "PLIVO_AUTH_ID"))
    every = read_seconds_or_off(environ, name, "15m" if can_ask else "off", ("1m", "1d"))
    if every is not None and not can_ask:
        raise refusal("PLIVO_AUTH_ID", f"is not set, and {name} is")
    return every


def _backup_dir(environ: Mapping[str, str]) -> Path | None:
    value = read_value(environ, "BACKUP_DIR")
    return Path(value).absolute() if value else None


def contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """What is right by itself, and not together."""
    if values.get("backup_every"):
        database = values.get("database")
        if database is not None and database.path is None:
            yield str(refusal("BACKUP_EVERY", "is for SQLite: PostgreSQL's host makes backups"))
        elif values.get("backup_dir", "") is None:
            yield str(refusal("BACKUP_DIR", "is not set, and BACKUP_EVERY is"))


READERS = {
    "reconcile_every": _reconcile_every,
    "retention": lambda environ: read_seconds_or_off(environ, "RETENTION", "off", ("1d", "9000d")),
    "backup_every": lambda environ: read_seconds_or_off(
        environ, "BACKUP_EVERY", "off", ("1m", "90d")
    ),
    "backup_dir": _backup_dir,
    "backup_keep": lambda environ: read_number(environ, "BACKUP_KEEP", 7, (1, 9999)),
}
