"""`backup`: copy the database."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click
from flask.cli import with_appcontext

from ..store.contract import Store, StoreError, StoreUnavailable
from ..web.current import current_service
from .terminal import AT_WORK, json_option, progress, report


@click.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@with_appcontext
def command(path: Path, as_json: bool) -> None:
    """Copy the database to the new file PATH, consistent while the service runs.

    Exits with 3, having copied nothing, while another backup is at work.
    """
    store = current_service().store
    try:
        with ExitStack() as held:
            try:
                is_ours = held.enter_context(store.hold("backup")) is not None
            except StoreUnavailable:  # a full or read-only disk takes no lock, but can be copied
                is_ours = True
            if not is_ours:
                report(as_json, "another backup is at work, so nothing was copied.", bytes=0)
                raise SystemExit(AT_WORK)
            _copy(store, path)
    except (StoreError, OSError) as error:
        # the copy is written under a hidden name beside PATH, which tells nobody anything
        strerror = getattr(error, "strerror", None)
        told = f"{path}: {strerror}" if strerror else str(error)
        raise click.ClickException(f"no backup made: {told}") from None
    size = path.stat().st_size
    report(as_json, f"{path}: {size:,} bytes", path=str(path), bytes=size)


def _copy(store: Store, path: Path) -> None:
    with progress("percent", 100) as advance:
        done = 0

        def show(share: float) -> None:
            nonlocal done
            advance(int(share * 100) - done)
            done = int(share * 100)

        store.backup(path, show)
