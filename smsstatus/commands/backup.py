"""`backup`: copy the database."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from ..store.contract import StoreError
from ..web.current import current_service
from .terminal import json_option, progress, report


@click.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@with_appcontext
def command(path: Path, as_json: bool) -> None:
    """Copy the database to the new file PATH, consistent while the service runs."""
    try:
        with progress("percent", 100) as advance:
            done = 0

            def show(share: float) -> None:
                nonlocal done
                advance(int(share * 100) - done)
                done = int(share * 100)

            current_service().store.backup(path, show)
    except (StoreError, OSError) as error:
        # the copy is written under a hidden name beside PATH, which tells nobody anything
        strerror = getattr(error, "strerror", None)
        told = f"{path}: {strerror}" if strerror else str(error)
        raise click.ClickException(f"no backup made: {told}") from None
    size = path.stat().st_size
    report(as_json, f"{path}: {size:,} bytes", path=str(path), bytes=size)
