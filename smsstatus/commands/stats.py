"""`stats`: the figures of a window."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import with_appcontext

from ..figures.window import group_figures, window_figures
from ..notation import of_sample, percent
from ..store.contract import GROUPS, StoreError
from ..web.current import current_service
from .filters import Given, read_options, refuse, since_option, until_option
from .terminal import json_option, show_json, table


@click.command("stats")
@since_option
@until_option
@click.option("--by", "group_by", help=f"A row for each {', '.join(GROUPS)}, or for two of them.")
@json_option
@with_appcontext
def command(as_json: bool, **given: Given) -> None:
    """What became of the messages first seen in a window of time: the last 24 hours.

    `--by country,status` shows it of each group.
    """
    service = current_service()
    now = service.clock.now()
    query = read_options(now, given)
    window, groups = query.stats_window(now), query.groups()
    refuse(query)
    try:
        if groups:
            figures = group_figures(service, *window, groups)
        else:
            figures = window_figures(service, *window)
    except StoreError as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None
    if as_json:
        show_json(figures)
    elif groups:
        _show_groups(figures, groups)
    else:
        _show(figures)


def _show(figures: dict[str, Any]) -> None:
    rows = [
        ("since", figures["since"]),
        ("until", figures["until"]),
        ("messages", figures["total"]),
        *figures["counts"].items(),
        ("final", figures["final"]),
        ("no report", figures["no_report"]),
        (
            "delivery rate",
            _rate(figures, "delivery_rate")
            or (figures["delivery_rate_reason"] if figures["total"] else None),
        ),
        ("failure rate", _rate(figures, "failure_rate")),
        ("cost", figures["amount"] and f"{figures['amount']} {figures['currency']}"),
        ("seconds to deliver, median", _seconds(figures, "p50")),
        ("seconds to deliver, 95th percentile", _seconds(figures, "p95")),
    ]
    table(("figure", "value"), rows)
    if figures["top_errors"]:
        click.echo()
        columns = ("code", "reason", "retry", "count")
        table(columns, [[error[name] for name in columns] for error in figures["top_errors"]])


def _show_groups(figures: dict[str, Any], groups: tuple[str, ...]) -> None:
    columns = (*groups, "messages", "delivered", "failed", "no report", "p95", "USD")
    rows = [
        (
            *[group.get(f"{name}_name") or group[name] for name in groups],
            group["total"],
            _rate(group, "delivery_rate"),
            _rate(group, "failure_rate"),
            group["no_report"],
            _seconds(group, "p95"),
            group["amount"],
        )
        for group in figures["groups"]
    ]
    table(columns, rows)


def _rate(figures: dict[str, Any], name: str) -> str | None:
    share = figures[name]
    return None if share is None else f"{percent(share)} % of {figures[f'{name}_of']}"


def _seconds(figures: dict[str, Any], name: str) -> str | None:
    seconds = figures["seconds_to_deliver"][name]
    return None if seconds is None else f"{seconds} {of_sample(figures)}".rstrip()
