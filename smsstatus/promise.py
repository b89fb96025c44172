"""Every callback is answered within 5 s, whatever hangs: how long each place may take for that.

Plivo waits 8 s for an answer. A callback waits for the store at most once, then for the spool, then
for the log. What is answered by reading may read several times: all of it has one bound.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PROMISED_SECONDS = 5.0

STORE_SECONDS = 3.0
STATEMENT_SECONDS = STORE_SECONDS - 0.5
"""For a database server's answer: half a second less than whoever waits for the commit has."""
SPOOL_SECONDS = 1.0
LOG_SECONDS = 0.5

SPARE_SECONDS = PROMISED_SECONDS - STORE_SECONDS - SPOOL_SECONDS - LOG_SECONDS
"""What is left for all else."""

CONNECT_SECONDS = 2.0
"""For one address of a database server; psycopg takes no less."""
READ_SECONDS = 4.0
"""For all that one answer reads; a connection that is too slow is cut up to 0.25 s later."""


class _Answer(threading.local):
    """The one that a thread is about to give."""

    until = math.inf


_answer = _Answer()


@contextmanager
def answering() -> Iterator[None]:
    """All that this thread reads in the block has READ_SECONDS together."""
    before = _answer.until
    _answer.until = time.monotonic() + READ_SECONDS
    try:
        yield
    finally:
        _answer.until = before


def over_at() -> float:
    """When the time for this thread's answer is over, which tells it from the thread's next one;
    inf where nobody waits for an answer.
    """
    return _answer.until


def seconds_left(at_most: float = math.inf) -> float:
    """For what this thread reads now; without bound where nobody waits for its answer."""
    return max(min(_answer.until - time.monotonic(), at_most), 0.0)
