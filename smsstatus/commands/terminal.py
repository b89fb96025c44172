"""What the commands share: tables, colours, JSON, durations, progress bars."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click

from ..durations import read_duration
from ..notation import visible

AT_WORK = 3
"""The exit status of a command that did nothing, because another process is doing it."""

COLOURS = {
    **dict.fromkeys(("ok", "delivered", "read"), "green"),
    **dict.fromkeys(("FAIL", "failed", "rejected", "undelivered"), "red"),
    "warn": "yellow",
}
"""Of words that a person looks for."""

INDENT = 4

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


class Duration(click.ParamType[timedelta]):
    """A time span such as 90s, 15m, 36h or 7d."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = read_duration(str(value))
        if found is None:
            self.fail(f"{value!r} is not a time span such as 90s, 15m, 36h or 7d", param, ctx)
        return found


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns, as wide as their content; None is an empty cell.

    Columns for which a line has no room stand indented on the next one, so nothing is cut. A line
    is as wide as the terminal or COLUMNS, and 80 where there is neither.
    """
    lines = [list(head), *(["" if v is None else visible(str(v)) for v in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    folds = list(_fold(widths, shutil.get_terminal_size().columns))
    for line in lines:
        for fold in folds:
            cells = (coloured(line[c]) + " " * (widths[c] - len(line[c])) for c in fold)
            text = " " * (INDENT if fold.start else 0) + "  ".join(cells).rstrip()
            if text.strip() or not fold.start:
                click.echo(text)


def _fold(widths: Sequence[int], room: int) -> Iterator[range]:
    """Which columns stand on one line, for each line of a row."""
    start, used = 0, widths[0]
    for column, width in enumerate(widths[1:], 1):
        used += 2 + width
        if used > room:
            yield range(start, column)
            start, used = column, INDENT + width
    yield range(start, len(widths))


def coloured(word: str) -> str:
    """The word in its colour, if it has one and colours are wanted: see https://no-color.org.

    Where the output is no terminal, click leaves colours out.
    """
    if os.environ.get("NO_COLOR"):
        return word
    return click.style(word, fg=COLOURS[word]) if word in COLOURS else word


def seconds(timestamp: str) -> str:
    """A time in UTC to the second: `--since` and `--until` take it too."""
    return timestamp[:19]


def report(as_json: bool, sentence: str, **facts: object) -> None:
    """Say what was done: a sentence for a person, or its facts as JSON for a program."""
    if as_json:
        show_json(facts)
    else:
        click.echo(sentence)


def complain(line: str) -> None:
    """Say it on the standard error; a progress bar there gives way, and is drawn again below."""
    click.echo(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, err=True)


def show_json(value: object) -> None:
    """Print it as JSON, indented."""
    click.echo(json.dumps(value, indent=2))


def line_of_change(data: Mapping[str, Any]) -> str:
    """Which message, what has become of it and why, and its sender's reference.

    `data` is what a receiver is told.
    """
    error = data.get("error") or {}
    said = [data.get("previous_status") or "new", "->", data["status"]]
    why = [error.get("code"), error.get("reason")]
    words = [visible(str(word)) for word in (*said, *why) if word]
    reference = data.get("reference")
    line = f"{visible(str(data['message_uuid']))}  {' '.join(map(coloured, words))}"
    return line + (f"  {visible(json.dumps(reference))}" if reference else "")


@contextmanager
def running_line() -> Iterator[Callable[[str], None]]:
    """Where it is not known how much there is to do: a line on the terminal that errors go to,
    written over by the next, and gone at the end. Elsewhere nothing.
    """

    def show(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    try:
        yield show
    finally:
        show("")


@contextmanager
def progress(label: str, length: int, *, worth_it: bool = True) -> Iterator[Callable[[int], None]]:
    """A progress bar on the terminal that errors go to, so that the output can be a file.

    Elsewhere, or where it is not worth it or there is nothing to do, nothing.
    """
    hidden = not (worth_it and length and sys.stderr.isatty())
    with click.progressbar(label=label, length=length, hidden=hidden, file=sys.stderr) as bar:
        yield bar.update
