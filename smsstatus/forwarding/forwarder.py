"""The one that forwards: a thread that claims changes, and has them sent and judged.

Each change is sent at least once, those of one message in their order. While what came of attempts
cannot be written nothing more is claimed or begun: a full disk would otherwise become a storm of
duplicates.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from ..clock import Clock
from ..logs import RateLimit, without_text
from ..metrics import Metrics
from ..model import timestamp
from ..settings import Settings
from ..store.contract import StoreError
from ..store.outbox import AT_ONCE, MAX_CLAIMED, Claimed, Condition, Outbox
from .deliver import Answer, Receiver
from .judge import Judge
from .request import request_of
from .results import Results
from .workers import Attempt, Workers

LOOK_SECONDS = 1.0
"""How often the outbox is looked at unasked: another process may have written to it."""
SPARE_SECONDS = 1.0
"""What is not begun so long after it was claimed is given back: it may have been skipped since."""
NOTE_SECONDS = 5.0
"""How often it is noted at most how it goes with the receiver."""
GRACE_SECONDS = 1.0
"""An attempt that is not over so long after its time hangs in the lookup of a name."""
STOP_SECONDS = 5.0
"""How long attempts that are under way may take once the service stops."""
WRITE_SECONDS = 3.5
"""How long it may take after that to write what came of them."""
LONG_AGO = "0001-01-01T00:00:00.000000Z"

log = logging.getLogger(__name__)


class Forwarder:
    """Sends the outbox's changes to FORWARD_URL. `chance` draws a number from 0 up to 1."""

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        assert settings.forward_url is not None
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._host = urlsplit(settings.forward_url).hostname
        self._receiver = Receiver(settings.forward_url, settings.forward_timeout)
        self._inbox = queue.SimpleQueue["Attempt | None"]()
        self._workers = Workers(settings.forward_concurrency, self._send, self._inbox.put)
        self._results = Results(outbox, clock)
        self._judging = Judge(outbox, settings, metrics, clock, chance, self._results)
        self._brake = self._judging.brake
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._complaints = RateLimit()
        self._claimed: deque[tuple[Claimed, float]] = deque()
        """What is claimed and not begun, and when it was claimed."""
        self._look_at = 0.0
        self._newest_first = False
        self._is_woken = False
        self._is_hastening = False
        self._opened_at = self._hasten_since = LONG_AGO
        """When the brake was opened last, and since when what is hastened failed first."""
        self._stop_at: float | None = None
        self._noted = Condition()
        self._note_at = 0.0

    def start(self) -> None:
        """Begin. RuntimeError if the host allows no more threads."""
        self._thread.start()
        self._outbox.on_change(self.wake)
        log.info("changes are forwarded to %s", self._host)

    def wake(self) -> None:
        """There is something to send."""
        if not self._is_woken:
            self._is_woken = True
            self._inbox.put(None)

    def begin_to_stop(self) -> None:
        """Claim no more, and wait for nothing."""
        if self._stop_at is None:
            self._stop_at = self._clock.monotonic() + STOP_SECONDS
            self._inbox.put(None)

    def stop(self) -> None:
        """Claim no more, wait a while for what is under way, and write what came of it."""
        self.begin_to_stop()
        self._thread.join(STOP_SECONDS + WRITE_SECONDS)

    def _run(self) -> None:
        while not self._has_ended():
            try:
                self._step()
            except StoreError as error:
                self._look_at = self._clock.monotonic() + LOOK_SECONDS
                self._complaints.log(log.warning, "forwarding waits for the database: %s", error)
            except Exception as error:  # without this thread nothing is forwarded any more
                self._look_at = self._clock.monotonic() + LOOK_SECONDS
                log.error("forwarding: a mistake in the program, %s", without_text(error))
        self._workers.end()
        self._receiver.close()
        try:
            self._results.write(at_once=True)
            self._note(at_once=True)
            if not self._workers.under_way:  # else another one would send the same beside it
                self._outbox.release()
        except StoreError as error:
            log.warning("forwarding: what came of the last attempts is not written: %s", error)

    def _has_ended(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._workers.under_way or self._clock.monotonic() >= self._stop_at

    def _step(self) -> None:
        self._take_answers(self._pause())
        self._give_up_late_ones()
        if self._results.write():
            self._look_at = 0.0  # the next change of a message may go now
        self._note()
        if self._stop_at is None:
            self._hasten()
            self._give_back()
            self._claim()
            self._begin()

    def _pause(self) -> float:
        """Seconds until there is something to do, unless an answer or a change comes before."""
        now = self._clock.monotonic()
        moments = [now + LOOK_SECONDS]
        if self._results.due_at is not None:
            moments.append(self._results.due_at)
        if self._stop_at is not None:
            moments.append(self._stop_at)
        elif not self._results.are_blocked:
            rests_until = self._brake.rests_until
            if self._is_hastening:
                moments.append(self._look_at)
            if self._claimed and rests_until > now:
                moments.append(rests_until)
            if not self._claimed and self._room(max(now, rests_until)):
                moments.append(max(self._look_at, rests_until))
        return max(min(moments) - now, 0.0)

    def _room(self, now: float) -> int:
        return self._brake.room(len(self._workers.under_way), now)

    def _take_answers(self, seconds: float) -> None:
        try:
            attempt = self._inbox.get(timeout=seconds)
            while True:
                if attempt is None:
                    self._is_woken = False
                    self._look_at = 0.0
                elif self._workers.is_done(attempt):
                    self._judge(attempt)
                attempt = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _give_up_late_ones(self) -> None:
        late = self._clock.monotonic() - self._receiver.seconds - GRACE_SECONDS
        for attempt in self._workers.give_up(begun_before=late):
            attempt.answer = Answer("timeout", self._receiver.seconds)
            self._judge(attempt)

    def _judge(self, attempt: Attempt) -> None:
        if self._judging.judge(attempt):
            if not self._is_hastening:
                self._hasten_since = self._opened_at
            self._is_hastening = True
            self._opened_at = timestamp(self._clock.now())

    def _note(self, *, at_once: bool = False) -> None:
        now = self._clock.monotonic()
        condition = self._judging.condition
        if condition == self._noted or not (at_once or now >= self._note_at):
            return
        self._note_at = now + NOTE_SECONDS
        self._outbox.note(condition)
        self._noted = condition

    def _may_look(self) -> bool:
        return not self._results.are_blocked and self._clock.monotonic() >= self._look_at

    def _hasten(self) -> None:
        """The receiver is back: what has failed is due now, once that is written.

        Not what had failed before it was back the last time, which it takes perhaps never: a block
        of such changes would shut the brake again each time.
        """
        if self._is_hastening and self._may_look():
            self._results.write(at_once=True)
            now = timestamp(self._clock.now())
            self._is_hastening = self._outbox.hasten(now, self._hasten_since) >= AT_ONCE

    def _give_back(self) -> None:
        """Give back what is not begun soon, or was to be before the receiver began to fail."""
        if not self._claimed or self._results.are_blocked:
            return
        too_long_ago = self._clock.monotonic() - SPARE_SECONDS
        if self._brake.is_shut or self._claimed[0][1] <= too_long_ago:
            self._outbox.give_back([claimed for claimed, _ in self._claimed])
            self._claimed.clear()
            self._look_at = 0.0

    def _claim(self) -> None:
        """Claim what can begin now, and as much again, so that no worker waits for the database.

        Where more is due than was asked for, every second time the newest that were not tried yet:
        what has just happened does not wait behind what is days old, nor, while a receiver fails,
        behind a block of changes that it refuses.
        """
        now = self._clock.monotonic()
        room = self._room(now) - len(self._claimed)
        if room <= 0 or not self._may_look():
            return
        limit = min(room if self._brake.is_shut else room + self._brake.width, MAX_CLAIMED)
        newest_first = self._newest_first
        found = self._outbox.claim(timestamp(self._clock.now()), limit, newest_first=newest_first)
        self._claimed.extend([(claimed, now) for claimed in found])
        is_catching_up = newest_first or len(found) == limit
        self._newest_first = is_catching_up and not newest_first
        self._look_at = 0.0 if is_catching_up else now + LOOK_SECONDS

    def _begin(self) -> None:
        if self._results.are_blocked:
            return
        now = self._clock.monotonic()
        for _ in range(self._room(now)):
            if not self._claimed or not self._workers.is_one_free():
                return
            self._workers.begin(self._claimed.popleft()[0], now)

    def _send(self, claimed: Claimed) -> Answer:
        """In a worker."""
        return self._receiver.post(*request_of(self._settings, claimed.change, self._clock.now()))
