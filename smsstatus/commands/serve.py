"""`serve`: run the service."""

from __future__ import annotations

import os
import sys

import click

from ..paths import GUNICORN_CONF

APPLICATION = "smsstatus:load_app()"


@click.command("serve", context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(options: tuple[str, ...]) -> None:
    """Run the service on 127.0.0.1:8000, or on 0.0.0.0 and PORT.

    OPTIONS are for gunicorn, for example --bind 127.0.0.1:9000.
    """
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_CONF)]
    os.execv(sys.executable, [*gunicorn, *options, APPLICATION])  # noqa: S606 - no shell is wanted
