"""The flask commands: `flask --app wsgi COMMAND`. Each only reads its options and reports.

What a command needs is imported in it: the serving process loads this module too.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from flask import Blueprint

from ..intake.last_resort import lines_of
from ..intake.replay import NotReplayable, Tally, drain, replay_file, replay_log
from ..intake.spool import NotReadable
from ..logs import printable
from ..model import utc_timestamp
from ..service import current_service
from ..store.sqlite import StoreUnavailable, WorkRefused
from .terminal import Duration, progress, table, visible

if TYPE_CHECKING:
    from ..plivo.simulate import Answer

blueprint = Blueprint("commands", __name__, cli_group=None)

_NOT_REPLAYED = (StoreUnavailable, NotReplayable, NotReadable)

FEW = 20  # so many callbacks are shown one by one
PRUNE_PAUSE_SECONDS = 0.05  # between batches, for callbacks to be written


@blueprint.cli.command("init-db")
def init_db() -> None:
    """Create the database, or what is missing in it."""
    service = current_service()
    try:
        service.store.prepare()
    except (sqlite3.Error, OSError) as error:
        raise click.ClickException(f"{service.settings.database_path}: {error}") from None
    click.echo(f"{service.settings.database_path} is ready.")


@blueprint.cli.command("simulate")
@click.option("--url", help="Where the service is, as Plivo would be told it [BASE_URL].")
@click.option("--count", default=3, show_default=True, type=click.IntRange(1, 1_000_000))
def simulate(url: str | None, count: int) -> None:
    """Play Plivo: send signed callbacks and check the answers."""
    from ..plivo.simulate import NoAnswer, play, steps

    settings = current_service().settings
    base_url = _address(url) if url else settings.base_url
    answers = []
    planned = list(steps(count))
    try:
        with progress("callbacks", len(planned), worth_it=len(planned) > FEW) as advance:
            for step in planned:
                answers.append(play(step, base_url, settings.auth_tokens[0]))
                advance(1)
    except NoAnswer as error:
        raise click.ClickException(str(error)) from None
    _show_answers(answers)
    wrong = sum(not answer.as_expected for answer in answers)
    if wrong:
        raise click.ClickException(
            f"{wrong} of {len(answers)} answers from {base_url} were not the expected ones. "
            "403 for 200: its BASE_URL or PLIVO_AUTH_TOKEN differ from the ones used here."
        )
    click.echo(f"All {len(answers)} answers from {base_url} were as expected.")


def _address(url: str) -> str:
    """An address to play Plivo at; without a scheme `host:` would be taken for one."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number
        usable = False
    if not usable:
        raise click.ClickException(
            f"--url {url}: write http:// or https:// and the host, "
            "for example --url http://127.0.0.1:8000"
        )
    return url.rstrip("/")


def _show_answers(answers: Sequence[Answer]) -> None:
    if len(answers) > FEW:
        counts = Counter((a.step.fields["Status"], a.step.note, a.status) for a in answers)
        table(("status", "note", "answer", "callbacks"), [(*key, n) for key, n in counts.items()])
        return
    table(
        ("message", "status", "error", "note", "answer", "expected", "ms"),
        [
            (
                *(answer.step.message, answer.step.fields["Status"]),
                *(answer.step.fields["ErrorCode"], answer.step.note),
                *(answer.status, answer.step.expected, round(answer.milliseconds, 1)),
            )
            for answer in answers
        ],
    )


@blueprint.cli.command("replay")
@click.argument("source", required=False)
def replay(source: str | None) -> None:
    """Apply kept callbacks again; doing it twice changes nothing.

    Without SOURCE: the whole spool. With a file: that spool file (also one in bad/) or a log, which
    may be gzipped; `-`: a log on standard input. Of a log only the lines of last resort count; each
    that cannot be read is named, and the exit status is 1.
    """
    service = current_service()
    tally = Tally()
    try:
        if source is None:
            tally = drain(service.store, service.spool)
            for name, stuck in service.spool.stuck.items():
                click.echo(f"{printable(name)} cannot be applied now: {stuck.reason}", err=True)
        elif source.endswith(".json"):
            tally.count(replay_file(service.store, Path(source)))
        else:
            with click.open_file(source, "rb") as log:
                tokens = service.settings.auth_tokens
                for complaint in replay_log(service.store, lines_of(log), tokens, tally):
                    click.echo(complaint, err=True)
    except (*_NOT_REPLAYED, OSError, EOFError, zlib.error) as error:
        before = f" (before that: {tally})" if tally != Tally() else ""
        raise click.ClickException(f"not replayed: {error}{before}") from None
    click.echo(f"{tally}.")
    if not tally.complete:
        raise SystemExit(1)


@blueprint.cli.command("send")
@click.argument("to")
@click.argument("text")
@click.option("--from", "sender", help="Sender [PLIVO_SENDER].")
def send(to: str, text: str, sender: str | None) -> None:
    """Send TEXT to the number TO, for example +14155550123."""
    from ..plivo.api import NotConfigured, PlivoError
    from ..sending import BadInput
    from ..sending import send as send_message

    fields = {"to": to, "text": text} | ({"from": sender} if sender else {})
    try:
        message = send_message(current_service(), fields)
    except (BadInput, NotConfigured) as error:
        raise click.ClickException(str(error)) from None
    except PlivoError as error:
        raise click.ClickException(f"{error.title}: {error.advice}") from None
    click.echo(message["message_uuid"])


@blueprint.cli.command("messages")
@click.argument("message_uuid", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--reference", help="Only those whose callback's address had this: order=42.")
@click.option("--json", "as_json", is_flag=True, help="As the API answers.")
def messages(message_uuid: str | None, limit: int, reference: str | None, as_json: bool) -> None:
    """The newest messages, or what happened to one."""
    from ..store.sqlite.listing import Filters
    from ..views import message_json
    from ..web.openapi import REFERENCE_PATTERN

    if reference is not None and not re.fullmatch(REFERENCE_PATTERN, reference):
        raise click.ClickException("--reference must be name=value, for example order=42")

    store = current_service().store
    try:
        if message_uuid is None:
            found = list(store.walk(Filters(reference=reference), limit))
        else:
            found = [message for message in [store.find(message_uuid)] if message]
    except sqlite3.Error as error:
        raise click.ClickException(f"the database cannot be read: {error}") from None
    if message_uuid is not None and not found:
        raise click.ClickException("no such message")
    shown = [message_json(message) for message in found]
    if as_json:
        click.echo(json.dumps(shown if message_uuid is None else shown[0], indent=2))
    elif message_uuid is None:
        _show_messages(shown)
    else:
        _show_timeline(shown[0])


def _show_messages(found: list[dict[str, Any]]) -> None:
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


@blueprint.cli.command("reconcile")
@click.option("--older-than", type=Duration(), default="15m", show_default=True)
@click.option("--within", type=Duration(), default="7d", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Ask about so many at most.")
@click.option("--dry-run", is_flag=True, help="Only say which messages would be asked about.")
def reconcile(older_than: timedelta, within: timedelta, limit: int | None, dry_run: bool) -> None:
    """Ask Plivo about messages that are not final and have been silent.

    Exits with 0 if all were asked about, with 1 if not; the next run takes up what was left. With
    3, having asked nothing, while another reconcile is at work.
    """
    from ..plivo.api import NotConfigured
    from ..upkeep import reconcile as reconciling

    service = current_service()
    try:
        with nullcontext() if dry_run else reconciling.alone(service):
            uuids = reconciling.silent_messages(
                service, older_than=older_than, within=within, limit=limit
            )
            if dry_run:
                for message_uuid in uuids:
                    click.echo(visible(message_uuid))
                click.echo(f"{len(uuids)} would be asked about.")
                return
            with progress("messages", len(uuids)) as advance:
                summary = reconciling.reconcile(service, uuids, lambda: advance(1))
    except reconciling.AtWork as error:
        click.echo(f"{error}.")
        raise SystemExit(3) from None
    except (NotConfigured, sqlite3.Error, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(str(summary))
    if not summary.complete:
        raise SystemExit(1)


@blueprint.cli.command("doctor")
def doctor() -> None:
    """Find out why nothing arrives: one line for each check, with the mend."""
    from .doctor import examine

    failed = False
    for check in examine(current_service()):
        click.echo(f"{check.level:<4}  {check.name}: {check.text}")
        failed |= check.level == "FAIL"
    if failed:
        raise SystemExit(1)


@blueprint.cli.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
def backup(path: Path) -> None:
    """Copy the database to the new file PATH, consistent while the service runs."""
    try:
        current_service().store.backup(path)
    except (sqlite3.Error, OSError) as error:
        raise click.ClickException(f"no backup made: {error}") from None
    click.echo(f"{path}: {path.stat().st_size:,} bytes")


@blueprint.cli.command("prune")
@click.option("--older-than", type=Duration(), required=True, help="For example 90d.")
@click.option("--dry-run", is_flag=True, help="Only say how many would be removed.")
@click.option("--force", is_flag=True, help="Also if that removes all there are.")
def prune(older_than: timedelta, dry_run: bool, force: bool) -> None:
    """Remove old messages and their events, in small batches while the service runs."""
    service = current_service()
    store = service.store
    before = utc_timestamp(str(service.clock.now() - older_than))
    try:
        count = store.count_older(before)
        if dry_run:
            click.echo(f"{count} messages would be removed.")
            return
        newest = store.newest()
        if newest < before and count and not force:
            raise click.ClickException(
                f"that is all {count}, the newest of {newest}: is this machine's clock right? "
                "If it is, add --force"
            )
        removed = 0
        with progress("messages", count) as advance:
            while batch := store.prune_batch(before):
                removed += batch
                advance(batch)
                service.clock.sleep(PRUNE_PAUSE_SECONDS)
    except (StoreUnavailable, WorkRefused, sqlite3.Error) as error:
        raise click.ClickException(f"stopped, the rest stays for the next run: {error}") from None
    click.echo(f"{removed} messages removed.")
