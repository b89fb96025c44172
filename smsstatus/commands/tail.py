"""`tail`: follow the changes of status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import click
from flask.cli import with_appcontext

from ..forwarding.payload import payload
from ..query import MAX_LIMIT, MAX_WAIT
from ..service import Service
from ..store.contract import StoreError
from ..store.outbox import Change, CursorUnknown
from ..web.current import current_service
from ..web.news import change_json, wait_for_news
from .filters import read_options, refuse, status_option
from .terminal import json_option, line_of_change

PAUSE_SECONDS = 2.0
"""Before a database that could not be read is asked again."""


@click.command("tail")
@status_option
@json_option
@with_appcontext
def command(status: tuple[str, ...], as_json: bool) -> None:
    """Print each change of a message's status once it is known, until Ctrl-C.

    With --json a line for each, as GET /changes answers. Times are in UTC.
    """
    service = current_service()
    query = read_options(service.clock.now(), {"status": status})
    statuses = query.filters().statuses
    refuse(query)
    try:
        start = service.store.outbox.end()
    except StoreError as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None
    with suppress(KeyboardInterrupt):
        for change in _follow(service, start):
            if statuses and change.status not in statuses:
                continue
            if as_json:
                click.echo(json.dumps(change_json(change)))
            else:
                data = payload(change)["data"]
                click.echo(f"{change.received_at[11:19]}  {line_of_change(data)}")


def _follow(service: Service, after: str) -> Iterator[Change]:
    """Each change after a cursor, for good. What goes wrong meanwhile is said, and waited out."""
    outbox, clock = service.store.outbox, service.clock
    is_lost = in_trouble = False
    while True:
        try:
            if is_lost:
                after, is_lost = outbox.end(), False
            news = wait_for_news(outbox, clock, after, MAX_LIMIT, MAX_WAIT, lambda: False)
        except CursorUnknown:
            click.echo("The database was replaced; what follows is of the new one.", err=True)
            is_lost = True
        except StoreError as error:
            if not in_trouble:
                click.echo(f"The database cannot be read, waiting for it: {error}", err=True)
            in_trouble = True
            clock.sleep(PAUSE_SECONDS)
        else:
            yield from news.changes
            after, in_trouble = news.cursor, False
