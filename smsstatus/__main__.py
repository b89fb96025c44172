"""The program `smsstatus`: every command, and the service itself."""

from __future__ import annotations

from . import load_app
from .commands import run


def main() -> None:
    """Run the command that the command line names. Its help needs no setting."""
    run(load_app)


if __name__ == "__main__":
    main()
