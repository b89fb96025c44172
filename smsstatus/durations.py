"""Time spans as people write them: 90s, 15m, 36h, 3d. For settings and for commands."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_duration(text: str) -> timedelta | None:
    """A whole number of 1 or more and its unit; None if it is not that, or has too many digits."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if match is None or (match[2] == "d" and len(match[1]) > 4):
        return None
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
