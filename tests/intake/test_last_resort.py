"""The lines that hold a callback where neither store nor spool took it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

from smsstatus.intake.last_resort import LastResort, log_lines, read_log
from smsstatus.plivo.callback import Callback

from ..live import ROOT
from ..signed import Plivo

TOKEN = Plivo.token
TIMES = {
    f"{name}Time": f"2026-11-25 20:00:0{number}.250000"
    for number, name in enumerate(("Queued", "Sent", "DeliveryReport", "Message"))
}
REALISTIC = Plivo().fields("delivered", **TIMES, Sequence="3", requester_ip="203.0.113.9")


def callback(fields: dict[str, str]) -> Callback:
    return Callback("POST", "", urlencode(fields), "2026-11-25T20:00:05.000000Z")


def noisy(size: int) -> Callback:
    """A callback that hardly gets smaller when it is compressed."""
    return callback(REALISTIC | {"Noise": random.Random(size).randbytes(size // 2).hex()})


def test_a_realistic_callback_is_one_line() -> None:
    assert len(log_lines(callback(REALISTIC), TOKEN)) == 1


@pytest.mark.parametrize("size", [0, 500, 1000, 10_000, 65_000])
def test_no_line_is_longer_than_transports_take_and_all_are_ascii(size: int) -> None:
    """Our time and level included. What a transport adds comes on top."""
    lines = log_lines(noisy(size), TOKEN)
    assert max(len(line) for line in lines) < 900
    assert all(line.isascii() and line.count("\n") == 1 for line in lines)
    assert list(read_log(lines, [TOKEN])) == [noisy(size)]


def test_what_was_written_is_not_written_again(capfd: pytest.CaptureFixture[str]) -> None:
    """Plivo's retry has another time of receipt, and a captured request comes again and again."""
    log = LastResort()
    kept = callback(REALISTIC)
    for moment in ("2026-11-25T20:00:05.000000Z", "2026-11-25T20:01:05.000000Z"):
        log.keep(kept._replace(received_at=moment), TOKEN)
    log.keep(callback({**REALISTIC, "Status": "sent"}), TOKEN)
    assert capfd.readouterr().err.count("smsstatus-callback ") == 2


CUT_SHORT = """
import os, resource
from smsstatus.plivo.callback import Callback
from smsstatus.intake.last_resort import LastResort
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    LastResort().keep(Callback("POST", "", "MessageUUID=a&Status=sent", "2026"), "token")
except OSError:
    os._exit(7)  # a traceback would go to the same log
"""


def test_a_line_of_which_the_log_takes_only_a_part_does_not_count_as_kept(tmp_path: Path) -> None:
    """As on a disk that is nearly full."""
    with open(tmp_path / "log", "wb") as log:
        done = subprocess.run([sys.executable, "-c", CUT_SHORT], cwd=ROOT, stderr=log, check=False)
    assert done.returncode == 7
    assert len((tmp_path / "log").read_bytes()) == 100
