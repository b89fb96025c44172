"""Feeding kept callbacks back to the store, for the drainer thread and the `replay` command."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..logs import without_text
from ..notation import visible
from ..plivo.callback import Callback
from ..store.contract import Store, StoreUnavailable, WorkRefused
from .keep import Place, put_in_store
from .last_resort import read_log
from .records import Line, NotReadable, read_file, read_record
from .spool import Spool

TRIAL_SECONDS = 3.0
"""How long a store that refused a file is asked whether it takes others: longer than it rests."""

Lines = Sequence[Line]

log = logging.getLogger(__name__)


class NotReplayable(Exception):
    """This callback can never be applied. The text says why."""


@dataclass
class Replayed:
    """What became of the callbacks of a spool or a log."""

    applied: int = 0
    known: int = 0
    unreadable: int = 0
    refused: int = 0
    """Read, but not to be applied, ever."""
    stuck: int = 0
    """Not to be applied now."""

    def count(self, place: Place) -> None:
        if place is Place.DUPLICATE:
            self.known += 1
        else:
            self.applied += 1

    @property
    def complete(self) -> bool:
        return not (self.unreadable or self.refused or self.stuck)

    def __str__(self) -> str:
        return (
            f"{self.applied} applied, {self.known} already known, {self.unreadable} unreadable"
            + (f", {self.refused} cannot be applied" if self.refused else "")
            + (f", {self.stuck} cannot be applied now" if self.stuck else "")
        )


def replay_callback(store: Store, callback: Callback) -> Place:
    """Apply a kept callback; once more changes nothing.

    Raises NotReplayable, or StoreUnavailable (try again later).
    """
    kept = put_in_store(store, partial(read_record, callback))
    if kept.place is Place.NOT_NOW:
        raise StoreUnavailable(kept.reason)
    if kept.reason:
        raise NotReplayable(kept.reason)
    return kept.place


def replay_file(store: Store, path: Path, replayed: Replayed) -> None:
    """Apply the callbacks in a spool file. Counts in `replayed` what goes.

    Raises the first NotReadable or NotReplayable once all were tried, StoreUnavailable or OSError.
    """
    trouble: NotReadable | NotReplayable | None = None
    for line in read_file(path):
        try:
            replayed.count(_replay_line(store, line))
        except (NotReadable, NotReplayable) as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble


def _replay_line(store: Store, line: Line) -> Place:
    if isinstance(line.found, NotReadable):
        raise line.found
    return replay_callback(store, line.found)


def replay_log(
    store: Store, lines: Iterable[str], tokens: Iterable[str], replayed: Replayed
) -> Iterator[str]:
    """Apply the callbacks in a log; a line of text for each that cannot be. Counts in `replayed`.

    Raises StoreUnavailable, and what `lines` raises.
    """
    for found in read_log(lines, tokens):
        if isinstance(found, NotReadable):
            replayed.unreadable += 1
            yield str(found)
            continue
        try:
            replayed.count(replay_callback(store, found))
        except NotReplayable as error:
            replayed.refused += 1
            yield f"a callback received at {found.received_at} cannot be applied: {error}"


def drain(
    store: Store,
    spool: Spool,
    stop: Callable[[], bool] = lambda: False,
    names: Iterable[str] | None = None,
) -> Replayed:
    """Replay the spool, or these of its files, oldest first.

    What cannot go now is passed by, in a file of its own, and tried again later. Once the store has
    refused one such file again, the others are left: each refusal costs the store a rest, in which
    live callbacks are spooled. Raises StoreUnavailable if the store takes nothing, and OSError
    without a spool.
    """
    replayed = Replayed()
    refused_again = False
    for name in spool.list_files() if names is None else names:
        was_stuck = name in spool.stuck
        if stop():
            break
        if was_stuck and refused_again:
            continue
        try:
            refused_again |= _drain_file(store, spool, name, replayed, stop) and was_stuck
        except OSError as error:
            if not os.path.lexists(spool.folder / name):
                continue  # another process of ours was faster
            replayed.stuck += 1
            spool.pass_by(name, f"{type(error).__name__}: {error.strerror}")
    return replayed


def _drain_file(
    store: Store, spool: Spool, name: str, replayed: Replayed, stop: Callable[[], bool]
) -> bool:
    """Replay a file; was one of its records refused for now?

    Raises StoreUnavailable if the store takes nothing, or OSError if the file has to wait.
    """
    lines = read_file(spool.folder / name)
    left = deque(lines)
    stuck: list[tuple[Line, str]] = []
    refused = False
    try:
        while left and not stop():
            try:
                _drain_line(store, spool, name, left[0], replayed)
            except StoreUnavailable as error:
                if not _takes_others(store, stop):
                    raise
                refused = True
                stuck.append((left[0], str(error)))
            except OSError as error:
                stuck.append((left[0], f"{type(error).__name__}: {error.strerror}"))
            left.popleft()
    finally:
        replayed.stuck += len(stuck)
        if len(left) < len(lines):
            _leave(spool, name, lines, left, stuck)
    return refused


def _drain_line(store: Store, spool: Spool, name: str, line: Line, replayed: Replayed) -> None:
    """Raises StoreUnavailable or OSError if this record has to wait."""
    try:
        replayed.count(_replay_line(store, line))
    except (StoreUnavailable, OSError):
        raise
    except Exception as error:  # also a mistake of ours: what is behind it must not wait
        foreseen = isinstance(error, NotReadable | NotReplayable)
        reason = str(error) if foreseen else without_text(error)
        spool.set_aside(line, reason)
        if isinstance(error, NotReadable):
            replayed.unreadable += 1
        else:
            replayed.refused += 1
        spool.lines.log(log.error, "spool file %s set aside in bad/: %s", visible(name), reason)


def _leave(
    spool: Spool, name: str, lines: Lines, left: Lines, stuck: Sequence[tuple[Line, str]]
) -> None:
    """Leave of a file what has to wait, each that is stuck in a file of its own. Raises OSError."""
    if stuck and len(lines) == 1:
        names = [name]
    else:
        names = spool.split(name, [*([line] for line, _ in stuck), left])
    for new, (_, reason) in zip(names, stuck, strict=False):
        spool.pass_by(new, reason)


def _takes_others(store: Store, stop: Callable[[], bool]) -> bool:
    """The store refused a file: is it that one, or does it take nothing?

    After a failure the store rests and refuses all for a moment.
    """
    until = time.monotonic() + TRIAL_SECONDS
    while not stop():
        try:
            store.probe()
            return True
        except StoreUnavailable:
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        except WorkRefused:
            break
    return False
