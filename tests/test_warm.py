"""A process that began with the service's modules is in all else what a new one would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import warm
from .live import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="all are new ones here")

SAYS = """
import json, os, signal, sys, threading

said = {
    "name": __name__,
    "arguments": sys.argv,
    "path": sys.path[0],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "open": sorted(map(int, os.listdir("/proc/self/fd")))[:4],
    "input": os.readlink("/proc/self/fd/0"),
    "threads": threading.active_count(),
}
print(json.dumps(said, default=str))
sys.exit(int(sys.argv[1]))
"""
ENVIRONMENT = {"PATH": os.environ["PATH"], "BASE_URL": "https://a.example", "EMPTY": ""}


def said(log: Path) -> dict[str, Any]:
    return dict(json.loads(log.read_text()))


def test_its_arguments_environment_signals_and_status_are_those_of_a_new_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "says.py").write_text(SAYS)
    with open(tmp_path / "new", "wb") as log:
        new = subprocess.run(
            [sys.executable, "-m", "says", "4", "a b"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    with open(tmp_path / "warm", "wb") as log:
        process = warm.start(["says", "4", "a b"], tmp_path, ENVIRONMENT, log)
    assert process.wait(60) == process.poll() == new.returncode == 4
    assert said(tmp_path / "warm") == said(tmp_path / "new")


def test_it_is_waited_for_and_ended_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("print('up', flush=True)\nimport time; time.sleep(600)")
    with open(tmp_path / "log", "w+b") as log:
        process = warm.start(["waits"], tmp_path, ENVIRONMENT, log)
    wait_until(lambda: (tmp_path / "log").read_text() == "up\n")
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    process.send_signal(signal.SIGTERM)  # to nobody


@pytest.mark.parametrize(
    ("name", "is_warm"),
    [
        ("PYTHON_DOTENV_DISABLED", True),
        ("LOG_LEVEL", True),
        ("PYTHONUNBUFFERED", False),
        ("LD_PRELOAD", False),
        ("WEB_CONCURRENCY", True),
        ("PORT", False),
    ],
)
def test_what_is_read_when_python_or_gunicorn_is_loaded_needs_a_new_one(
    name: str, is_warm: bool
) -> None:
    assert warm.can_be_warm({**ENVIRONMENT, name: "1"}) is is_warm
