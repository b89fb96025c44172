"""`backup`: copy the database."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from ..store.contract import StoreError
from ..web.current import current_service


@click.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@with_appcontext
def command(path: Path) -> None:
    """Copy the database to the new file PATH, consistent while the service runs."""
    try:
        current_service().store.backup(path)
    except (StoreError, OSError) as error:
        raise click.ClickException(f"no backup made: {error}") from None
    click.echo(f"{path}: {path.stat().st_size:,} bytes")
