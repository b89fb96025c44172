"""`forward`: how forwarding goes, and what a person can do about it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

import click
from flask.cli import with_appcontext

from ..forwarding.signing import write_secret
from ..model import utc_now
from ..store.contract import StoreError
from ..store.outbox import AT_ONCE, COUNTED, Outbox
from ..web.current import current_service
from .terminal import table

T = TypeVar("T")

SECRET_BYTES = 32
SHOWN = 20
"""Of the changes that were given up, the newest ones are listed."""

_all = click.option("--all", "of_all", is_flag=True, help="Of all messages.")
_message = click.argument("message_uuid", required=False)


@click.group("forward")
def command() -> None:
    """Look after the changes that are forwarded."""


@command.command("secret")
def secret() -> None:
    """Make a secret for FORWARD_SECRET and for the receiver."""
    click.echo(write_secret(secrets.token_bytes(SECRET_BYTES)))


@command.command("status")
@with_appcontext
def status() -> None:
    """How many changes wait, what the receiver says, and which were given up."""
    outbox = _outbox()
    state = _asked(lambda: outbox.state(utc_now()))
    letters = _asked(lambda: outbox.dead(SHOWN))
    rows = [
        ("waiting", _count(state.waiting)),
        ("the oldest is due since", state.due_since),
        ("given up", _count(state.dead)),
        ("paused since", state.paused_at),
        ("failing since", state.condition.failing_since),
        ("last failure", state.condition.last_failure),
        ("last taken at", state.condition.last_taken_at),
    ]
    table(("what", "value"), rows)
    if letters:
        click.echo()
        columns = ("message_uuid", "status", "attempts", "answer", "settled_at")
        rows = [tuple(getattr(letter, name) for name in columns) for letter in letters]
        table((*columns[:-1], "given up at"), rows)


@command.command("retry")
@_message
@_all
@click.option("--overtaken", is_flag=True, help="Also if a newer change of it was taken.")
@with_appcontext
def retry(message_uuid: str | None, of_all: bool, overtaken: bool) -> None:
    """Send again what was given up, of MESSAGE_UUID or --all."""
    outbox = _outbox()
    _one_or_all(message_uuid, of_all)
    count = _repeated(lambda: outbox.retry(utc_now(), message_uuid, overtaken=overtaken))
    click.echo(f"{count} changes wait again.")


@command.command("skip")
@_message
@_all
@with_appcontext
def skip(message_uuid: str | None, of_all: bool) -> None:
    """Never send what waits or was given up, of MESSAGE_UUID or --all."""
    outbox = _outbox()
    _one_or_all(message_uuid, of_all)
    count = _repeated(lambda: outbox.skip(utc_now(), message_uuid))
    click.echo(f"{count} changes are not sent.")


@command.command("pause")
@with_appcontext
def pause() -> None:
    """Send nothing until `resume`, also after a restart; what comes meanwhile waits."""
    outbox = _outbox()
    _asked(lambda: outbox.pause(utc_now()))
    click.echo("Nothing is sent until `smsstatus forward resume`.")


@command.command("resume")
@with_appcontext
def resume() -> None:
    """Send again, after `pause`."""
    outbox = _outbox()
    _asked(outbox.resume)
    click.echo("What waits is sent.")


def _outbox() -> Outbox:
    service = current_service()
    if service.settings.forward_url is None:
        raise click.ClickException("FORWARD_URL is not set, so nothing is forwarded")
    return service.store.outbox


def _one_or_all(message_uuid: str | None, of_all: bool) -> None:
    if (message_uuid is None) != of_all:
        raise click.UsageError("name one message by its UUID, or say --all")


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except StoreError as error:
        raise click.ClickException(f"the database does not answer: {error}") from None


def _repeated(some: Callable[[], int]) -> int:
    """The store does a part at a time, so that callbacks are written between.

    What comes meanwhile does not count: it would never end under load.
    """
    total = count = _asked(some)
    while count >= AT_ONCE:
        count = _asked(some)
        total += count
    return total


def _count(number: int) -> str:
    return f"{number:,} or more" if number >= COUNTED else f"{number:,}"
