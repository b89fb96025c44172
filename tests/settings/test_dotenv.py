"""`.env`: only the one of this folder is read, in UTF-8, with either kind of line ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from smsstatus.commands import doctor
from smsstatus.settings import env_file
from smsstatus.settings.variables import SettingsError
from smsstatus.web.current import service_of

from ..live import ROOT

CONTENT = "PLIVO_AUTH_TOKEN=a-token\nBASE_URL=https://from.file\nAPI_TOKEN=token-of-this-folder\n"
SAY = (
    "from smsstatus.web.current import service_of; s = service_of({app}).settings;"
    "print(*s.auth_tokens, s.base_url, s.api_token, s.ui)"
)
IMPORT = [sys.executable, "-c", f"import wsgi; {SAY.format(app='wsgi.app')}"]
FLASK = [sys.executable, "-m", "flask", "--app", "wsgi", "say"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in a folder, with the program in it and no `.env`."""
    folder = tmp_path / "above" / "project"
    folder.mkdir(parents=True)
    for name in ("smsstatus", "schema.sql"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "gunicorn.conf.py", folder)
    command = f"@app.cli.command('say')\ndef say():\n    {SAY.format(app='app')}\n"
    (folder / "wsgi.py").write_text((ROOT / "wsgi.py").read_text() + command)
    return folder


def run(project: Path, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=project,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", [IMPORT, FLASK], ids=["import", "flask"])
def test_it_is_read_and_real_variables_win(project: Path, command: list[str]) -> None:
    (project / ".env").write_text(CONTENT)
    printed = run(project, command, BASE_URL="https://real.variable").stdout
    assert printed == "a-token https://real.variable token-of-this-folder True\n"


@pytest.mark.parametrize("command", [IMPORT, FLASK], ids=["import", "flask"])
def test_windows_line_ends_and_a_byte_order_mark_make_no_difference(
    project: Path, command: list[str]
) -> None:
    """Both at once; the line ends alone are with what doctor says of them."""
    (project / ".env").write_bytes(CONTENT.replace("\n", "\r\n").encode("utf-8-sig"))
    assert run(project, command).stdout == "a-token https://from.file token-of-this-folder True\n"


@pytest.mark.parametrize("own", [True, False], ids=["beside our own", "alone"])
@pytest.mark.parametrize("command", [IMPORT, FLASK], ids=["import", "flask"])
def test_one_in_a_folder_above_is_not_read(project: Path, command: list[str], own: bool) -> None:
    """What is really set stays, even if that file says the same."""
    for name, more in ((".env", "API_TOKEN=token-of-another-one\n"), (".flaskenv", "UI=off\n")):
        (project.parent / name).write_text(f"{more}DATABASE_URL=postgres://a/b\nPORT=no\n")
    variables = {"API_TOKEN": "token-of-another-one"}
    if own:
        (project / ".env").write_text(CONTENT)
    else:
        variables |= {"PLIVO_AUTH_TOKEN": "a-token", "BASE_URL": "https://from.file"}
    done = run(project, command, **variables)
    assert done.stdout == "a-token https://from.file token-of-another-one True\n", done.stderr


@pytest.mark.parametrize("command", [IMPORT, GUNICORN], ids=["import", "gunicorn"])
def test_one_that_is_not_utf_8_stops_the_start_with_one_line(
    project: Path, command: list[str]
) -> None:
    (project / ".env").write_bytes(CONTENT.encode("utf-16"))
    done = run(project, command)
    assert done.returncode == 4
    ours = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert len(ours) == 1
    assert ours[0].startswith(f"smsstatus cannot start: {project / '.env'} is not UTF-8")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that this process takes for the `.env` of the program."""
    path = tmp_path / ".env"
    for module in (env_file, doctor):
        monkeypatch.setattr(module, "DOTENV", path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED", raising=False)  # as the developer may have set
    return path


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", CONTENT),
        ("utf-16-le", CONTENT),
        ("utf-16-be", CONTENT),
        ("latin-1", f"# caf\xe9\n{CONTENT}"),
    ],
    ids=["UTF-16 with a mark", "UTF-16 LE", "UTF-16 BE", "Latin-1"],
)
def test_one_that_is_not_utf_8_is_a_mistake_in_the_settings(
    env: Path, encoding: str, text: str
) -> None:
    env.write_bytes(text.encode(encoding))
    with pytest.raises(SettingsError) as raised:
        env_file.read_dotenv()
    assert str(raised.value).startswith(f"{env} is not UTF-8")


def said_of_settings(app: Flask) -> str:
    """What doctor says first; what it has to ask others for is not waited for."""
    return next(doctor.examine(service_of(app))).text


def test_doctor_says_that_a_shell_cannot_read_windows_line_ends(
    app: Flask, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.write_bytes(CONTENT.encode())
    assert "Windows line ends" not in said_of_settings(app)
    env.write_bytes(CONTENT.replace("\n", "\r\n").encode())
    assert ".env has Windows line ends" in said_of_settings(app)
    for name in ("PLIVO_AUTH_TOKEN", "BASE_URL", "API_TOKEN"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    env_file.read_dotenv()
    assert os.environ["BASE_URL"] == "https://from.file"  # the program can, though


def test_doctor_says_that_others_can_read_the_tokens(app: Flask, env: Path) -> None:
    env.write_text(CONTENT)
    for mode, is_said in ((0o640, True), (0o604, True), (0o600, False)):
        env.chmod(mode)
        assert ("run `chmod 600 .env`" in said_of_settings(app)) is is_said


def test_the_documents_way_to_read_it_in_a_shell_minds_no_windows_line_ends(project: Path) -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for path in documents for line in path.read_text().splitlines()]
    (way,) = {line for line in lines if line.startswith("eval ")}
    for text in (CONTENT, CONTENT.replace("\n", "\r\n")):
        (project / ".env").write_bytes(text.encode())
        done = run(project, ["sh", "-euc", f'{way}; printf "%s" "$BASE_URL|$API_TOKEN"'])
        assert done.stdout == "https://from.file|token-of-this-folder"
