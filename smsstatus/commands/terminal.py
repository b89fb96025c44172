"""What the commands share: tables, durations, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import click

from ..durations import read_duration


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
    """Print columns, as wide as their content; None is an empty cell."""
    lines = [list(head), *(["" if v is None else visible(str(v)) for v in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (f"{text:<{width}}" for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def visible(text: str) -> str:
    """Text of a stranger's: what would move the cursor or hide something becomes `\\x1b`."""
    return "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text])


@contextmanager
def progress(label: str, length: int, *, worth_it: bool = True) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; elsewhere, or where it is not worth it, nothing."""
    hidden = not worth_it or not sys.stdout.isatty()
    with click.progressbar(label=label, length=length, hidden=hidden) as bar:
        yield bar.update
