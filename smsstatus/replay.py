"""Feeding kept callbacks back to the store: the drainer thread and the `replay` command."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .callback import Callback, Malformed, Unusable, read_callback
from .logs import without_text
from .spool import NotReadable, Spool, read_file
from .store import Outcome, Store, StoreUnavailable, WorkRefused

DRAIN_SECONDS = 5.0
CORRECTING_SECONDS = 1.0

log = logging.getLogger(__name__)


class NotReplayable(Exception):
    """This callback can never be applied. The text says why."""


def replay_callback(store: Store, callback: Callback) -> Outcome:
    """Apply a kept callback; once more changes nothing.

    Raises NotReplayable, or StoreUnavailable (try again later).
    """
    try:
        outcome = store.record(read_callback(callback, source="replay"))
    except (Malformed, Unusable, WorkRefused) as error:
        raise NotReplayable(str(error)) from None
    if outcome is Outcome.NONCE_TAKEN:
        raise NotReplayable("its V2 nonce came with another body before")
    if outcome is Outcome.TEXT_TAKEN:
        raise NotReplayable("what Plivo signed was read as other fields before")
    return outcome


def replay_file(store: Store, path: Path) -> Outcome:
    """Apply a spool file. Raises NotReplayable, StoreUnavailable or OSError."""
    try:
        return replay_callback(store, read_file(path))
    except NotReadable as error:
        raise NotReplayable(str(error)) from None


def drain(store: Store, spool: Spool, stop: Callable[[], bool] = lambda: False) -> tuple[int, int]:
    """Replay the spool, oldest first; (files applied, files set aside).

    Raises StoreUnavailable or OSError at the first file that has to wait.
    """
    applied = set_aside = 0
    for path in spool.waiting():
        if stop():
            break
        try:
            replay_file(store, path)
            path.unlink(missing_ok=True)
            applied += 1
        except FileNotFoundError:
            continue  # another process of ours was faster
        except (StoreUnavailable, OSError):
            raise
        except Exception as error:  # also a mistake of ours: the files behind it must not wait
            reason = str(error) if isinstance(error, NotReplayable) else without_text(error)
            log.error("spool file %s set aside in bad/: %s", path.name, reason)
            spool.set_aside(path, reason)
            set_aside += 1
    return applied, set_aside


class Drainer:
    """A thread that empties the spool at start and whenever the store takes writes again.

    It also looks at the database as a newcomer would, which is how a file that was damaged behind
    the writer's back is noticed while callbacks still go well. And it corrects the rows of a file
    of an earlier version.
    """

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DRAIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._once()
            if not self._correct():
                self._stop.wait(DRAIN_SECONDS)

    def _once(self) -> None:
        try:
            self._store.look()
            applied, set_aside = drain(self._store, self._spool, self._stop.is_set)
        except (StoreUnavailable, OSError) as error:
            log.debug("spool not drained: %s", error)
            return
        except Exception as error:  # without this thread nothing is replayed any more
            log.error("spool not drained: a mistake in the program, %s", without_text(error))
            return
        if applied or set_aside:
            log.warning("spool drained: %d applied, %d set aside in bad/", applied, set_aside)

    def _correct(self) -> bool:
        """Correct rows for a second at most, then look after the spool again; is more left?"""
        end = time.monotonic() + CORRECTING_SECONDS
        try:
            while not self._stop.is_set() and time.monotonic() < end:
                if not self._store.correct_some():
                    return False
        except (StoreUnavailable, WorkRefused, sqlite3.Error) as error:
            log.debug("rows of an earlier version not corrected: %s", error)
            return False
        return True
