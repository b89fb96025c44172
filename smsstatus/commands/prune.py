"""`prune`: remove old messages."""

from __future__ import annotations

from datetime import timedelta

import click
from flask.cli import with_appcontext

from ..store.contract import StoreError
from ..upkeep import pruning
from ..upkeep.parts import timestamp
from ..web.current import current_service
from .terminal import Duration, progress


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
    before = service.clock.now() - older_than
    try:
        count = store.count_older(timestamp(before))
        if dry_run:
            click.echo(f"{count} messages would be removed.")
            return
        if not force:
            pruning.check(service, before, count)
        with store.hold("prune") as is_ours:
            if not is_ours:
                click.echo("another prune is at work, so nothing was removed.")
                raise SystemExit(3)
            with progress("messages", count) as advance:
                removed = pruning.prune(service, before, service.clock.sleep, advance)
    except pruning.RemovesAll as error:
        raise click.ClickException(f"{error} If it is, add --force") from None
    except StoreError as error:
        raise click.ClickException(f"stopped, the rest stays for the next run: {error}") from None
    click.echo(f"{removed} messages removed.")
