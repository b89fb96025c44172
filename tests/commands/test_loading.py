"""A command's module is imported when the command is used, and not by the service."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from flask import Flask

from smsstatus.commands import NAMES

from ..live import ROOT

LOADED = "; print(sorted(name for name in sys.modules if name.startswith('smsstatus.commands.')))"
MAKE = "import sys; from smsstatus.commands import Commands; c = Commands()"


@pytest.mark.parametrize(
    ("use", "loaded"),
    [
        ("import smsstatus", []),
        ("c.list_commands(None)", []),
        (
            "c.get_command(None, 'init-db')",
            ["smsstatus.commands.init_db", "smsstatus.commands.terminal"],
        ),
        ("c.get_command(None, 'nonsense')", []),
    ],
)
def test_a_commands_module_is_imported_when_it_is_used(use: str, loaded: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{MAKE}; {use}{LOADED}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"{loaded}\n", done.stderr


def test_every_command_has_its_name_and_says_what_it_does(app: Flask) -> None:
    context = click.Context(app.cli)
    for name in NAMES:
        command = app.cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str()


def test_the_help_lists_every_command(app: Flask) -> None:
    shown = app.test_cli_runner().invoke(args=["--help"]).stdout
    assert [line.split()[0] for line in shown.split("Commands:\n")[1].splitlines()] == list(NAMES)
