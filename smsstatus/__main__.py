"""The program `smsstatus`: every command, and the service itself."""

from __future__ import annotations

from flask.cli import ScriptInfo

from . import load_app
from .commands import Commands


def main() -> None:
    """Run the command that the command line names. Its help needs no setting."""
    program = Commands(help="Receive Plivo's SMS status callbacks, and say what became of them.")
    program(obj=ScriptInfo(create_app=load_app, set_debug_flag=False))


if __name__ == "__main__":
    main()
