"""`init-db`: create the database."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..store.contract import StoreError
from ..web.current import current_service


@click.command("init-db")
@with_appcontext
def command() -> None:
    """Create the database, or what is missing in it."""
    service = current_service()
    try:
        service.store.prepare()
    except StoreError as error:
        raise click.ClickException(f"{service.settings.database_path}: {error}") from None
    click.echo(f"{service.settings.database_path} is ready.")
