"""The thread that brings the spool to the store, and looks after the store meanwhile."""

from __future__ import annotations

import logging
import threading
import time

from ..logs import without_text
from ..model import utc_now
from ..store.contract import Store, StoreError, StoreUnavailable
from .replay import Replayed, drain
from .spool import Spool

DRAIN_SECONDS = 5.0
CORRECTING_SECONDS = 1.0
PASS_FILES = 5000
"""After this many files or DRAIN_SECONDS the spool is listed again."""

log = logging.getLogger(__name__)


class Drainer:
    """A thread that empties the spool at start and whenever the store is writable again.

    Of the processes that share a spool's folder, one does that.

    It also counts the spool's files, and looks at the database as a newcomer would, which is how a
    file that was damaged behind the writer's back is noticed while callbacks still go well. And it
    corrects the rows of a file of an earlier version.
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
            try:
                with self._spool.hold() as is_ours:
                    self._work(drains=is_ours)
            except OSError as error:  # twice is no harm: the store knows what it has
                log.debug("not known whether another process drains the spool: %s", error)
                self._pass(drains=True)

    def _work(self, *, drains: bool) -> None:
        """Until the end; where another process drains, once: it may have ended since."""
        self._pass(drains=drains)
        while drains and not self._stop.is_set():
            self._pass(drains=True)

    def _pass(self, *, drains: bool) -> None:
        more_files = self._once(drains=drains)
        self._tidy()
        if not self._correct() and not more_files:
            self._stop.wait(DRAIN_SECONDS)

    def _once(self, *, drains: bool) -> bool:
        """Is there more to do at once?"""
        until = time.monotonic() + DRAIN_SECONDS
        try:
            names = self._spool.list_files(PASS_FILES) if drains else []
            self._store.look()
            replayed = drain(
                self._store,
                self._spool,
                lambda: self._stop.is_set() or time.monotonic() > until,
                names,
            )
        except (StoreUnavailable, OSError) as error:
            log.debug("spool not drained: %s", error)
            return False
        except Exception as error:  # without this thread nothing is replayed any more
            log.error("spool not drained: a mistake in the program, %s", without_text(error))
            return False
        if replayed != Replayed(stuck=replayed.stuck):  # what is stuck has its line
            log.warning("spool drained: %s", replayed)
        return len(names) == PASS_FILES or time.monotonic() > until

    def _tidy(self) -> None:
        """By itself, so that a disk too full for it keeps nothing from being drained."""
        try:
            self._spool.tidy_bad()
        except OSError as error:
            log.debug("bad/ not tidied: %s", error)

    def _correct(self) -> bool:
        """Correct rows for a second at most, then look after the spool again; is more left?

        It rests as long as it works, so that callbacks have the better part of the processor.
        """
        end = time.monotonic() + CORRECTING_SECONDS
        try:
            while not self._stop.is_set() and time.monotonic() < end:
                began = time.monotonic()
                if not self._store.correct_some(utc_now()):
                    return False
                self._stop.wait(time.monotonic() - began)
        except StoreError as error:
            log.debug("rows of an earlier version not corrected: %s", error)
            return False
        return True
