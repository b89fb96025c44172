"""Which SQLite this is, and whether it has a known fault."""

from __future__ import annotations

import sqlite3

from ..contract import Engine


def engine(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Engine:
    """Versions before 3.51.3 can lose commits when two programs write and checkpoint at once.

    https://www.sqlite.org/wal.html#walresetbug; fixed in 3.44.6 and 3.50.7 too.
    """
    fixed = version >= (3, 51, 3) or any(
        branch <= version < (3, branch[1] + 1) for branch in ((3, 44, 6), (3, 50, 7))
    )
    warning = (
        "has the WAL-reset bug: smsstatus holds a lock against it, so let no other "
        "program write to the file while the service runs"
    )
    return Engine("SQLite", ".".join(map(str, version)), "" if fixed else warning)
