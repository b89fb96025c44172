"""`stats`: the figures of a window."""

from __future__ import annotations

from math import floor
from typing import Any

import click
from flask.cli import with_appcontext

from ..figures import window_figures
from ..store.contract import StoreError
from ..web.current import current_service
from .filters import Given, read_options, refuse, since_option, until_option
from .terminal import json_option, show_json, table


@click.command("stats")
@since_option
@until_option
@json_option
@with_appcontext
def command(as_json: bool, **given: Given) -> None:
    """What became of the messages first seen in a window of time: the last 24 hours."""
    service = current_service()
    now = service.clock.now()
    query = read_options(now, given)
    window = query.stats_window(now)
    refuse(query)
    try:
        figures = window_figures(service, *window)
    except StoreError as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None
    if as_json:
        show_json(figures)
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
        ("no report", figures["no_report"]),
        (
            "delivery rate",
            _rate(figures["delivery_rate"])
            or (figures["delivery_rate_reason"] if figures["total"] else None),
        ),
        ("failure rate", _rate(figures["failure_rate"])),
        ("cost", f"{figures['amount']} {figures['currency']}"),
        ("seconds to deliver, median", seconds["p50"]),
        ("seconds to deliver, 95th percentile", seconds["p95"]),
    ]
    table(("figure", "value"), rows)
    if figures["top_errors"]:
        click.echo()
        columns = ("code", "reason", "retry", "count")
        table(columns, [[error[name] for name in columns] for error in figures["top_errors"]])


def _rate(share: float | None) -> str | None:
    """With one decimal, rounded down: 100 % only if it is all."""
    return None if share is None else f"{floor(share * 1000 + 1e-9) / 10} %"
