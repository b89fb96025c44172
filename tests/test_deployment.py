"""The files a host reads: they agree with the program and with each other."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import Marker

from smsstatus.settings import Settings
from smsstatus.settings.variables import SettingsError

from .live import ROOT, LiveService, environment, free_port
from .postgres import ask

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z]+\])?==([^\s;\\]+)(?: ; ([^\\\n]+))?", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """Package versions that this requirements file pins for this Python and system."""
    found = _PIN.findall((ROOT / name).read_text())
    return {
        name: version for name, version, where in found if not where or Marker(where).evaluate()
    }


def chosen(requirements: list[str]) -> dict[str, str]:
    """Package versions in pyproject.toml; an extra, as of psycopg[binary], is left out."""
    return {name: version for name, version, _ in _PIN.findall("\n".join(requirements))}


def example() -> dict[str, str]:
    """Every variable in .env.example, also those commented out."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


class Reads(dict[str, str]):
    """An environment that notes which variables are asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return super().__getitem__(name)


def test_the_example_documents_every_variable_that_is_read_and_no_other() -> None:
    environ = Reads({"PLIVO_AUTH_TOKEN": "token", "BASE_URL": "https://sms.example.com"})
    Settings.from_environment(environ)
    assert set(example()) == environ.names - {"PORT", "DYNO"}  # the host sets them


def test_every_variable_of_the_example_has_a_comment_above() -> None:
    paragraphs = (ROOT / ".env.example").read_text().strip().split("\n\n")[1:]
    assert len(paragraphs) == len(example())
    for paragraph in paragraphs:
        *comment, variable = paragraph.splitlines()
        assert re.match(r"(# )?[A-Z0-9_]+=", variable)
        assert comment
        assert all(re.match(r"# \S", line) for line in comment)


def test_the_defaults_that_the_example_shows_are_the_real_ones() -> None:
    required = {"PLIVO_AUTH_TOKEN": "token", "BASE_URL": "https://sms.example.com"}
    examples = {"PLIVO_AUTH_ID", "PLIVO_SENDER", "FORWARD_URL", "RECONCILE_EVERY", "RETENTION"}
    examples |= {"BACKUP_EVERY", "BACKUP_DIR"}
    shown = {name: value for name, value in example().items() if name not in examples}
    assert Settings.from_environment(shown | required) == Settings.from_environment(required)


def test_the_example_as_it_is_does_not_start() -> None:
    with pytest.raises(SettingsError, match="PLIVO_AUTH_TOKEN is empty"):
        Settings.from_environment(example())


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ ", entry)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry)
    assert len(entries) >= len(PROJECT["project"]["dependencies"])


def test_requirements_are_what_pyproject_chooses() -> None:
    runtime, developer = pins("requirements.txt"), pins("requirements-dev.txt")
    for_everybody = chosen(PROJECT["project"]["dependencies"])
    assert set(for_everybody) == {"flask", "gunicorn", "plivo", "psycopg", "python-dotenv"}
    assert for_everybody.items() <= runtime.items()
    assert "psycopg-binary" in runtime  # no host has to have libpq
    for_developers = chosen(PROJECT["dependency-groups"]["dev"])
    assert (runtime | for_developers).items() <= developer.items()
    assert not for_developers.keys() & runtime.keys()


def test_what_is_installed_is_what_is_pinned() -> None:
    assert {name: version(name) for name in pins("requirements.txt")} == pins("requirements.txt")


def test_the_locks_are_for_the_oldest_python_and_hosts_are_given_one_that_was_tried() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert f"--python-version {oldest}" in (ROOT / "Makefile").read_text()
    tried = re.search(r"^for version in (.*); do$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert tried
    assert oldest in tried[1].split()
    assert (ROOT / ".python-version").read_text().strip() in tried[1].split()


@pytest.mark.parametrize(
    "name", [".env", "smsstatus.db", "smsstatus.db-wal", "smsstatus.db.lock", "smsstatus.db-spool/"]
)
def test_secrets_and_data_are_not_committed(name: str) -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert any(Path(name.rstrip("/")).match(pattern) for pattern in ignored)


def gunicorn_conf(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, Any]:
    for name in ("PORT", "WEB_CONCURRENCY", "LOG_LEVEL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "gunicorn.conf.py"))


def test_gunicorn_listens_on_port_or_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gunicorn_conf(monkeypatch)["bind"] == ["127.0.0.1:8000"]
    assert gunicorn_conf(monkeypatch, PORT="")["bind"] == ["127.0.0.1:8000"]
    assert gunicorn_conf(monkeypatch, PORT="5000")["bind"] == ["0.0.0.0:5000"]
    assert gunicorn_conf(monkeypatch, PORT=" 5000 ")["bind"] == ["0.0.0.0:5000"]


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "80 a", "9" * 5000])
def test_a_port_that_is_none_is_left_for_the_settings_to_refuse(
    monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    assert gunicorn_conf(monkeypatch, PORT=port)["bind"] == ["127.0.0.1:0"]
    required = {"PLIVO_AUTH_TOKEN": "token", "BASE_URL": "https://sms.example.com"}
    with pytest.raises(SettingsError, match="PORT must be 1 to 65535; example: PORT=8000"):
        Settings.from_environment(required | {"PORT": port})


def log_at_start(service: LiveService) -> str:
    """What a service has logged by the time it answers."""
    try:
        return service.start().log.read_text()
    finally:
        service.kill()


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://localhost", False),  # a proxy on port 80
        ("http://127.0.0.1:{port}", False),
        ("https://sms.example.com", False),
    ],
)
def test_a_base_url_of_this_machine_with_another_port_is_warned_of(
    tmp_path: Path, base_url: str, warned: bool
) -> None:
    port = free_port()
    log = log_at_start(LiveService(tmp_path, port, BASE_URL=base_url.format(port=port)))
    assert (f"but this listens on port {port}" in log) == warned


def test_the_log_says_at_start_where_callbacks_go_and_what_heroku_does(tmp_path: Path) -> None:
    service = LiveService(tmp_path, DYNO="web.1")
    log = log_at_start(service)
    assert f"callbacks are written to {service.database}" in log
    assert "dyno's disk is lost at each restart" in log


def test_gunicorn_is_one_process_with_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = gunicorn_conf(monkeypatch, WEB_CONCURRENCY="4")
    assert conf["workers"] == 1
    assert conf["worker_class"] == "smsstatus.server.worker.Worker"
    assert conf["threads"] > 1
    assert conf["preload_app"] is False
    assert conf["graceful_timeout"] < 30


def test_on_postgresql_as_many_processes_serve_as_the_host_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for asked, workers in (("4", 4), ("1", 1), ("0", 1), ("many", 1)):
        url = " postgres://user@host/db"
        conf = gunicorn_conf(monkeypatch, WEB_CONCURRENCY=asked, DATABASE_URL=url)
        assert conf["workers"] == workers
    monkeypatch.delenv("WEB_CONCURRENCY")
    assert gunicorn_conf(monkeypatch, DATABASE_URL="postgresql://host/db")["workers"] == 1


def test_an_idle_connection_is_kept_longer_than_by_herokus_router(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gunicorn_conf(monkeypatch)["keepalive"] >= 90 + 5


def test_gunicorn_believes_no_client_and_opens_no_second_way_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = gunicorn_conf(monkeypatch)
    assert conf["forwarder_headers"] == ""
    assert conf["secure_scheme_headers"] == {}
    assert conf["control_socket_disable"] is True


def test_gunicorns_access_log_has_no_query_and_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = gunicorn_conf(monkeypatch)
    assert conf["accesslog"] is None
    fields = set(re.findall(r"%\((\w)\)s", conf["access_log_format"]))
    assert "U" in fields  # the path
    assert not fields & {"r", "q", "f", "a"}  # request line, query, referer, user agent


def test_gunicorn_says_that_web_concurrency_is_not_used(tmp_path: Path) -> None:
    log = log_at_start(LiveService(tmp_path, WEB_CONCURRENCY="4"))
    assert "WEB_CONCURRENCY=4 is not used" in log
    assert log.count("Booting worker") == 1


def of_the_procfile(name: str, folder: Path, *more: str, **variables: str) -> str:
    """What the command of that name prints where a host runs it."""
    commands = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    variables = environment(folder, "https://sms.example.com", **variables)
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    return subprocess.run(
        [*shlex.split(commands[name]), *more],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_the_procfile_serves_on_the_port_of_the_host(tmp_path: Path) -> None:
    """As gunicorn understands it, with the application loaded; all that is left is to bind."""
    shown = of_the_procfile("web", tmp_path, "--print-config", PORT="5000")
    config = dict(re.findall(r"^(\w+) += (.*)$", shown, re.MULTILINE))
    assert config["bind"] == "['0.0.0.0:5000']"
    assert config["worker_class"] == "smsstatus.server.worker.Worker"
    assert (tmp_path / "sms.db").exists()


def test_a_release_leaves_an_sqlite_file_alone_also_where_its_disk_is_missing(
    tmp_path: Path,
) -> None:
    for folder in (tmp_path, tmp_path / "not mounted"):
        shown = of_the_procfile("release", folder)
        assert shown == f"{folder / 'sms.db'} is left to the service.\n"
    assert not (tmp_path / "sms.db").exists()


def test_a_release_makes_the_tables_of_postgresql(tmp_path: Path, postgres: str) -> None:
    variables = {"DATABASE_URL": postgres, "SPOOL_DIR": str(tmp_path / "spool")}
    assert of_the_procfile("release", tmp_path, **variables).endswith(" is ready.\n")
    assert ask(postgres, "SELECT count(*) FROM messages") == [(0,)]


def test_the_address_of_the_compose_file_is_the_one_that_the_documents_give() -> None:
    text = (ROOT / "deploy/compose.yaml").read_text()
    postgres = yaml.safe_load(text)["services"]["postgres"]
    given = postgres["environment"]
    user, name = given["POSTGRES_USER"], given["POSTGRES_DB"]
    password = given["POSTGRES_PASSWORD"].removeprefix("${POSTGRES_PASSWORD:-").removesuffix("}")
    (port,) = postgres["ports"]
    address, inside = port.rsplit(":", 1)
    assert inside == "5432"
    line = f"DATABASE_URL=postgres://{user}:{password}@{address}/{name} make run"
    assert line in text
    assert f"DATABASE_URL=postgres://{user}:{password}@postgres/{name} into .env" in text
    assert line in (ROOT / "docs/deploying.md").read_text()
