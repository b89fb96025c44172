"""What a person types: one module a command, imported when the command or its help is asked for.

So the serving process imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

import click
from flask import Flask
from flask.cli import AppGroup, ScriptInfo

from ..version import VERSION

NAMES = (
    "backup",
    "copy",
    "doctor",
    "forward",
    "init-db",
    "listen",
    "messages",
    "prune",
    "reconcile",
    "replay",
    "send",
    "serve",
    "simulate",
    "stats",
    "tail",
    "upkeep",
)
"""Each command `a-b` is the `command` of the module `a_b` in this room."""


class Commands(AppGroup):
    """The commands of NAMES, and whatever is added as with any other group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *NAMES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NAMES:
            return super().get_command(ctx, cmd_name)
        module = import_module(f".{cmd_name.replace('-', '_')}", __name__)
        return cast(click.Command, module.command)


def run(load_app: Callable[[], Flask]) -> None:
    """Run the command that the command line names; `load_app` is called if it needs one."""
    program = Commands(help="Receive Plivo's SMS status callbacks, and say what became of them.")
    click.version_option(VERSION, message="smsstatus %(version)s")(program)
    program(obj=ScriptInfo(create_app=load_app, set_debug_flag=False))


def is_command() -> bool:
    """Is the application made for a command, of flask or of `smsstatus`, that does not serve?

    Some servers, uvicorn for instance, are click programs too.
    """
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, AppGroup):
        return False
    return context.info_name != "run"
