"""`stats`: the figures of a window."""

from __future__ import annotations

import json
from typing import Any

import click
from flask.cli import with_appcontext

from ..query import Fault, Query
from ..store.contract import StoreError
from ..views import stats_json
from ..web.current import current_service
from .terminal import table


@click.command("stats")
@click.option("--since", help="From this time on, ISO 8601 in UTC [24 hours before --until].")
@click.option("--until", help="Up to this time [now].")
@click.option("--json", "as_json", is_flag=True, help="As the API answers.")
@with_appcontext
def command(since: str | None, until: str | None, as_json: bool) -> None:
    """What became of the messages first seen in a window of time."""
    service = current_service()
    given = {"since": since, "until": until}
    query = Query({name: [text] for name, text in given.items() if text is not None})
    window = query.stats_window(service.clock.now())
    for name, fault in query.faults.items():
        if fault is Fault.LATER_THAN_UNTIL:
            raise click.ClickException("--since must not be later than --until: exchange the two")
        raise click.ClickException(f"--{name} must be ISO 8601, for example 2026-11-01T00:00:00Z")
    try:
        figures = stats_json(service.store.stats(*window), *window)
    except StoreError as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        _show(figures)


def _show(figures: dict[str, Any]) -> None:
    seconds = figures["seconds_to_deliver"]
    rows = [
        ("since", figures["since"]),
        ("until", figures["until"]),
        ("messages", figures["total"]),
        *figures["counts"].items(),
        ("final", figures["final"]),
        ("delivery rate", _rate(figures["delivered"], figures["final"])),
        ("seconds to deliver, median", seconds["p50"]),
        ("seconds to deliver, 95th percentile", seconds["p95"]),
    ]
    table(("figure", "value"), rows)
    if figures["top_errors"]:
        click.echo()
        columns = ("code", "reason", "retry", "count")
        table(columns, [[error[name] for name in columns] for error in figures["top_errors"]])


def _rate(delivered: int, final: int) -> str | None:
    """With one decimal, rounded down: 100 % only if it is all."""
    return f"{delivered * 1000 // final / 10} %" if final else None
