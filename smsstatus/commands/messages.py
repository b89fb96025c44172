"""`messages`: list messages, or show what happened to one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from flask.cli import with_appcontext

from ..model import RANKS
from ..notation import visible
from ..query import find_message
from ..store.contract import Filters, Message, Store, StoreError
from ..views import csv_lines, message_json
from ..web.current import current_service
from .filters import Given, filter_options, read_options, refuse
from .terminal import coloured, json_option, seconds, show_json, table

LISTED = 20


@click.command("messages")
@click.argument("message_uuid", required=False)
@filter_options
@click.option("--limit", type=click.IntRange(1), help=f"The newest ones [{LISTED}; of CSV all].")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="CSV, for a file.")
@with_appcontext
def command(
    message_uuid: str | None, limit: int | None, as_json: bool, as_csv: bool, **given: Given
) -> None:
    """The newest messages, or what happened to one. Times are in UTC."""
    if as_csv and (as_json or message_uuid is not None):
        raise click.UsageError("--csv is for a list, and is not also --json")
    if message_uuid is not None and any(given.values()):
        raise click.UsageError("MESSAGE_UUID names one message: leave the filters out")
    store = current_service().store
    try:
        if message_uuid is not None:
            _show(_find(store, message_uuid), as_json)
            return
        query = read_options(current_service().clock.now(), given)
        filters = query.filters_by_ending()
        refuse(query)
        if as_csv:
            _print_csv(store.walk(filters, limit))
        else:
            found = list(store.walk(filters, limit or LISTED))
            _list(found, as_json)
            if not found:
                click.echo(_none(filters), err=True)
    except StoreError as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None


def _find(store: Store, message_uuid: str) -> dict[str, Any]:
    found = find_message(store, message_uuid)
    if found is None:
        raise click.ClickException("no such message")
    return message_json(found)


def _print_csv(found: Iterator[Message]) -> None:
    for lines in csv_lines(found):
        click.echo(lines, nl=False)


def _list(found: list[Message], as_json: bool) -> None:
    shown = [message_json(message) for message in found]
    if as_json:
        show_json(shown)
        return
    columns = ("message_uuid", "current_status", "recipient_number", "sender_number")
    rows = [
        (seconds(message["created_at"]), *(message[name] for name in columns), _reason(message))
        for message in shown
    ]
    table(("created_at", *columns, "error"), rows)


def _none(filters: Filters) -> str:
    """Plivo may send words that it has not documented, so a misspelt one is no error."""
    others = [status for status in filters.statuses if status not in RANKS]
    if not others:
        return "no messages"
    return f"no messages: {', '.join(others)} is not among Plivo's statuses {', '.join(RANKS)}"


def _show(message: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(message)
        return
    status = coloured(visible(message["current_status"]))
    click.echo(f"{visible(message['message_uuid'])}  {status}  {visible(_reason(message))}")
    click.echo(visible(f"from {message['sender_number']} to {message['recipient_number']}"))
    if message["reference"]:
        click.echo(f"reference {json.dumps(message['reference'])}")
    if message["message_body"]:
        click.echo(f"text {message['message_body']!r}")
    rows = [
        (
            event["status"],
            seconds(event["status_timestamp"]),
            event["error_code"],
            seconds(event["received_at"]),
            event["source"],
            event["repeats"],
        )
        for event in message["events"]
    ]
    table(("status", "status_timestamp", "error", "received_at", "source", "repeats"), rows)


def _reason(message: dict[str, Any]) -> str:
    error = message["error"]
    return f"{error['code']} {error['reason']}" if error else ""
