"""What is counted and looked at in the background, so that no request has to; and the heartbeat."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from math import inf

from ..clock import Clock
from ..logs import without_text
from ..model import timestamp, utc_now
from ..store.contract import Store, StoreError
from ..store.runs import BEFORE_FIRST

LOOK_SECONDS = 1.0
COUNT_SECONDS = 5.0
COUNT_SHARE = 100
COUNT_AGAIN_SECONDS = 300.0
"""At most, after a count that failed: the database may just have been away."""
SUM_SECONDS = 0.1
FIRST_SECONDS = 60.0
DAY_SECONDS = 86_400.0
AT_MOST_SECONDS = 30.0
"""How long the daily look at the file may take: it costs as much as reading all of it."""
DAMAGED_SECONDS = 600.0
"""The same once a write or a count has met damage."""
AGAIN_SECONDS = 60.0
"""How soon a damaged file is looked at again."""
BEAT_SECONDS = 60.0
DOWN = timedelta(minutes=3)
"""Who was away for less has missed nothing: Plivo tries a callback again for seven minutes."""

log = logging.getLogger(__name__)


class Caretaker:
    """A thread that counts messages, and looks for damage: once a day, and when somebody met some.

    It also remembers each minute that the service is up, so that an outage is known later, and
    warns once of a database that may lose what it has committed: nobody waits for it at start.
    Counting reads a whole index, so it is given 1% of the time at most.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._next_count = self._next_beat = self._next_sum = 0.0
        self._next_look = clock.monotonic() + FIRST_SECONDS
        self._is_engine_known = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LOOK_SECONDS)

    def _run(self) -> None:
        while True:
            for task in (self._warn, self._beat, self._count, self._sum_up, self._examine):
                try:
                    task()
                except (StoreError, OSError) as error:
                    log.debug("database not looked at: %s", error)
                except Exception as error:  # without this thread nothing is looked at any more
                    log.error("a mistake in the program, %s", without_text(error))
            if self._stop.wait(LOOK_SECONDS):
                return

    def _warn(self) -> None:
        if not self._is_engine_known:
            engine = self._store.engine()
            self._is_engine_known = True
            if engine.may_lose:
                log.warning("%s %s %s", engine.name, engine.version, engine.warning)

    def _beat(self) -> None:
        began = self._clock.monotonic()
        if began >= self._next_beat:
            beat(self._store, self._clock)
            self._next_beat = began + BEAT_SECONDS

    def _count(self) -> None:
        began = self._clock.monotonic()
        if began >= self._next_count:
            at_most = COUNT_AGAIN_SECONDS
            try:
                self._store.count_again()
                at_most = inf
            finally:
                rest = COUNT_SHARE * (self._clock.monotonic() - began)
                self._next_count = began + max(COUNT_SECONDS, min(rest, at_most))

    def _sum_up(self) -> None:
        """Hours that are over, for a part of each second; where none is left, look again later."""
        end = self._clock.monotonic() + SUM_SECONDS
        while end - SUM_SECONDS >= self._next_sum and not self._stop.is_set():
            if not self._store.sum_up_some(utc_now()):
                self._next_sum = self._clock.monotonic() + FIRST_SECONDS
            elif self._clock.monotonic() > end:
                return

    def _examine(self) -> None:
        is_suspect = self._store.take_suspicion() and not self._store.damage
        if not is_suspect and self._clock.monotonic() < self._next_look:
            return
        self._next_look = self._clock.monotonic() + DAY_SECONDS
        self._store.examine(DAMAGED_SECONDS if is_suspect else AT_MOST_SECONDS)
        if self._store.damage:  # until somebody has put a backup in its place
            self._next_look = self._clock.monotonic() + AGAIN_SECONDS


def beat(store: Store, clock: Clock) -> None:
    """Remember that the service is up, and since when it was not. Raises StoreError."""
    now = clock.now()
    store.runs.beat(
        timestamp(now),
        down_before=timestamp(now - DOWN),
        first_since=timestamp(now - BEFORE_FIRST),
    )
