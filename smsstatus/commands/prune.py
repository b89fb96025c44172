"""`prune`: remove old messages."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import click
from flask.cli import with_appcontext

from ..model import timestamp
from ..store.contract import Store, StoreError, StoreUnavailable
from ..upkeep import pruning
from ..upkeep.alone import NotAlone, while_alone
from ..web.current import current_service
from .terminal import AT_WORK, Duration, json_option, progress, report


@click.command("prune")
@click.option("--older-than", type=Duration(), required=True, help="For example 90d.")
@click.option("--dry-run", is_flag=True, help="Only say how many would be removed.")
@click.option("--force", is_flag=True, help="Also if that removes all there are.")
@json_option
@with_appcontext
def command(older_than: timedelta, dry_run: bool, force: bool, as_json: bool) -> None:
    """Remove old messages and their events, in small batches while the service runs.

    Exits with 3, having removed nothing, while another prune is at work.
    """
    service = current_service()
    store = service.store
    before = service.clock.now() - older_than
    try:
        if dry_run:
            count = store.count_older(timestamp(before))
            report(as_json, f"{count} messages would be removed.", would_be_removed=count)
            return
        if not force:
            pruning.check(service, before)
        with store.hold("prune") as still_held:
            if not still_held:
                report(as_json, "another prune is at work, so nothing was removed.", removed=0)
                raise SystemExit(AT_WORK)
            rest = while_alone(service.clock.sleep, still_held, service.clock)
            with progress("messages", _count(store, before)) as advance:
                removed, _ = pruning.prune(service, before, rest, advance)
    except pruning.RemovesAll as error:
        raise click.ClickException(f"{error} If it is, add --force") from None
    except (StoreError, NotAlone) as error:
        raise click.ClickException(f"stopped, the rest stays for the next run: {error}") from None
    report(as_json, f"{removed} messages removed.", removed=removed)


def _count(store: Store, before: datetime) -> int:
    """For the progress bar; there is none where counting takes too long."""
    try:
        return store.count_older(timestamp(before)) if sys.stderr.isatty() else 0
    except StoreUnavailable:
        return 0
