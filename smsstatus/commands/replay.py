"""`replay`: apply kept callbacks again."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from pathlib import Path

import click
from flask.cli import with_appcontext

from ..intake.last_resort import lines_of
from ..intake.records import NotReadable, is_file_name
from ..intake.replay import NotReplayable, Tally, drain, replay_file, replay_log
from ..logs import printable
from ..store.contract import StoreUnavailable
from ..web.current import current_service
from .terminal import json_option, report

_NOT_REPLAYED = (StoreUnavailable, NotReplayable, NotReadable, OSError, EOFError, zlib.error)


@click.command("replay")
@click.argument("source", required=False)
@json_option
@with_appcontext
def command(source: str | None, as_json: bool) -> None:
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
        elif is_file_name(source):
            replay_file(service.store, Path(source), tally)
        else:
            with click.open_file(source, "rb") as log:
                tokens = service.settings.auth_tokens
                for complaint in replay_log(service.store, lines_of(log), tokens, tally):
                    click.echo(complaint, err=True)
    except _NOT_REPLAYED as error:
        before = f" (before that: {tally})" if tally != Tally() else ""
        raise click.ClickException(f"not replayed: {error}{before}") from None
    report(as_json, f"{tally}.", **asdict(tally))
    if not tally.complete:
        raise SystemExit(1)
