"""The README's commands work, in their order, on a clean copy; its tables are true."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .live import ROOT, free_port, wait_until
from .plivo_api import AUTH_ID, plivo_api

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^ *```(\S+)([^\n]*)\n(.*?)^ *```$", README, re.DOTALL | re.MULTILINE)
EXCUSES = {"ngrok", "heroku", "make test", "doctor"}


@pytest.fixture
def clean_copy(tmp_path: Path) -> Path:
    """The files that git would hand out, and the virtual environment that is already there."""
    copy = tmp_path / "smsstatus"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    lend_environment(copy / ".venv")
    return copy


def lend_environment(folder: Path) -> None:
    """The installed packages as links; what make left there as marks of its own is made afresh.

    So it finds nothing to install, however old the marks are, and changes nothing there.
    """
    folder.mkdir()
    for path in (ROOT / ".venv").iterdir():
        if path.is_dir() or path.name == "pyvenv.cfg":
            (folder / path.name).symlink_to(path)
        else:
            (folder / path.name).write_bytes(path.read_bytes())


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A shell without our settings, on a free port, with a stand-in for Plivo."""
    with plivo_api() as api:
        yield {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PORT": str(free_port()),
            "PLIVO_API_URL": api.url,
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_SENDER": "+14155550100",
        }


@pytest.fixture
def served(clean_copy: Path, environment: dict[str, str]) -> Iterator[Path]:
    """`make run`, as the README's first command."""
    log = clean_copy / "service.log"
    with open(log, "wb") as output:
        service = subprocess.Popen(
            ["make", "run"],
            cwd=clean_copy,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Booting worker" in log.read_text(), what=f"served, log: {log}")
        yield clean_copy
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)


def test_every_command_of_the_readme_works(served: Path, environment: dict[str, str]) -> None:
    script = "\n".join(
        f"echo '== block {number}'\n{text}"
        for number, (language, note, text) in enumerate(BLOCKS)
        if language == "sh" and "not-run" not in note and text.strip() != "make run"
    )
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=served,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == 0, output
    assert "HTTP/1.1 200 OK" in output, "the callback signed with openssl is accepted"
    assert "as expected" in output, "simulate is content"
    assert '"reference":{"order":"42"}' in output, "a message is found by its order number"
    assert '"message_body":"Hello"' in output, "the message that was sent can be looked up"


def test_only_what_needs_an_account_or_a_tunnel_is_not_run() -> None:
    excused = [text for language, note, text in BLOCKS if language == "sh" and "not-run" in note]
    assert excused
    for text in excused:
        assert any(excuse in text for excuse in EXCUSES), text


def test_make_run_is_the_first_command() -> None:
    assert BLOCKS[0][2].strip() == "make run"


def test_the_settings_table_names_what_env_example_names() -> None:
    documented = set(re.findall(r"^\| `([A-Z_0-9]+)` \|", README, re.MULTILINE)) - {"PORT"}
    example = (ROOT / ".env.example").read_text()
    assert documented == set(re.findall(r"^#? ?([A-Z][A-Z_0-9]+)=", example, re.MULTILINE))
