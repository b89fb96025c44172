"""deploy/ and app.json say what the service has; read by the hosts' tools, where there are any."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from smsstatus.settings import Settings

from .live import ROOT, LiveService
from .signed import send
from .test_deployment import example, gunicorn_conf
from .tools import path_of

DEPLOY = ROOT / "deploy"
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
FLY = tomllib.loads((DEPLOY / "fly.toml").read_text())
RENDER = yaml.safe_load((DEPLOY / "render.yaml").read_text())
RENDER_POSTGRES = yaml.safe_load((DEPLOY / "render-postgres.yaml").read_text())
RAILWAY = json.loads((DEPLOY / "railway.json").read_text())
APP = json.loads((ROOT / "app.json").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNIT = (DEPLOY / "smsstatus.service").read_text()
DATABASE = Path("/data/smsstatus.db")

Instruction = tuple[str, str]


def instructions() -> dict[str, list[Instruction]]:
    """The Dockerfile's, by stage; the one that a plain build ends with has the name ''."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: dict[str, list[Instruction]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line:
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = stages.setdefault(rest.partition(" AS ")[2], [])
        stage.append((name, rest))
    return stages


STAGES = instructions()
SERVICE = STAGES["service"]
IMAGE_ENV = dict(
    pair.split("=", 1) for name, rest in SERVICE if name == "ENV" for pair in shlex.split(rest)
)


def last(stage: list[Instruction], name: str) -> str:
    return [rest for instruction, rest in stage if instruction == name][-1]


def render_env(service: Mapping[str, Any]) -> dict[str, Any]:
    return {entry.pop("key"): entry for entry in map(dict, service["envVars"])}


(RENDER_WEB,) = RENDER["services"]
(RENDER_POSTGRES_WEB,) = RENDER_POSTGRES["services"]
SETTINGS = {
    "Dockerfile": set(IMAGE_ENV),
    "compose.yaml": set(COMPOSE["services"]["smsstatus"]["environment"]),
    "fly.toml": set(FLY["env"]),
    "render.yaml": set(render_env(RENDER_WEB)),
    "render-postgres.yaml": set(render_env(RENDER_POSTGRES_WEB)),
    "app.json": set(APP["env"]),
    "app.json, review": set(APP["environments"]["review"]["env"]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_that_a_file_sets_is_one_that_is_read(name: str) -> None:
    assert SETTINGS[name] <= {*example(), "PORT"}


def test_every_host_starts_what_the_procfile_says() -> None:
    web = PROCFILE["web"]
    assert RENDER_WEB["startCommand"] == RENDER_POSTGRES_WEB["startCommand"] == web
    assert RAILWAY["deploy"]["startCommand"] == web
    for stage in ("service", "own-volume"):
        assert json.loads(last(STAGES[stage], "CMD")) == web.split()
    assert f"ExecStart=/opt/smsstatus/.venv/bin/{web}\n" in UNIT
    assert RENDER_POSTGRES_WEB["preDeployCommand"] == PROCFILE["release"]


def test_every_host_asks_for_the_health_where_it_is_answered(app: Flask) -> None:
    paths = [RENDER_WEB["healthCheckPath"], RENDER_POSTGRES_WEB["healthCheckPath"]]
    paths += [RAILWAY["deploy"]["healthcheckPath"]]
    paths += [check["path"] for check in FLY["http_service"]["checks"]]
    for path in paths:
        answer = app.test_client().get(path, headers={"Host": "healthcheck.railway.app"})
        assert answer.status_code == 200
        assert path in last(SERVICE, "HEALTHCHECK")


def test_every_host_keeps_the_disk_that_the_database_is_on() -> None:
    assert IMAGE_ENV["DATABASE_URL"] == f"sqlite:///{DATABASE}"
    mounts = [RENDER_WEB["disk"]["mountPath"], RAILWAY["deploy"]["requiredMountPath"]]
    mounts += [FLY["mounts"]["destination"], last(SERVICE, "VOLUME")]
    (volume,) = COMPOSE["services"]["smsstatus"]["volumes"]
    mounts += [volume.partition(":")[2]]
    assert set(mounts) == {str(DATABASE.parent)}
    assert render_env(RENDER_WEB)["DATABASE_URL"]["value"] == f"sqlite:///{DATABASE}"
    assert Path(IMAGE_ENV["SPOOL_DIR"]).parent == DATABASE.parent
    assert COMPOSE["volumes"].keys() >= {"data", "postgres", "caddy"}


def test_every_host_gives_the_service_the_time_it_takes_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed = [FLY["kill_timeout"], RAILWAY["deploy"]["drainingSeconds"]]
    allowed += [web["maxShutdownDelaySeconds"] for web in (RENDER_WEB, RENDER_POSTGRES_WEB)]
    allowed += [int(COMPOSE["services"]["smsstatus"]["stop_grace_period"].removesuffix("s"))]
    allowed += [int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[1])]  # type: ignore[index]
    assert min(allowed) > gunicorn_conf(monkeypatch)["graceful_timeout"]
    assert FLY["kill_signal"] == last(SERVICE, "STOPSIGNAL") == "SIGTERM"


def test_fly_sends_requests_to_the_port_that_is_served_and_lets_no_machine_sleep() -> None:
    service = FLY["http_service"]
    assert FLY["env"]["PORT"] == str(service["internal_port"])
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("off", 1)
    assert (DEPLOY / FLY["build"]["dockerfile"]).is_file()
    assert FLY["build"]["build-target"] in STAGES


def test_render_with_postgresql_takes_its_address_and_logs_what_is_spooled() -> None:
    variables = render_env(RENDER_POSTGRES_WEB)
    (database,) = RENDER_POSTGRES["databases"]
    source = {"name": database["name"], "property": "connectionString"}
    assert variables["DATABASE_URL"] == {"fromDatabase": source}
    assert variables["SPOOL_LOG"] == {"value": "on"}
    assert "disk" not in RENDER_POSTGRES_WEB


def of_heroku(env: Mapping[str, Any]) -> dict[str, str]:
    """The config vars of a new app: what is asked for, made or given."""
    made = {"secret": "0123456789abcdef" * 4}
    asked = {"PLIVO_AUTH_TOKEN": "a-token", "PLIVO_AUTH_ID": ""}
    return {
        name: value.get("value") or made.get(value.get("generator", "")) or asked[name]
        for name, value in env.items()
    }


def test_an_app_of_the_heroku_button_and_a_review_app_start() -> None:
    (addon,) = APP["addons"]
    assert addon.startswith("heroku-postgresql:")
    assert APP["environments"]["review"]["addons"] == [addon]
    for env in (APP["env"], APP["environments"]["review"]["env"]):
        settings = Settings.from_environment(
            {**of_heroku(env), "DATABASE_URL": "postgres://user:password@db.example.com/name"}
        )
        assert settings.api_token
        assert settings.base_url.startswith("https://")
    for name, value in APP["env"].items():
        assert len(value["description"]) > 20, name


# The image.


def test_the_dockerfile_is_one_that_hadolint_has_nothing_to_say_about() -> None:
    hadolint = path_of("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_the_python_that_was_tried_and_is_not_roots() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert last(SERVICE, "FROM") == f"python:{version}-slim AS service"
    assert f"/lib/python{version}/" in (DEPLOY / "Dockerfile").read_text()
    assert STAGES[""] == [("FROM", "service")]
    assert last(SERVICE, "USER").isdecimal()
    assert int(last(SERVICE, "USER")) > 0


def copied() -> list[str]:
    return [
        source
        for name, rest in SERVICE
        if name == "COPY"
        for source in rest.split()[:-1]
        if not source.startswith("--")
    ]


def test_what_the_image_is_made_from_is_sent_to_the_builder_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())


@pytest.fixture
def container(tmp_path: Path) -> Iterator[LiveService]:
    """What the image has, in a bare folder: its files, its environment, its command; not built.

    The folder in place of /data, and the port of this machine alone, are the test's.
    """
    folder = tmp_path / "app"
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    data = tmp_path / "data"
    data.mkdir()
    service = LiveService(tmp_path)
    image = {name: value.replace("/data", str(data)) for name, value in IMAGE_ENV.items()}
    image |= {"PORT": str(service.port), "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{service.port}"}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    service.environment |= {**image, "PATH": programs}
    service.folder = folder
    service.command = json.loads(last(SERVICE, "CMD"))
    service.database, service.spool = data / DATABASE.name, data / f"{DATABASE.name}-spool"
    yield service
    service.kill()


def health(service: LiveService) -> int:
    """The exit status of the image's own check."""
    command = json.loads(last(SERVICE, "HEALTHCHECK").partition(" CMD ")[2])
    return subprocess.run(
        command, env=service.environment, stderr=subprocess.DEVNULL, timeout=60
    ).returncode


def test_what_the_image_starts_serves_is_healthy_and_stops_when_told(
    container: LiveService,
) -> None:
    assert health(container) != 0
    container.start()
    assert health(container) == 0
    request = container.plivo.post(container.plivo.fields("sent"))
    assert send(request, container.address)[0] == 200
    assert container.database.is_file()
    assert container.process is not None
    container.process.send_signal(signal.Signals[last(SERVICE, "STOPSIGNAL")])
    assert container.process.wait(30) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_target_for_fly_gives_the_volume_to_the_services_user_and_becomes_it(
    tmp_path: Path,
) -> None:
    """With a user that is here, and with a folder of the test's."""
    entry = json.loads(last(STAGES["own-volume"], "ENTRYPOINT"))
    volume = tmp_path / "data"
    volume.mkdir()
    for said, here in (
        *(("smsstatus:", "nobody:"), ("--reuid=smsstatus", "--reuid=nobody")),
        *(("--regid=smsstatus", "--regid=nogroup"), ("/data", str(volume))),
    ):
        assert said in entry[2]
        entry[2] = entry[2].replace(said, here)
    done = subprocess.run([*entry, "id", "-un"], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("nobody\n", "")
    assert volume.owner() == "nobody"


# Compose.


def test_the_compose_file_is_one_by_the_schema_of_compose() -> None:
    check = path_of("check-jsonschema")
    done = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_reaches_the_port_that_is_served_and_the_files_that_are_there() -> None:
    service = COMPOSE["services"]["smsstatus"]
    port = service["environment"]["PORT"]
    assert service["ports"] == [f"127.0.0.1:${{PORT:-8000}}:{port}"]
    assert COMPOSE["services"]["caddy"]["command"].endswith(f"--to smsstatus:{port}")
    context = DEPLOY / service["build"]["context"]
    assert context.resolve() == ROOT
    assert (context / service["build"]["dockerfile"]).is_file()
    assert service["environment"]["DATABASE_URL"].endswith(f":-sqlite:///{DATABASE}}}")
    assert service["environment"]["SPOOL_DIR"] == IMAGE_ENV["SPOOL_DIR"]
    optional = [name for name, each in COMPOSE["services"].items() if "profiles" in each]
    assert set(optional) == {"postgres", "caddy"}
    assert service["depends_on"]["postgres"]["required"] is False


# systemd.


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is here in the place of the one in /opt/smsstatus."""
    path = tmp_path / "smsstatus.service"
    path.write_text(UNIT.replace("/opt/smsstatus/.venv/bin/gunicorn", sys.executable))
    return path


def systemd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = path_of("systemd-analyze")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def test_systemd_understands_the_unit(unit: Path) -> None:
    done = systemd("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_starts_it_again_however_often_that_fails() -> None:
    lines = UNIT.splitlines()
    assert {"Restart=always", "StartLimitIntervalSec=0"} < {*lines}
    assert lines.index("StartLimitIntervalSec=0") < lines.index("[Service]")


def test_systemd_finds_the_unit_exposed_at_2_0_at_most(unit: Path) -> None:
    assert systemd("security", "--offline=yes", "--threshold=20", unit).returncode == 0


def test_the_unit_allows_every_call_that_the_service_makes(tmp_path: Path) -> None:
    """From its start over a callback to its end, by strace."""
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.MULTILINE):
        calls = {call for word in line.lstrip("~").split() for call in calls_in(word)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    service = LiveService(tmp_path)
    traced = tmp_path / "calls"
    service.command = [path_of("strace"), "-f", "-qq", "-o", str(traced), *service.gunicorn]
    service.command.append(service.application)
    try:
        service.start()
        request = service.plivo.post(service.plivo.fields("sent"))
        assert send(request, service.address)[0] == 200
        assert service.process is not None
        os.killpg(service.process.pid, signal.SIGTERM)
        service.process.wait(60)
    finally:
        service.kill()
    made = set(re.findall(r"^\d+ +(\w+)\(", traced.read_text(), re.MULTILINE))
    assert "fdatasync" in made
    assert made <= allowed


def calls_in(word: str) -> set[str]:
    """A call, or all of those that systemd names together."""
    if not word.startswith("@"):
        return {word}
    lines = [line.strip() for line in systemd("syscall-filter", word).stdout.splitlines()[1:]]
    words = [line for line in lines if line and not line.startswith("#")]
    return {call for inner in words for call in calls_in(inner)}


def test_the_unit_writes_where_litestream_reads() -> None:
    folder = re.search(r"^StateDirectory=(\w+)$", UNIT, re.MULTILINE)
    assert folder
    (database,) = yaml.safe_load((DEPLOY / "litestream.yml").read_text())["dbs"]
    assert database["path"] == f"/var/lib/{folder[1]}/smsstatus.db"
    assert database["replica"]["url"].startswith("s3://")
    assert f"sqlite:///{database['path']}" in (ROOT / "docs/deploying.md").read_text()


def test_no_file_of_deploy_is_forgotten_here_and_each_says_how_it_is_used() -> None:
    files = {path.name for path in DEPLOY.iterdir()}
    read = re.findall(r'DEPLOY / "([\w.-]+)"', Path(__file__).read_text())
    monitoring = {"prometheus-rules.yml", "grafana-board.json"}  # see test_monitoring_files
    assert files == {*read, *monitoring}
    for path in DEPLOY.iterdir():
        if path.suffix != ".json":  # which has no comments: docs/deploying.md says it
            assert path.read_text().startswith("# ")
            assert "\n# Not tried " in path.read_text() or path.name == "smsstatus.service"
        assert not path.stat().st_mode & stat.S_IXUSR
        assert f"deploy/{path.name}" in (ROOT / "docs/deploying.md").read_text()
