"""The documents' commands work in their order on a clean copy; their tables and links are true."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
import plivo as plivo_sdk
import pytest
from flask import Flask

from smsstatus import create_app
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from .live import ROOT, free_port, wait_until
from .plivo_api import AUTH_ID, PlivoApi, Reply, plivo_api

README = (ROOT / "README.md").read_text()
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
LINKED = {
    **DOCUMENTS,
    **{path.name: path.read_text() for path in ROOT.glob("*.md")},
    "bench/README.md": (ROOT / "bench/README.md").read_text(),
    "examples/README.md": (ROOT / "examples/README.md").read_text(),
}

NOT_RUN = {
    "make test": "this is the command that runs the documents",
    "ngrok http 8000": "needs a tunnel",
    ".venv/bin/flask --app wsgi doctor": "needs a Plivo account",
    "heroku create": "needs an account at Heroku",
    "docker compose --file deploy/compose.yaml up --detach --wait postgres": "needs Docker",
    "flask --app wsgi doctor && flask --app wsgi simulate": "needs a service at Render",
    "railway init": "needs an account at Railway",
    "fly apps create OUR-SMS": "needs an account at Fly",
    "dokku apps:create smsstatus": "needs a Dokku host; all but the last two lines there",
    "cp -n .env.example .env": "needs Docker",
    "sudo apt install git python3-venv make": "makes a user and a service",
}
"""The first line of each block that no test runs, and the reason that stands beside it."""

EXPECTED = {
    "README.md": ("as expected", '"message_uuid"', "a forged callback is refused with 403"),
    "docs/api.md": (
        "HTTP/1.1 200 OK",  # the callback signed with openssl
        '"reference":{"order":"42"}',  # a message found by its order number
        '"message_body":"Hello"',  # the message that was sent
        "smsstatus_messages gauge",
    ),
    "docs/commands.md": (
        "as expected",
        "Hello again",
        "would be removed",
        "backup.db: ",
        "same in both",
    ),
    "docs/deploying.md": ("backup.db: ",),
    "docs/forwarding.md": ("waiting",),
}
"""What the commands of each document print, among other things."""


class Block(NamedTuple):
    """A block of code: its language, the note behind it, and what stands in it."""

    language: str
    note: str
    text: str


def blocks(document: str) -> list[Block]:
    found = re.findall(
        r"^ *```(\S+)([^\n]*)\n(.*?)^ *```$", DOCUMENTS[document], re.DOTALL | re.MULTILINE
    )
    return [Block(*parts) for parts in found]


def commands(document: str) -> list[Block]:
    """What is run, in the shell that follows `make run`."""
    return [
        block
        for block in blocks(document)
        if block.language == "sh" and "not-run" not in block.note and block.text != "make run\n"
    ]


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
    """The installed packages as links; the marks that make left there are copied, and so new.

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
    nothing = Reply(200, {"meta": {"limit": 20, "offset": 0, "total_count": 0}, "objects": []})
    with plivo_api() as api:
        # Before the first start nobody has sent a message.
        api.reply = lambda asked: nothing if "/Message/?" in asked.path else None
        yield {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PORT": str(free_port()),
            "PLIVO_API_URL": api.url,
            "PLIVO_AUTH_ID": AUTH_ID,
            "RECONCILE_EVERY": "off",  # else a command could find that it is at work
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
        wait_until(lambda: "Next, in another" in log.read_text(), what=f"served, log: {log}")
        yield clean_copy
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)


@pytest.mark.parametrize("document", EXPECTED)
def test_every_command_of_a_document_works(
    document: str, served: Path, environment: dict[str, str]
) -> None:
    script = "\n".join(
        f"echo '== block {number}'\n{block.text}"
        for number, block in enumerate(commands(document), 1)
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
    for text in EXPECTED[document]:
        assert text in output


def test_no_document_has_commands_that_are_not_run() -> None:
    assert {name for name in DOCUMENTS if commands(name)} == set(EXPECTED)


def test_only_what_needs_an_account_or_a_tunnel_is_not_run() -> None:
    excused = {
        block.text.splitlines()[0].strip(): block.note.partition("not-run: ")[2]
        for name in DOCUMENTS
        for block in blocks(name)
        if block.language == "sh" and "not-run" in block.note
    }
    assert excused == NOT_RUN


def test_make_run_is_the_first_command() -> None:
    first = next(block for block in blocks("README.md") if block.language == "sh")
    assert first.text == "make run\n"


def command_names(app: Flask) -> set[str]:
    return set(app.cli.list_commands(click.Context(app.cli)))


@pytest.mark.parametrize("name", LINKED)
def test_what_a_document_names_exists(name: str, app: Flask) -> None:
    code = "\n".join(re.findall(r"`[^`\n]+`|^ *```.*?^ *```$", LINKED[name], re.DOTALL | re.M))
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code)) <= targets
    named = set(re.findall(r"flask --app wsgi ([a-z-]+)", code))
    assert named <= command_names(app)


@pytest.mark.parametrize("name", [*DOCUMENTS, "CONTRIBUTING.md"])
def test_every_module_that_a_document_names_is_there(name: str) -> None:
    for path in re.findall(r"(?<![\w./])(?:\w+/)+\w+\.(?:py|md|sql)\b", LINKED[name]):
        folders = (ROOT, ROOT / "smsstatus", (ROOT / name).parent)
        assert any((folder / path).is_file() for folder in folders), path


@pytest.mark.parametrize("name", LINKED)
def test_every_link_to_a_file_or_a_heading_leads_there(name: str) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", LINKED[name], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if heading:
            assert heading in headings(target.read_text()), link


def headings(text: str) -> set[str]:
    """The names under which a host links to the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_settings_table_names_what_env_example_names() -> None:
    documented = set(re.findall(r"^\| `([A-Z_0-9]+)` \|", README, re.MULTILINE)) - {"PORT"}
    example = (ROOT / ".env.example").read_text()
    assert documented == set(re.findall(r"^#? ?([A-Z][A-Z_0-9]+)=", example, re.MULTILINE))


def test_every_command_has_a_section(app: Flask) -> None:
    described = re.findall(r"^## `([a-z-]+)`$", DOCUMENTS["docs/commands.md"], re.MULTILINE)
    assert set(described) == command_names(app)


def options_of(command: click.Command) -> set[str]:
    """Its own, and those of the commands below it."""
    own = {name for option in command.params for name in option.opts if name.startswith("--")}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(options_of, below))


def test_every_option_is_in_the_section_of_its_command(app: Flask) -> None:
    missing, context = set[tuple[str, str]](), click.Context(app.cli)
    for section in DOCUMENTS["docs/commands.md"].split("\n## `")[1:]:
        name, _, text = section.partition("`")
        named = {"--json", *re.findall(r"--[a-z-]+", text)}
        command = app.cli.get_command(context, name)
        assert command is not None
        missing |= {(name, option) for option in options_of(command) - named}
    assert missing == set()


def test_every_route_but_those_of_the_pages_is_in_the_api_table(app: Flask) -> None:
    routes = {
        f"{method} {rule.rule.replace('<path:message_uuid>', 'UUID')}"
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith(("/ui/", "/static"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    rows = re.findall(r"^\| (`(?:GET|POST) .*?`) \|", DOCUMENTS["docs/api.md"], re.MULTILINE)
    assert {route.strip("`") for row in rows for route in row.split(", ")} == routes


def test_every_metric_is_in_the_api_table(settings: Settings) -> None:
    """Those of forwarding are shown where it is on."""
    on = replace(settings, forward_url="http://127.0.0.1:9/", forward_secrets=(bytes(24),))
    app = create_app(on)
    client = app.test_client()
    shown = re.findall(r"^# TYPE (\w+) (\w+)$", client.get("/metrics").text, re.MULTILINE)
    rows = re.findall(r"^\| `(smsstatus_\w+)` \| (\w+) \|", DOCUMENTS["docs/api.md"], re.MULTILINE)
    service_of(app).stop()
    assert sorted(rows) == sorted(shown)


WEBHOOK = "https://sms.example.com/plivo/status"


@pytest.fixture
def senders() -> dict[str, str]:
    """The README's lines for programs that send by themselves, by language."""
    found = dict(re.findall(r"^\| (\w+) \| `(.+)` \|$", README, re.MULTILINE))
    assert set(found) == {"Python", "Node", "PHP", "curl"}
    assert all(WEBHOOK in line for line in found.values())
    return found


def test_a_sender_in_python_is_called_back(
    senders: dict[str, str], standin: PlivoApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plivo_sdk.rest.client, "PLIVO_API_BASE_URI", f"{standin.url}/v1/Account")
    eval(senders["Python"], {"client": plivo_sdk.RestClient(AUTH_ID, "token")})
    assert standin.asked[-1].content["url"] == WEBHOOK


def test_a_sender_in_a_shell_is_called_back(senders: dict[str, str], standin: PlivoApi) -> None:
    line = senders["curl"].replace("https://api.plivo.com", standin.url)
    tokens = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN": "token", "NO_PROXY": "127.0.0.1"}
    subprocess.run(["bash", "-c", line], env={**os.environ, **tokens}, check=True, timeout=60)
    assert standin.asked[-1].content["url"] == WEBHOOK
    assert standin.asked[-1].path == f"/v1/Account/{AUTH_ID}/Message/"
