"""`init-db`: create the database."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..store.contract import StoreError
from ..web.current import current_service
from .terminal import json_option, report


@click.command("init-db")
@click.option("--release", is_flag=True, help="In a host's release phase: not for SQLite's file.")
@json_option
@with_appcontext
def command(release: bool, as_json: bool) -> None:
    """Create the database, or what is missing in it.

    A release runs in a machine of its own, whose disk is not the one that SQLite's file is on.
    """
    service = current_service()
    database = service.settings.database
    if release and database.path is not None:
        sentence = f"{database.name} is left to the service."
        report(as_json, sentence, database=database.name, ready=False)
        return
    try:
        service.store.prepare()
    except StoreError as error:
        raise click.ClickException(f"{database.name}: {error}") from None
    report(as_json, f"{database.name} is ready.", database=database.name, ready=True)
