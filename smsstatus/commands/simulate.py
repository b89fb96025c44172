"""`simulate`: play Plivo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from random import Random
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext

from ..model import SIMULATED
from ..plivo.callback import read_callback
from ..plivo.simulate import NoAnswer, Played, play, steps
from ..plivo.simulated_day import day
from ..store.contract import StoreError
from ..web.current import current_service
from .terminal import json_option, progress, report, show_json, table

FEW_MESSAGES, OF_A_DAY = 3, 2000
AT_ONCE = 200
FEW = 20
"""Up to this many callbacks are shown one by one."""


@click.command("simulate")
@click.option("--url", help="The address to call and to sign, as Plivo would [BASE_URL].")
@click.option("--count", type=click.IntRange(1, 1_000_000), help="Messages [3; of a day 2000].")
@click.option("--day", "of_a_day", is_flag=True, help="Write a day of messages to the database.")
@click.option("--forget", is_flag=True, help="Remove all simulated messages from the database.")
@json_option
@with_appcontext
def command(
    url: str | None, count: int | None, of_a_day: bool, forget: bool, as_json: bool
) -> None:
    """Play Plivo: send signed callbacks and check the answers.

    Simulated messages have the reference simulated=smsstatus.
    """
    if not of_a_day and not forget:
        _play_plivo(url, count or FEW_MESSAGES, as_json)
        return
    _only_one(url=url, count=count, of_a_day=of_a_day, forget=forget)
    try:
        if forget:
            _forget(as_json)
        else:
            _write_day(count or OF_A_DAY, as_json)
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def _only_one(*, url: str | None, count: int | None, of_a_day: bool, forget: bool) -> None:
    if of_a_day and forget:
        raise click.UsageError("--day and --forget: give one of them")
    if url or (forget and count):
        raise click.UsageError("--day and --forget work on the database that DATABASE_URL names")


def _write_day(count: int, as_json: bool) -> None:
    """Into the store, since each message is first seen when its first callback is received."""
    service = current_service()
    if service.settings.forward_url is not None:
        raise click.ClickException(
            "FORWARD_URL is set, so each simulated change would be sent there: "
            "FORWARD_URL= before the command turns that off for once"
        )
    callbacks = day(service.clock.now(), count, Random())  # noqa: S311 - nothing secret
    with progress("messages", count) as advance:
        while batch := list(islice(callbacks, AT_ONCE)):
            updates = [read_callback(callback, source="callback") for callback in batch]
            for pending in [service.store.begin(update) for update in updates]:
                service.store.finish(pending)
            advance(len({update.message_uuid for update in updates}))
    sentence = f"{count} messages written. `simulate --forget` removes all simulated ones."
    report(as_json, sentence, written=count)


def _forget(as_json: bool) -> None:
    store, removed = current_service().store, 0
    while batch := store.forget_batch(SIMULATED):
        removed += batch
    report(as_json, f"{removed} simulated messages removed.", removed=removed)


def _play_plivo(url: str | None, count: int, as_json: bool) -> None:
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
    if as_json:
        show_json([_row(answer) for answer in answers])
    else:
        _show(answers)
    wrong = sum(not answer.as_expected for answer in answers)
    if wrong:
        statuses = {answer.status for answer in answers if not answer.as_expected}
        raise click.ClickException(
            f"{wrong} of {len(answers)} answers from {base_url} were not the expected ones."
            + _why(statuses, base_url, settings.base_url)
        )
    if not as_json:
        click.echo(f"All {len(answers)} answers from {base_url} were as expected.")


def _why(statuses: set[int], signed_for: str, base_url: str) -> str:
    """What wrong answers of these statuses mean."""
    why = ""
    if 403 in statuses and signed_for != base_url:
        why += (
            f" 403 for 200: the callbacks were signed for --url {signed_for}, but BASE_URL here is "
            f"{base_url}: if the service has that one too, leave --url out."
        )
    elif 403 in statuses:
        why += " 403 for 200: its BASE_URL or PLIVO_AUTH_TOKEN differ from the ones used here."
    if 404 in statuses:
        why += " 404: another program answers there, or the path prefix of BASE_URL is wrong."
    return why


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


def _show(answers: Sequence[Played]) -> None:
    if len(answers) > FEW:
        counts = Counter((a.step.fields["Status"], a.step.note, a.status) for a in answers)
        table(("status", "note", "answer", "callbacks"), [(*key, n) for key, n in counts.items()])
        return
    rows = [_row(answer) for answer in answers]
    table([*rows[0]], [[*row.values()] for row in rows])


def _row(answer: Played) -> dict[str, object]:
    step = answer.step
    return {
        "message": step.message,
        "status": step.fields["Status"],
        "error": step.fields["ErrorCode"],
        "note": step.note,
        "answer": answer.status,
        "expected": step.expected,
        "ms": round(answer.milliseconds, 1),
    }
