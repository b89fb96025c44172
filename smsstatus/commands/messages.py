"""`messages`: list messages, or show what happened to one."""

from __future__ import annotations

import json
from typing import Any

import click
from flask.cli import with_appcontext

from ..query import Query
from ..store.contract import StoreError
from ..views import message_json
from ..web.current import current_service
from .terminal import table, visible


@click.command("messages")
@click.argument("message_uuid", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--reference", help="Only those whose callback's address had this: order=42.")
@click.option("--json", "as_json", is_flag=True, help="As the API answers.")
@with_appcontext
def command(message_uuid: str | None, limit: int, reference: str | None, as_json: bool) -> None:
    """The newest messages, or what happened to one."""
    query = Query({} if reference is None else {"reference": [reference]})
    filters = query.filters()
    if query.faults:
        raise click.ClickException("--reference must be name=value, for example order=42")
    store = current_service().store
    try:
        if message_uuid is None:
            found = list(store.walk(filters, limit))
        else:
            found = [message for message in [store.find(message_uuid)] if message]
    except StoreError as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None
    if message_uuid is not None and not found:
        raise click.ClickException("no such message")
    shown = [message_json(message) for message in found]
    if as_json:
        click.echo(json.dumps(shown if message_uuid is None else shown[0], indent=2))
    elif message_uuid is None:
        _show_list(shown)
    else:
        _show_timeline(shown[0])


def _show_list(found: list[dict[str, Any]]) -> None:
    columns = ("created_at", "message_uuid", "sender_number", "recipient_number", "current_status")
    rows = [(*(message[name] for name in columns), _reason(message)) for message in found]
    table((*columns, "error"), rows)


def _show_timeline(message: dict[str, Any]) -> None:
    first = f"{message['message_uuid']}  {message['current_status']}  {_reason(message)}"
    click.echo(visible(first))
    click.echo(visible(f"from {message['sender_number']} to {message['recipient_number']}"))
    if message["reference"]:
        click.echo(f"reference {json.dumps(message['reference'])}")
    if message["message_body"]:
        click.echo(f"text {message['message_body']!r}")
    columns = ("status", "status_timestamp", "error_code", "received_at", "source", "repeats")
    table(columns, [[event[name] for name in columns] for event in message["events"]])


def _reason(message: dict[str, Any]) -> str:
    error = message["error"]
    return f"{error['code']} {error['reason']}" if error else ""
