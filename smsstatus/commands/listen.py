"""`listen`: play the receiver of what is forwarded."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from ..forwarding.listener import Heard, Listener
from ..notation import visible
from ..web.current import current_service
from .terminal import json_option, line_of_change


class Answers(click.ParamType[tuple[int, ...]]):
    """HTTP codes with commas between them."""

    name = "codes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[2-5][0-9]{2}(,[2-5][0-9]{2})*", str(value), re.ASCII):
            self.fail(f"{value!r} is not a list of codes such as 200,500,429", param, ctx)
        return tuple(map(int, str(value).split(",")))


@click.command("listen")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65_535))
@click.option(
    "--answer", default="200", show_default=True, type=Answers(), help="In turn: 200,500,429."
)
@click.option("--delay", default=0.0, type=click.FloatRange(0, 60), help="Seconds before each.")
@json_option
@with_appcontext
def command(port: int, answer: tuple[int, ...], delay: float, as_json: bool) -> None:
    """Receive what is forwarded, verify it with FORWARD_SECRET, and print a line for each.

    Set FORWARD_URL to http://127.0.0.1:8001/ for it. Ends with Ctrl-C.
    """
    keys = current_service().settings.forward_secrets
    if not keys:
        raise click.ClickException(
            "FORWARD_SECRET is not set: put what `smsstatus forward secret` prints into it"
        )
    printing = threading.Lock()

    def tell(heard: Heard) -> None:
        with printing:
            click.echo(_json_of(heard) if as_json else line_of(heard))

    try:
        listener = Listener(port, keys, tell, answers=answer, delay=delay)
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror}") from None
    click.echo(f"Listening on http://127.0.0.1:{listener.server_port}/", err=True)
    with listener:
        try:
            listener.serve_forever()
        except KeyboardInterrupt:
            click.echo(err=True)


def line_of(heard: Heard) -> str:
    """When, what it was answered, which message, what has become of it."""
    moment = f"{datetime.now(UTC):%H:%M:%S}  {heard.answer}"
    if heard.wrong:
        return visible(f"{moment}  not verified: {heard.wrong}")
    told = json.loads(heard.body)
    data = told.get("data", {}) if isinstance(told, dict) else {}
    if not isinstance(data, dict) or "message_uuid" not in data:
        return visible(f"{moment}  {told.get('type') if isinstance(told, dict) else told}")
    return f"{moment}  {line_of_change(data)}"


def _json_of(heard: Heard) -> str:
    try:
        told = json.loads(heard.body)
    except ValueError:
        told = None
    return json.dumps({"answer": heard.answer, "wrong": heard.wrong or None, "body": told})
