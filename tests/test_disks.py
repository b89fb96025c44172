"""A disk that holds only part of what a 200 promises: real mounts, in a namespace of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smsstatus import disks

from .live import LiveService

CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
)
pytestmark = pytest.mark.skipif(not CAN_MOUNT, reason="only root may mount")


def with_mount(mount: str, *command: str) -> list[str]:
    """The command where this was mounted for it alone."""
    return ["unshare", "--mount", "sh", "-euc", f'mount {mount}; exec "$@"', "sh", *command]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """What a host keeps: a folder with the database's file in it."""
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / "kept.db").touch()
    return folder


@pytest.fixture
def service(tmp_path: Path) -> LiveService:
    """Not started yet, in a folder whose name has to be escaped in a list of mounts."""
    folder = tmp_path / "a container"
    folder.mkdir()
    return LiveService(folder)


def test_a_database_file_mounted_alone_stops_the_start_before_anything_is_made(
    service: LiveService, volume: Path
) -> None:
    service.database.touch()
    service.command = with_mount(
        f"--bind '{volume / 'kept.db'}' '{service.database}'", *service.gunicorn, "wsgi:app"
    )
    (line,) = service.refuse()
    assert f"cannot start: DATABASE_URL {service.database} is mounted as a file alone" in line
    assert "mount the folder" in line
    assert {path.name for path in service.database.parent.iterdir()} == {"sms.db", "service.log"}


def test_doctor_says_so_too(service: LiveService, volume: Path) -> None:
    service.database.touch()
    with service.log.open("w") as log:
        subprocess.run(
            with_mount(
                f"--bind '{volume / 'kept.db'}' '{service.database}'",
                sys.executable,
                "-m",
                "flask",
                "--app",
                "wsgi",
                "doctor",
            ),
            cwd=service.folder,
            env=service.environment,
            stdout=log,
            timeout=60,
        )
    assert "FAIL  disk: " in service.log.read_text()
    assert "mounted as a file alone" in service.log.read_text()


def test_a_database_in_a_mounted_folder_starts(service: LiveService, volume: Path) -> None:
    service.command = with_mount(
        f"--bind '{volume}' '{service.database.parent}'", *service.gunicorn, "wsgi:app"
    )
    try:
        service.start()
        assert (volume / "sms.db").exists()
    finally:
        service.kill()


@pytest.mark.parametrize("apart", [True, False])
def test_a_spool_in_memory_beside_a_database_that_is_kept_is_warned_of(
    tmp_path: Path, apart: bool
) -> None:
    if disks.filesystem(tmp_path) in disks.MEMORY_FILESYSTEMS:
        pytest.skip("the tests' own folder is in memory")
    (tmp_path / "memory").mkdir()
    spool = tmp_path / ("memory/spool" if apart else "spool")
    service = LiveService(tmp_path, SPOOL_DIR=str(spool))
    service.command = with_mount(
        f"-t tmpfs none '{tmp_path / 'memory'}'", *service.gunicorn, "wsgi:app"
    )
    try:
        log = service.start().log.read_text()
    finally:
        service.kill()
    assert ("is on tmpfs, lost at restart" in log) == apart
