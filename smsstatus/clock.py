"""The time, as one of the service's parts: a test passes a clock that it sets by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """For parts that wait, or ask how long ago something was."""

    def now(self) -> datetime:
        """The time of day, in UTC. It may jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment. They never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
