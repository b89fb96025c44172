"""The programs in examples/ send with an address that calls back here, and carries a reference."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from smsstatus.web.current import service_of

from .live import API_TOKEN, ROOT
from .plivo_api import AUTH_ID, PlivoApi
from .signed import Plivo

EXAMPLES = ROOT / "examples"
RUN_BY = {
    "send.py": (sys.executable,),
    "send.mjs": ("node",),
    "send.php": ("php",),
    "send.rb": ("ruby",),
    "send.go": ("go", "run"),
    "send.sh": ("sh",),
}
SENDER, RECIPIENT = "+14155550100", "+14155550123"


def test_every_example_is_tried_here_and_named_in_their_readme() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    found = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert found == {*RUN_BY, "mounted.py", "README.md"}
    for name in found - {"README.md"}:
        assert f"]({name})" in readme


@pytest.mark.parametrize("name", RUN_BY)
def test_an_example_has_its_message_called_back_with_a_reference(
    name: str, standin: PlivoApi, plivo: Plivo
) -> None:
    program, *options = RUN_BY[name]
    if shutil.which(program) is None:
        pytest.skip(f"NOT CHECKED: no {program} here")
    done = subprocess.run(
        [program, *options, EXAMPLES / name, SENDER, RECIPIENT, "Your order is on its way"],
        env={
            **os.environ,
            "PLIVO_AUTH_ID": AUTH_ID,
            "PLIVO_AUTH_TOKEN": plivo.token,
            "PLIVO_API_URL": standin.url,
            "BASE_URL": plivo.base_url,
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.strip()) == 36  # the UUID
    (asked,) = standin.asked
    assert asked.path == f"/v1/Account/{AUTH_ID}/Message/"
    assert asked.authorization.startswith("Basic ")
    assert asked.content == {
        "src": SENDER,
        "dst": RECIPIENT,
        "text": "Your order is on its way",
        "url": f"{plivo.base_url}/plivo/status?order=42",
    }


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The shop of examples/mounted.py, with what it mounts."""
    for name, value in {
        "PLIVO_AUTH_TOKEN": Plivo.token,
        "BASE_URL": "https://shop.example.com/sms",
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'sms.db'}",
    }.items():
        monkeypatch.setenv(name, value)
    shop = runpy.run_path(str(EXAMPLES / "mounted.py"))["app"]
    yield shop
    service_of(shop.wsgi_app.mounts["/sms"]).stop()


def test_an_application_that_is_there_already_can_mount_it(mounted: Flask) -> None:
    client = mounted.test_client()
    plivo = Plivo(base_url="https://shop.example.com/sms")
    request = plivo.post(plivo.fields("delivered", "a-uuid"), query="order=42")
    answer = client.post(f"/sms{request.target}", headers=request.headers, data=request.body)
    assert answer.status_code == 200
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    found = client.get("/sms/messages/a-uuid", headers=bearer).get_json()
    assert (found["current_status"], found["reference"]) == ("delivered", {"order": "42"})
    assert client.get("/").text == "The shop"
    page = client.get("/sms/", headers=bearer)
    assert page.status_code == 200
    assert 'href="/' not in page.text  # its links stay under /sms
