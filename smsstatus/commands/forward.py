"""`forward`: how forwarding goes, and what a person can do about it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

import click
from flask.cli import with_appcontext

from ..forwarding.signing import write_secret
from ..model import utc_now
from ..readiness import forwarding_json
from ..store.contract import StoreError
from ..store.outbox import AT_ONCE, COUNTED, Outbox
from ..web.current import current_service
from .terminal import json_option, report, show_json, table

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
@json_option
def secret(as_json: bool) -> None:
    """Make a secret for FORWARD_SECRET and for the receiver."""
    made = write_secret(secrets.token_bytes(SECRET_BYTES))
    report(as_json, made, secret=made)


@command.command("status")
@json_option
@with_appcontext
def status(as_json: bool) -> None:
    """How many changes wait, what the receiver says, and which were given up."""
    outbox = _outbox()
    state = _asked(lambda: outbox.state(utc_now()))
    letters = _asked(lambda: outbox.dead(SHOWN))
    if as_json:
        given_up = [asdict(letter) for letter in letters]
        show_json({**forwarding_json(current_service(), state), "given_up": given_up})
        return
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
@json_option
@with_appcontext
def retry(message_uuid: str | None, of_all: bool, overtaken: bool, as_json: bool) -> None:
    """Send again what was given up, of MESSAGE_UUID or --all."""
    outbox = _outbox()
    _one_or_all(message_uuid, of_all)
    count = _repeated(lambda: outbox.retry(utc_now(), message_uuid, overtaken=overtaken))
    report(as_json, f"{count} changes wait again.", changes=count)


@command.command("skip")
@_message
@_all
@json_option
@with_appcontext
def skip(message_uuid: str | None, of_all: bool, as_json: bool) -> None:
    """Never send what waits or was given up, of MESSAGE_UUID or --all."""
    outbox = _outbox()
    _one_or_all(message_uuid, of_all)
    count = _repeated(lambda: outbox.skip(utc_now(), message_uuid))
    report(as_json, f"{count} changes are not sent.", changes=count)


@command.command("pause")
@json_option
@with_appcontext
def pause(as_json: bool) -> None:
    """Send nothing until `resume`, also after a restart; what comes meanwhile waits."""
    outbox = _outbox()
    _asked(lambda: outbox.pause(utc_now()))
    report(as_json, "Nothing is sent until `smsstatus forward resume`.", paused=True)


@command.command("resume")
@json_option
@with_appcontext
def resume(as_json: bool) -> None:
    """Send again, after `pause`."""
    outbox = _outbox()
    _asked(outbox.resume)
    report(as_json, "What waits is sent.", paused=False)


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
