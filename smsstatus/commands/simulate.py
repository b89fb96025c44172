"""`simulate`: play Plivo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext

from ..plivo.simulate import Answer, NoAnswer, play, steps
from ..web.current import current_service
from .terminal import progress, table

FEW = 20
"""Up to this many callbacks are shown one by one."""


@click.command("simulate")
@click.option("--url", help="Where the service is, as Plivo would call it [BASE_URL].")
@click.option("--count", default=3, show_default=True, type=click.IntRange(1, 1_000_000))
@with_appcontext
def command(url: str | None, count: int) -> None:
    """Play Plivo: send signed callbacks and check the answers."""
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
    _show(answers)
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


def _show(answers: Sequence[Answer]) -> None:
    if len(answers) > FEW:
        counts = Counter((a.step.fields["Status"], a.step.note, a.status) for a in answers)
        table(("status", "note", "answer", "callbacks"), [(*key, n) for key, n in counts.items()])
        return
    table(
        ("message", "status", "error", "note", "answer", "expected", "ms"),
        [
            (
                answer.step.message,
                answer.step.fields["Status"],
                answer.step.fields["ErrorCode"],
                answer.step.note,
                answer.status,
                answer.step.expected,
                round(answer.milliseconds, 1),
            )
            for answer in answers
        ],
    )
