"""Files and names that survive a power loss: fsync of content, and of the folder a name is in."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_synced(path: Path, text: str) -> None:
    """Under a temporary name first, so that a crash never leaves half a file. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(temporary, "x") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder in one that is there, if it is missing. Raises OSError."""
    if not path.is_dir():
        path.mkdir(exist_ok=True)
        fsync_folder(path.parent)


def fsync_file(path: Path) -> None:
    """Make what somebody else wrote to a file survive."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Make a new, renamed or removed name in a folder survive."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
