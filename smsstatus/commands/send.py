"""`send`: send one SMS through Plivo."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from .. import sending
from ..plivo.api import NotConfigured, PlivoError
from ..web.current import current_service
from .terminal import json_option, report


@click.command("send")
@click.argument("to")
@click.argument("text")
@click.option("--from", "sender", help="Sender [PLIVO_SENDER].")
@json_option
@with_appcontext
def command(to: str, text: str, sender: str | None, as_json: bool) -> None:
    """Send TEXT to the number TO, for example +14155550123."""
    fields = {"to": to, "text": text} | ({"from": sender} if sender else {})
    try:
        message = sending.send(current_service(), fields)
    except (sending.BadInput, NotConfigured) as error:
        raise click.ClickException(str(error)) from None
    except PlivoError as error:
        raise click.ClickException(f"{error.title}: {error.advice}") from None
    report(as_json, message.message_uuid, message_uuid=message.message_uuid)
