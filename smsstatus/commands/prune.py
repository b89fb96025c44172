"""`prune`: remove old messages."""

from __future__ import annotations

from datetime import timedelta

import click
from flask.cli import with_appcontext

from ..model import utc_timestamp
from ..service import Service
from ..store.contract import StoreError
from ..web.current import current_service
from .terminal import Duration, progress

PAUSE_SECONDS = 0.05
"""Between batches, so that callbacks can be written."""


@click.command("prune")
@click.option("--older-than", type=Duration(), required=True, help="For example 90d.")
@click.option("--dry-run", is_flag=True, help="Only say how many would be removed.")
@click.option("--force", is_flag=True, help="Also if that removes all there are.")
@with_appcontext
def command(older_than: timedelta, dry_run: bool, force: bool) -> None:
    """Remove old messages and their events, in small batches while the service runs.

    Exits with 3, having removed nothing, while another prune is at work.
    """
    service = current_service()
    store = service.store
    before = utc_timestamp(str(service.clock.now() - older_than))
    try:
        count = store.count_older(before)
        if dry_run:
            click.echo(f"{count} messages would be removed.")
            return
        newest = store.newest()
        if newest < before and count and not force:
            raise click.ClickException(
                f"that is all {count}, the newest of {newest}: is this machine's clock right? "
                "If it is, add --force"
            )
        with store.hold("prune") as is_ours:
            if not is_ours:
                click.echo("another prune is at work, so nothing was removed.")
                raise SystemExit(3)
            removed = _prune(service, before, count)
    except StoreError as error:
        raise click.ClickException(f"stopped, the rest stays for the next run: {error}") from None
    click.echo(f"{removed} messages removed.")


def _prune(service: Service, before: str, count: int) -> int:
    removed = 0
    with progress("messages", count) as advance:
        while batch := service.store.prune_batch(before):
            removed += batch
            advance(batch)
            service.clock.sleep(PAUSE_SECONDS)
    return removed
