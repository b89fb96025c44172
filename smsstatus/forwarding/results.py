"""What came of attempts, on its way into the store."""

from __future__ import annotations

import logging

from ..clock import Clock
from ..store.contract import WorkRefused
from ..store.outbox import Outbox, Settlement

GROUP_SECONDS = 0.05
GROUP_SIZE = 64
"""They are written together after so long, or once there are so many."""
AGAIN_SECONDS = 1.0
"""How soon those that could not be written are tried again."""

log = logging.getLogger(__name__)


class Results:
    """Collects settlements, and writes them in groups. Used from one thread."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._waiting: list[Settlement] = []
        self._write_at = 0.0
        self.are_blocked = False
        """Could the last group not be written?"""

    @property
    def due_at(self) -> float | None:
        """When the next group is to be written; None: there is none."""
        return self._write_at if self._waiting else None

    def add(self, settlement: Settlement) -> None:
        if not self._waiting:
            self._write_at = self._clock.monotonic() + GROUP_SECONDS
        self._waiting.append(settlement)
        if len(self._waiting) == GROUP_SIZE and not self.are_blocked:
            self._write_at = 0.0

    def write(self, *, at_once: bool = False) -> bool:
        """Write a group that is due; was there one? Raises StoreUnavailable, and keeps it then."""
        now = self._clock.monotonic()
        if not self._waiting or not (at_once or now >= self._write_at):
            return False
        self._write_at = now + AGAIN_SECONDS
        self.are_blocked = True
        try:
            self._outbox.settle(self._waiting)
        except WorkRefused:
            self._write_one_by_one()
        self._waiting = []
        self.are_blocked = False
        return True

    def _write_one_by_one(self) -> None:
        """One that is refused is sent again once its claim has expired."""
        while self._waiting:
            try:
                self._outbox.settle(self._waiting[:1])
            except WorkRefused as error:
                log.error("forwarding: the result of an attempt was refused: %s", error)
            del self._waiting[0]
