"""`replay`: apply kept callbacks again."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

import click
from flask.cli import with_appcontext

from ..intake.last_resort import lines_of
from ..intake.records import NotReadable, is_file_name
from ..intake.replay import NotReplayable, Replayed, drain, replay_file, replay_log
from ..notation import visible
from ..service import Service
from ..store.contract import StoreUnavailable
from ..web.current import current_service
from .terminal import complain, json_option, progress, report

_NOT_REPLAYED = (StoreUnavailable, NotReplayable, NotReadable, OSError, EOFError, zlib.error)

SOME = 1000
"""Lines of a log, after which a progress bar moves."""


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
    replayed = Replayed()
    try:
        if source is None:
            names = service.spool.list_files()
            with progress("files", len(names)) as advance:
                replayed = drain(service.store, service.spool, names=_each(names, advance))
            for name, stuck in service.spool.stuck.items():
                click.echo(f"{visible(name)} cannot be applied now: {stuck.reason}", err=True)
        elif is_file_name(source):
            replay_file(service.store, Path(source), replayed)
        else:
            _replay_log(service, source, replayed)
    except _NOT_REPLAYED as error:
        before = f" (before that: {replayed})" if replayed != Replayed() else ""
        raise click.ClickException(f"not replayed: {error}{before}") from None
    report(as_json, f"{replayed}.", **asdict(replayed))
    if not replayed.complete:
        raise SystemExit(1)


def _replay_log(service: Service, source: str, replayed: Replayed) -> None:
    """Count in `replayed`, and name what cannot be read or applied."""
    with click.open_file(source, "rb") as log:
        size = os.fstat(log.fileno()).st_size if source != "-" else 0
        with progress("bytes", size, worth_it=size > 0) as advance:
            lines = _read(log, size, advance) if size else lines_of(log)
            for complaint in replay_log(
                service.store, lines, service.settings.auth_tokens, replayed
            ):
                complain(complaint)


def _read(log: IO[bytes], size: int, advance: Callable[[int], None]) -> Iterator[str]:
    """The lines of a file; how far it was read, packed or not, is told now and then."""
    read = 0
    for number, line in enumerate(lines_of(log)):
        if number % SOME == 0:
            advance(log.tell() - read)
            read = log.tell()
        yield line
    advance(size - read)


def _each(names: Sequence[str], advance: Callable[[int], None]) -> Iterator[str]:
    for name in names:
        yield name
        advance(1)
