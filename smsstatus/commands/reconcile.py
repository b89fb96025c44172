"""`reconcile`: ask Plivo about messages that have been silent."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta

import click
from flask.cli import with_appcontext

from ..plivo.api import NotConfigured
from ..store.contract import StoreError
from ..upkeep import reconcile as reconciling
from ..web.current import current_service
from .terminal import AT_WORK, Duration, json_option, progress, report, visible


@click.command("reconcile")
@click.option("--older-than", type=Duration(), default="15m", show_default=True)
@click.option("--within", type=Duration(), default="7d", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Ask about this many at most.")
@click.option("--dry-run", is_flag=True, help="Only say which messages would be asked about.")
@json_option
@with_appcontext
def command(
    older_than: timedelta, within: timedelta, limit: int | None, dry_run: bool, as_json: bool
) -> None:
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
                lines = [*map(visible, uuids), f"{len(uuids)} would be asked about."]
                report(as_json, "\n".join(lines), would_be_asked_about=[*uuids])
                return
            with progress("messages", len(uuids)) as advance:
                summary = reconciling.reconcile(service, uuids, lambda: advance(1))
    except reconciling.AtWork as error:
        report(as_json, f"{error}.", asked=0)
        raise SystemExit(AT_WORK) from None
    except (NotConfigured, StoreError) as error:
        raise click.ClickException(str(error)) from None
    report(as_json, str(summary), **asdict(summary))
    if not summary.complete:
        raise SystemExit(1)
