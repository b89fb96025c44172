"""A clock that a test turns by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from smsstatus.clock import Clock


class HandClock(Clock):
    """Stands still until it is turned; who sleeps by it turns it. At first it is right."""

    def __init__(self, moment: datetime | None = None) -> None:
        self.elapsed = 1000.0
        self._moment = moment or datetime.now(UTC)
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return self._moment

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.turn(seconds)

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed += seconds
        self._moment += timedelta(seconds=seconds)
