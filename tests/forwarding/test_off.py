"""Where FORWARD_URL is unset, nothing of it runs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from smsstatus.settings import Settings

from ..conftest import Query, Receive
from ..live import ROOT, environment

SERVE = """
import sys, wsgi
from smsstatus.web.current import service_of
service_of(wsgi.app).start()
service_of(wsgi.app).stop()
print([name for name in ("deliver", "forwarder") if f"smsstatus.forwarding.{name}" in sys.modules])
"""


def loaded(folder: Path, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SERVE],
        cwd=ROOT,
        env=environment(folder, "https://sms.example.com", **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_nothing_that_sends_is_imported(tmp_path: Path) -> None:
    assert loaded(tmp_path) == "[]"


def test_with_an_address_it_is(tmp_path: Path) -> None:
    more = {"FORWARD_URL": "http://127.0.0.1:9/", "FORWARD_SECRET": "whsec_" + "A" * 32}
    assert loaded(tmp_path, **more) == "['deliver', 'forwarder']"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, forward_url=None)


def test_nothing_is_written(receive: Receive, query: Query) -> None:
    receive("sent")
    assert query("SELECT * FROM forwards") == []
