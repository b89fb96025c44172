"""`reconcile`: ask Plivo about messages that have been silent, and list those that were missed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from math import inf

import click
from flask.cli import with_appcontext

from ..model import timestamp
from ..notation import visible
from ..plivo.api import NotConfigured
from ..service import Service
from ..store.contract import StoreError
from ..store.runs import Outage
from ..upkeep import reconcile as reconciling
from ..upkeep.alone import NotAlone
from ..upkeep.listing import Listed, Listing, open_outages, span_of
from ..upkeep.parts import Rest
from ..web.current import current_service
from .terminal import (
    AT_WORK,
    Duration,
    json_option,
    progress,
    report,
    running_line,
    seconds,
)


@click.command("reconcile")
@click.option("--older-than", type=Duration(), default="15m", show_default=True)
@click.option("--within", type=Duration(), help="[default: 7d, and as long as outages took since]")
@click.option("--limit", type=click.IntRange(1), help="Ask about this many silent ones at most.")
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be asked about, and which times listed."
)
@json_option
@with_appcontext
def command(
    older_than: timedelta, within: timedelta | None, limit: int | None, dry_run: bool, as_json: bool
) -> None:
    """Ask Plivo about messages that are not final and have been silent, and then for its list of
    the times in which nobody took callbacks.

    Exits with 0 if all of that was done; with 1 if something was left, which the next run takes up,
    or given up; with 3, having asked nothing, while another reconcile is at work.
    """
    service = current_service()
    try:
        with nullcontext(service.clock.sleep) if dry_run else reconciling.alone(service) as rest:
            if within is None:
                within = reconciling.asked_within(service)
            uuids = reconciling.silent_messages(
                service, older_than=older_than, within=within, limit=limit
            )
            outages = open_outages(service)
            if dry_run:
                _say_what_would_be(service, uuids, outages, as_json)
                return
            with progress("messages", len(uuids)) as advance:
                summary = reconciling.reconcile(service, uuids, lambda: advance(1), rest)
            listed = Listed(left=len(outages))
            if not summary.ends_all:
                listed = _look_through(service, outages, summary, rest)
    except reconciling.AtWork as error:
        report(as_json, f"{error}.", asked=0)
        raise SystemExit(AT_WORK) from None
    except NotAlone as error:
        raise click.ClickException(f"stopped, the rest stays for the next run: {error}") from None
    except (NotConfigured, StoreError) as error:
        raise click.ClickException(str(error)) from None
    _report(as_json, summary, listed, has_outages=bool(outages))
    if not summary.complete or listed.left or listed.absent:
        raise SystemExit(1)


def _say_what_would_be(
    service: Service, uuids: Sequence[str], outages: Sequence[Outage], as_json: bool
) -> None:
    now = service.clock.now()
    spans = [tuple(map(timestamp, span_of(outage, now))) for outage in outages]
    lines = [
        *map(visible, uuids),
        f"{len(uuids)} would be asked about.",
        *[f"{seconds(since)} to {seconds(until)} would be listed." for since, until in spans],
    ]
    report(
        as_json,
        "\n".join(lines),
        would_be_asked_about=[*uuids],
        would_be_listed=[{"since": since, "until": until} for since, until in spans],
    )


def _look_through(
    service: Service, outages: Sequence[Outage], summary: reconciling.Summary, rest: Rest
) -> Listed:
    """List these until all is known, or something ends it, which `summary` says too then."""
    with running_line() as show:
        listing = Listing(service, rest, inf, show)
        try:
            listing.look_through(outages)
        except StoreError as error:
            summary.stopped = f"what Plivo listed could not be stored ({error})"
        except KeyboardInterrupt:
            summary.stopped = "interrupted"
    trouble = listing.done.trouble
    if trouble is not None and not summary.stopped:
        summary.stopped, summary.retry_after = reconciling.in_words(trouble), trouble.retry_after
    return listing.done


def _report(
    as_json: bool, summary: reconciling.Summary, listed: Listed, *, has_outages: bool
) -> None:
    facts = asdict(summary)
    del facts["ends_all"]
    parts = [
        summary.counts,
        *([str(listed)] if has_outages else []),
        *([f"stopped: {summary.stopped}"] if summary.stopped else []),
    ]
    report(
        as_json,
        "; ".join(parts),
        **facts,
        listed=listed.listed,
        missed=listed.missed,
        not_listed=listed.absent,
        outages_left=listed.left,
    )
