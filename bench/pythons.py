"""Which Pythons are here, and one to measure with.

How Python was built is half of what such a benchmark measures: with --enable-optimizations, as
hosts' and distributions' are, it is faster by a half than without, as pyenv builds it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench.paths import CACHE, REPOSITORY

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_ASK = (
    "import json, platform, sqlite3, sys, sysconfig, venv, ensurepip;"
    "print(json.dumps([sys.executable, platform.python_version(), sys.base_prefix == '/usr' or"
    " '--enable-optimizations' in (sysconfig.get_config_var('CONFIG_ARGS') or '')]))"
)
"""A distribution's own is optimised, whatever its configuration says: Debian does it in a way of
its own.
"""


class Python(NamedTuple):
    """A Python of this machine."""

    path: Path
    version: str
    is_optimised: bool

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def words(self) -> str:
        """For the table."""
        built = "optimised" if self.is_optimised else "built WITHOUT optimisation"
        return f"{self.version} ({built})"

    def environment(self) -> Path:
        """Where a virtual environment of its own is, or is to be."""
        return CACHE / f"venv-{self.version}{'' if self.is_optimised else '-plain'}"


@cache
def found() -> tuple[Python, ...]:
    """One of each version, an optimised one if there is one, the newest first."""
    asked = [python for path in _candidates() if (python := _ask(path))]
    best = {python.minor: python for python in sorted(asked, key=lambda each: each.is_optimised)}
    return tuple(best[version] for version in reversed(VERSIONS) if version in best)


def to_measure_with() -> Python:
    """The newest that is optimised; if none is, the newest."""
    return next((python for python in found() if python.is_optimised), found()[0])


def _candidates() -> list[str]:
    names = [f"python{version}" for version in VERSIONS] + ["python3"]
    folders = [*os.environ["PATH"].split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    paths = [shutil.which(name, path=folder) for folder in folders for name in names]
    return [*filter(None, paths), *map(str, pyenv.glob("3.1[1-4]*/bin/python3")), sys.executable]


def _ask(path: str) -> Python | None:
    """None if it does not run, or lacks a module that is needed."""
    done = subprocess.run(
        [path, "-c", _ASK], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        return None
    executable, version, is_optimised = json.loads(done.stdout)
    return Python(Path(executable), version, is_optimised)
