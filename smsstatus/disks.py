"""Which disk a path is on, from Linux's list of mounts; elsewhere nothing is known."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

MOUNTS = Path("/proc/mounts")
MEMORY_FILESYSTEMS = ("tmpfs", "ramfs", "overlay")
"""Lost at a restart; overlay is lost when the container is created again."""


def filesystem(path: Path, mounts: Path = MOUNTS) -> str:
    """The type of the filesystem that holds `path`; '' if unknown."""
    path, best = path.resolve(), ("", "")
    for point, kind in _listed(mounts):
        if path.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def is_mounted_alone(file: Path, mounts: Path = MOUNTS) -> bool:
    """Is this file itself a mount point, so that what stands beside it is on another disk?

    Its device number does not say: overlay has different ones for files and for folders.
    """
    return file.is_file() and os.path.realpath(file) in [point for point, _ in _listed(mounts)]


def _listed(mounts: Path) -> Iterator[tuple[str, str]]:
    """Mount points and types, later ones on top; fstab(5) says how spaces are written."""
    try:
        lines = os.fsdecode(mounts.read_bytes()).splitlines()
    except OSError:
        return
    for line in lines:
        _, point, kind = line.split(" ")[:3]
        yield re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point), kind
