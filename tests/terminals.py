"""What a program shows on a terminal, for tests."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence

from .live import ROOT


def shown_on_a_terminal(command: Sequence[str], env: Mapping[str, str]) -> str:
    """All that it writes until it ends, which has to be well."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while received := os.read(ours, 65_536):
            shown += received
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode()
