"""A small disk, and a full one."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of so many MB in place of a folder, its owner's; only root may mount one."""
    owner = folder.stat()
    options = f"size={megabytes}m,mode={stat.S_IMODE(owner.st_mode):o}"
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("NOT CHECKED: only root may mount a small file system to be filled")
    try:
        os.chown(folder, owner.st_uid, owner.st_gid)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no space on a disk while the context lasts."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65_536, 4096):
            for _ in range(1000):
                try:
                    file.write(b"x" * size)
                except OSError:
                    break
    try:
        yield
    finally:
        filler.unlink()
