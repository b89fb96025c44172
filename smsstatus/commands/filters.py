"""Which messages a command is about: the API's parameters as options, read by the same rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..durations import read_duration
from ..model import RANKS
from ..query import Fault, Query
from ..store.contract import GROUPS

F = TypeVar("F", bound=Callable[..., Any])

Given = str | tuple[str, ...] | None
"""What click makes of an option."""

_EXPECTED = {
    Fault.NO_STATUS: "must be a word such as delivered",
    Fault.NO_TEXT: "must not be blank, or hold a NUL",
    Fault.NO_ENDING: "must be a number, or at least its last four digits",
    Fault.NO_REFERENCE: "must be name=value, for example order=42",
    Fault.NO_COUNTRY: "must be an ISO 3166 code of two letters, for example US, or none",
    Fault.NO_NETWORK: "must be MCC-MNC, for example 310-260",
    Fault.NO_GROUPS: f"must be one of {', '.join(GROUPS)}, or two of them with a comma between",
    Fault.NO_TIME: "must be 2h, 3d or ISO 8601, for example 2026-11-01T00:00:00Z",
    Fault.LATER_THAN_UNTIL: "must not be later than --until: exchange the two",
}


def _statuses(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in RANKS if word.startswith(typed)]


since_option = click.option("--since", help="First seen 2h ago or later, or from a time on (UTC).")
until_option = click.option("--until", help="First seen before 2h ago, or before a time (UTC).")
status_option = click.option(
    "--status", multiple=True, shell_complete=_statuses, help="Once for each that is wanted."
)

_FILTERS = (
    status_option,
    click.option("--to", help="The recipient, or the last four digits or more of it."),
    click.option("--from", help="The sender."),
    click.option("--error-code", help="For example 30."),
    click.option("--reference", help="Those whose callback's address had this: order=42."),
    click.option("--country", help="Where they went: US; none: that is not known."),
    click.option("--network", help="The network they went to, MCC-MNC: 310-260."),
    since_option,
    until_option,
)


def filter_options(command: F) -> F:
    """The options that `query.FILTERS` are on a command line."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def read_options(now: datetime, given: Mapping[str, Given]) -> Query:
    """What was given, by the names of the API's parameters; 2h is that long before `now`."""
    asked = {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in given.items()
        if value is not None
    }
    for name in asked.keys() & {"since", "until"}:
        asked[name] = [_moment(now, text) for text in asked[name]]
    return Query(asked)


def refuse(query: Query) -> None:
    """Raises UsageError if what was read is faulty."""
    for name, fault in query.faults.items():
        option = "by" if name == "group_by" else name.replace("_", "-")
        raise click.UsageError(f"--{option} {_EXPECTED[fault]}")


def _moment(now: datetime, text: str) -> str:
    span = read_duration(text)
    return text if span is None else str(now - span)
