"""Every variable: its default, its forms, and the line that stops the start if it is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smsstatus.settings import Settings, SettingsError

from .live import ROOT, LiveService, environment

SECRET = "hunter2-secret"
REQUIRED = {"PLIVO_AUTH_TOKEN": SECRET, "BASE_URL": "https://sms.example.com"}


def read(**variables: str) -> Settings:
    return Settings.from_environment({**REQUIRED, **variables})


def refusal(**variables: str | None) -> str:
    """The line that stops the start; None takes a variable away."""
    environ = {k: v for k, v in {**REQUIRED, **variables}.items() if v is not None}
    with pytest.raises(SettingsError) as stopped:
        Settings.from_environment(environ)
    return str(stopped.value)


def test_two_variables_are_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert read() == Settings(
        auth_tokens=(SECRET,),
        base_url="https://sms.example.com",
        database_path=tmp_path / "smsstatus.db",
        spool_dir=tmp_path / "smsstatus.db-spool",
        auth_id=None,
        sender=None,
        api_token=None,
        accept_v2=True,
        ui=True,
        plivo_api_url="https://api.plivo.com",
        log_level="info",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("PLIVO_AUTH_ID", "PLIVO_SENDER", "API_TOKEN", "DATABASE_URL", "SPOOL_DIR", "ACCEPT_V2"),
        *("UI", "PLIVO_API_URL", "LOG_LEVEL"),
    ],
)
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_is_an_unset_one(name: str, blank: str) -> None:
    assert read(**{name: blank}) == read()


@pytest.mark.parametrize(
    ("value", "tokens"),
    [("one", ("one",)), ("new,old", ("new", "old")), (" new , old ", ("new", "old"))],
)
def test_tokens_are_comma_separated_and_keep_their_order(
    value: str, tokens: tuple[str, ...]
) -> None:
    assert read(PLIVO_AUTH_TOKEN=value).auth_tokens == tokens


@pytest.mark.parametrize(
    ("value", "webhook"),
    [
        ("https://sms.example.com", "https://sms.example.com/plivo/status"),
        ("https://sms.example.com/", "https://sms.example.com/plivo/status"),
        (" http://127.0.0.1:8000 ", "http://127.0.0.1:8000/plivo/status"),
        ("https://example.com:443/sms/", "https://example.com:443/sms/plivo/status"),
        ("https://[::1]:8000", "https://[::1]:8000/plivo/status"),
    ],
)
def test_base_url_keeps_its_port_and_path_and_drops_a_last_slash(value: str, webhook: str) -> None:
    assert read(BASE_URL=value).webhook_url == webhook


def test_a_database_is_relative_to_where_the_service_starts_or_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(DATABASE_URL="sqlite:///a/b.db").database_path == tmp_path / "a/b.db"
    absolute = read(DATABASE_URL="sqlite:////data/b.db")
    assert absolute.database_path == Path("/data/b.db")
    assert absolute.spool_dir == Path("/data/b.db-spool")
    assert read(SPOOL_DIR="spool").spool_dir == tmp_path / "spool"


@pytest.mark.parametrize("name", ["ACCEPT_V2", "UI"])
def test_a_switch_is_on_or_off(name: str) -> None:
    field = name.lower()
    assert all(getattr(read(**{name: on}), field) for on in ("true", "On", "YES", "1", " true "))
    assert not any(getattr(read(**{name: off}), field) for off in ("false", "Off", "NO", "0"))


def test_the_other_variables_are_taken_as_they_are() -> None:
    settings = read(
        PLIVO_AUTH_ID="MA0123456789ABCDEFGH",
        PLIVO_SENDER="+14155550100",
        API_TOKEN="token",
        PLIVO_API_URL="http://127.0.0.1:9/",
        LOG_LEVEL="WARNING",
    )
    assert (settings.auth_id, settings.sender) == ("MA0123456789ABCDEFGH", "+14155550100")
    assert (settings.api_token, settings.plivo_api_url) == ("token", "http://127.0.0.1:9")
    assert settings.log_level == "warning"


WRONG = [
    ("PLIVO_AUTH_TOKEN", None),
    *(("PLIVO_AUTH_TOKEN", value) for value in ("", " ", ",", f"{SECRET},", f",{SECRET}")),
    ("BASE_URL", None),
    *(
        ("BASE_URL", value)
        for value in (
            *("", " ", "sms.example.com", "ftp://sms.example.com", "https://", "https:///path"),
            *("https://sms.example.com?a=1", "https://sms.example.com/#a", "https://[::1"),
            *(f"https://user:{SECRET}@sms.example.com", "https://sms.example.com:port"),
            *("https://sms.example.com:99999", "https://sms.ex\u00e4mple.com"),
            *("https://sms.example.com?", "https://sms.example.com#"),
            *("https://sms .example.com", "https://sms.example\n.com", "https://a.com/a b"),
            *("https://sms.example.com/plivo/status", "https://sms.example.com/a/plivo/status/"),
        )
    ),
    *(("PLIVO_API_URL", value) for value in ("api.plivo.com", f"https://u:{SECRET}@api", "x:")),
    *(
        ("PLIVO_AUTH_ID", value)
        for value in (f"XX{SECRET}", "MA0123456789ABCDEFG", "ma0123456789abcdefgh", "MA" + "A" * 19)
    ),
    *(
        ("DATABASE_URL", value)
        for value in (
            *("smsstatus.db", "/data/smsstatus.db", "sqlite:", "sqlite://", "sqlite:///"),
            *("sqlite:////", "sqlite:///folder/", "sqlite://host/file", "sqlite:///a.db?mode=ro"),
            *(f"postgres://user:{SECRET}@host/db", f"postgresql+psycopg://user:{SECRET}@host/db"),
            *(f"mysql://{SECRET}", f"{SECRET}://x", SECRET, "sqlite:///:memory:"),
        )
    ),
    *((name, value) for name in ("ACCEPT_V2", "UI") for value in ("maybe", SECRET, "tru", "2")),
    *(("LOG_LEVEL", value) for value in ("verbose", SECRET, "critical", "10")),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_line_with_the_name_and_an_example_but_not_the_value(
    name: str, value: str | None
) -> None:
    line = refusal(**{name: value})
    assert line.startswith(name)
    assert f"example: {name}=" in line
    assert "\n" not in line
    assert SECRET not in line


@pytest.mark.parametrize("scheme", ["postgres", "mysql"])
def test_another_database_is_named_as_not_supported(scheme: str) -> None:
    assert f"{scheme} is not supported" in refusal(DATABASE_URL=f"{scheme}://host/db")


# The whole program.

BAD_STARTS = {
    "no token": ({"PLIVO_AUTH_TOKEN": ""}, "PLIVO_AUTH_TOKEN"),
    "a wrong BASE_URL": ({"BASE_URL": f"https://user:{SECRET}@host"}, "BASE_URL"),
    "another database": ({"DATABASE_URL": f"postgres://user:{SECRET}@host/db"}, "DATABASE_URL"),
    "a wrong log level": ({"LOG_LEVEL": SECRET}, "LOG_LEVEL"),
    "a spool that takes no files": ({"SPOOL_DIR": "/proc/spool"}, "SPOOL_DIR"),
    "a spool that is a file": ({"SPOOL_DIR": str(ROOT / "README.md")}, "SPOOL_DIR"),
    "a disk that is not mounted": ({"DATABASE_URL": "sqlite:////nowhere/sms.db"}, "SPOOL_DIR"),
}
bad_starts = pytest.mark.parametrize(("wrong", "name"), BAD_STARTS.values(), ids=BAD_STARTS)


@bad_starts
def test_importing_wsgi_stops_with_one_clear_line(
    tmp_path: Path, wrong: dict[str, str], name: str
) -> None:
    stopped = subprocess.run(
        [sys.executable, "-c", "import wsgi"],
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com", **wrong),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert stopped.returncode == 4
    assert stopped.stdout == ""
    assert stopped.stderr.startswith(f"smsstatus cannot start: {name} ")
    assert stopped.stderr.count("\n") == 1
    assert SECRET not in stopped.stderr


def test_flask_run_does_not_serve_without_a_spool_either(tmp_path: Path) -> None:
    stopped = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", "0"],
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com", SPOOL_DIR="/proc/spool"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert stopped.returncode == 4
    assert "smsstatus cannot start: SPOOL_DIR " in stopped.stderr


@bad_starts
def test_gunicorn_stops_too_and_does_not_try_again(
    tmp_path: Path, wrong: dict[str, str], name: str
) -> None:
    service = LiveService(tmp_path, **wrong).start(wait=False)
    assert service.process is not None
    try:
        assert service.process.wait(20) == 4
    finally:
        service.kill()
    lines = service.log.read_text().splitlines()
    ours = [line for line in lines if not line.startswith("[")]  # the others are gunicorn's
    assert len(ours) == 1
    assert ours[0].startswith(f"smsstatus cannot start: {name} ")
    assert SECRET not in service.log.read_text()


def test_a_dotenv_file_is_read_and_real_variables_win(tmp_path: Path) -> None:
    (tmp_path / "smsstatus").symlink_to(ROOT / "smsstatus")
    (tmp_path / "wsgi.py").write_text((ROOT / "wsgi.py").read_text())
    (tmp_path / ".env").write_text("PLIVO_AUTH_TOKEN=a-token\nBASE_URL=https://from.file\n")
    program = (
        "import wsgi; from smsstatus.service import service_of;"
        "s = service_of(wsgi.app).settings; print(*s.auth_tokens, s.base_url)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "BASE_URL": "https://real.variable"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert printed.stdout == "a-token https://real.variable\n"
