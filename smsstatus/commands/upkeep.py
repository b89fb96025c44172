"""`upkeep`: what the service does by itself, and what it has found."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext

from ..store.contract import StoreError
from ..upkeep.state import state_of
from ..upkeep.tasks import why_not_listed
from ..web.current import current_service
from .terminal import json_option, show_json, table

OUTAGES = 10


@click.command("upkeep")
@json_option
@with_appcontext
def command(as_json: bool) -> None:
    """Show when each task ran last and runs next, what it found, and the newest outages."""
    service = current_service()
    try:
        state = state_of(service, OUTAGES)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        show_json(_told({"up_at": state.up_at, **asdict(state)}))
        return
    table(
        ("task", "last run", "next run", "what it found"),
        [(task.name, task.last, task.next, task.found) for task in state.tasks],
    )
    click.echo(f"\nThe service was last up: {state.up_at or 'never'}")
    why = why_not_listed(service.settings)
    not_listed = "never" if why else "not yet"
    if state.outages:
        click.echo()
        table(
            ("down since", "until", "listed until", "missed"),
            [
                (
                    "before the first start" if outage.is_before_first else outage.since,
                    outage.until,
                    outage.listed_until or not_listed,
                    outage.missed,
                )
                for outage in state.outages
            ],
        )
        if why:
            click.echo(f"\n{why}")


def _told(value: Any) -> Any:
    """With null for what there is not."""
    if isinstance(value, dict):
        return {name: _told(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_told(inner) for inner in value]
    return None if value == "" else value
