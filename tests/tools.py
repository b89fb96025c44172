"""Programs that tests drive and that not every machine has."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def path_of(program: str) -> str:
    """Where it is, in this environment or installed; without it the test is not run."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(program, path=places)
    if found is None:
        pytest.skip(f"NOT CHECKED: no {program} here")
    return found
