"""Files and names that survive a power loss: fsync of content, and of the folder of a name."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def create_private(path: Path) -> None:
    """Make an empty file that only its owner can read, if there is none. Raises OSError.

    SQLite gives -wal and -shm the database's permissions.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def closed_to_us(path: Path) -> str:
    """What to do about a file that this user may not read and write. Raises OSError."""
    owner, mine = path.stat().st_uid, os.geteuid()
    if owner == mine:
        return (
            f"user {mine}, whose file {path} is, may not read and write it: `chmod u+rw` the file"
        )
    return (
        f"{path} belongs to user {owner}, and user {mine}, who asks, may not read and "
        f"write it: run this as the service's user, and if that is {mine}, `chown` the file"
    )


def write_synced(path: Path, content: bytes) -> None:
    """Write under a temporary name first, so a crash never leaves half a file. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        create_private(temporary)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder, if it is missing, in one that exists. Raises OSError."""
    if not path.is_dir():
        path.mkdir(0o700, exist_ok=True)
        fsync_folder(path.parent)


def fsync_file(path: Path) -> None:
    """Make what another program wrote to a file survive a power loss."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Make a new, renamed or removed name in a folder survive a power loss."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
