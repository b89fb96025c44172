"""Queries. Each opens a read-only connection of its own and fetches all it needs at once: a
read that stays open keeps SQLite from checkpointing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from .database import open_readonly


def count_by_status(path: Path) -> dict[str, int]:
    """Messages by current_status."""
    with closing(open_readonly(path)) as connection:
        rows = connection.execute(
            "SELECT current_status, count(*) FROM messages GROUP BY current_status"
        ).fetchall()
    return dict(rows)
