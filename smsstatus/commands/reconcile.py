"""`reconcile`: ask Plivo about messages that have been silent."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta

import click
from flask.cli import with_appcontext

from ..plivo.api import NotConfigured
from ..store.contract import StoreError
from ..upkeep import reconcile as reconciling
from ..web.current import current_service
from .terminal import Duration, progress, visible


@click.command("reconcile")
@click.option("--older-than", type=Duration(), default="15m", show_default=True)
@click.option("--within", type=Duration(), default="7d", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Ask about this many at most.")
@click.option("--dry-run", is_flag=True, help="Only say which messages would be asked about.")
@with_appcontext
def command(older_than: timedelta, within: timedelta, limit: int | None, dry_run: bool) -> None:
    """Ask Plivo about messages that are not final and have been silent.

    Exits with 0 if all were asked about, with 1 if not; the next run takes up what was left. With
    3, having asked nothing, while another reconcile is at work.
    """
    service = current_service()
    try:
        with nullcontext() if dry_run else reconciling.alone(service):
            uuids = reconciling.silent_messages(
                service, older_than=older_than, within=within, limit=limit
            )
            if dry_run:
                for message_uuid in uuids:
                    click.echo(visible(message_uuid))
                click.echo(f"{len(uuids)} would be asked about.")
                return
            with progress("messages", len(uuids)) as advance:
                summary = reconciling.reconcile(service, uuids, lambda: advance(1))
    except reconciling.AtWork as error:
        click.echo(f"{error}.")
        raise SystemExit(3) from None
    except (NotConfigured, StoreError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(str(summary))
    if not summary.complete:
        raise SystemExit(1)
