"""The things that the service does by itself: reconcile, prune, backup. What each run is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from ..settings import Settings
from . import backups, pruning
from .listing import Listing, open_outages
from .parts import Parts, Rest
from .reconcile import asked_within, due_messages, in_words, reconcile

NAMES = ("reconcile", "prune", "backup")
LISTING_SECONDS = 240.0
"""A run lists for so long at most, so that silent messages have their turn."""
ASKED = 300
"""It asks about this many silent messages at most: one minute."""
PRUNE_EVERY = timedelta(days=1)
PRUNE_SECONDS = 300.0
SOON = timedelta(seconds=40)
"""With the time between two looks, less than a minute: so soon another process takes up a run."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a run of a task came to. `again_in`: it did not get to its end, so go on after that."""

    text: str
    is_ok: bool = True
    again_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """`work(parts, rest, report)` does a run; `report` takes what it has found so far.

    It raises StoreError, OSError or Stopping.
    """

    name: str
    every: timedelta
    work: Callable[[Parts, Rest, Report], Finding]


def tasks_of(settings: Settings) -> Sequence[Task]:
    """Those that the settings turn on."""
    found = []
    if settings.reconcile_every is not None:
        found.append(Task("reconcile", timedelta(seconds=settings.reconcile_every), _reconcile))
    if settings.retention is not None:
        work = partial(_prune, timedelta(seconds=settings.retention))
        found.append(Task("prune", PRUNE_EVERY, work))
    if settings.backup_every is not None and settings.backup_dir is not None:
        work = partial(_back_up, settings.backup_dir)
        found.append(Task("backup", timedelta(seconds=settings.backup_every), work))
    return found


def why_not_listed(settings: Settings) -> str:
    """Why nobody asks Plivo what was missed, as a sentence; empty: the service does."""
    if settings.reconcile_every is not None:
        return ""
    cause = "RECONCILE_EVERY is off, which leaves that to the command reconcile"
    if settings.auth_id is None:
        cause = "PLIVO_AUTH_ID is not set"
    return f"Plivo is not asked what was missed: {cause}"


def _reconcile(parts: Parts, rest: Rest, report: Report) -> Finding:
    """First the messages of outages, oldest first, then those that have been silent."""
    deadline = parts.clock.monotonic() + LISTING_SECONDS
    listing = Listing(parts, rest, deadline, report)
    done = listing.done
    try:
        listing.look_through(open_outages(parts))
    finally:
        parts.metrics.count_reconciled("listed", done.listed)
        parts.metrics.count_reconciled("missed", done.missed)
        parts.metrics.count_reconciled("absent", done.absent)
    if done.trouble and done.is_refused:
        pause = done.trouble.retry_after
        return Finding(
            text=f"{done}; no silent ones asked about; stopped: {in_words(done.trouble)}",
            is_ok=False,
            again_in=timedelta(seconds=pause) if pause else None,
        )
    uuids = due_messages(parts, within=asked_within(parts), limit=ASKED)
    summary = reconcile(parts, uuids, rest=rest)
    for result in ("asked", "changed", "unknown", "failed"):
        parts.metrics.count_reconciled(result, getattr(summary, result))
    text = f"{done}; {summary}"
    is_more = done.is_late or len(uuids) == ASKED
    soon = SOON.total_seconds() if is_more and summary.complete else None
    wait: float | None = summary.retry_after or soon
    if done.trouble:
        text += f"; trouble with an outage: {in_words(done.trouble)}"
    again_in = timedelta(seconds=wait) if wait else None
    is_ok = summary.complete and not done.trouble and not done.absent
    return Finding(text=text, is_ok=is_ok, again_in=again_in)


def _prune(retention: timedelta, parts: Parts, rest: Rest, report: Report) -> Finding:
    before = parts.clock.now() - retention
    try:
        pruning.check(parts, before)
    except pruning.RemovesAll as error:
        return Finding(text=f"nothing removed: {error}", is_ok=False)
    until = parts.clock.monotonic() + PRUNE_SECONDS
    removed, is_all = pruning.prune(parts, before, rest, lambda batch: None, until)
    parts.metrics.count_pruned(removed)
    return Finding(text=f"{removed} messages removed", again_in=None if is_all else SOON)


def _back_up(folder: Path, parts: Parts, rest: Rest, report: Report) -> Finding:
    database = parts.settings.database_path
    target = folder / backups.name_of(database, parts.clock.now())
    backups.remove_left_over(folder, database)
    parts.store.backup(target)
    removed = backups.remove_old(folder, database, parts.settings.backup_keep)
    size = target.stat().st_size
    parts.metrics.note_backup(size)
    return Finding(text=f"{target.name}: {size:,} bytes; {removed} older ones removed")
