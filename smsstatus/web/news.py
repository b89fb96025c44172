"""Changes of status for whoever asks instead of being told, and waiting for the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .. import promise
from ..clock import Clock
from ..forwarding.payload import payload
from ..forwarding.signing import message_id
from ..store.outbox import Change, News, Outbox

MAX_WAITING = 4
"""Of the server's eight threads: others are left for the pages and for sending."""
LOOK_SECONDS = 0.5
"""How often is looked: another process may have written the change. It costs about 1 ms."""

_places = threading.BoundedSemaphore(MAX_WAITING)


def wait_for_news(
    outbox: Outbox,
    clock: Clock,
    after: str | None,
    limit: int,
    seconds: int,
    is_stopping: Callable[[], bool],
) -> News:
    """Changes after a cursor, once there are any, or none after so many seconds.

    Answers at once while MAX_WAITING others wait, and when the server stops. Raises as
    `Outbox.news`.
    """
    news = outbox.news(after, limit)
    if news.changes or not seconds or not _places.acquire(blocking=False):
        return news
    try:
        until = clock.monotonic() + seconds
        while not news.changes and clock.monotonic() < until and not is_stopping():
            if news.cursor == after:  # else there was more than it looks at in one go
                clock.sleep(LOOK_SECONDS)
            after = news.cursor
            with promise.answering():
                news = outbox.news(after, limit)
    finally:
        _places.release()
    return news


def change_json(change: Change) -> dict[str, Any]:
    """What a receiver is told, and the id that it would get as a header."""
    return {"id": message_id(change.digest), **payload(change)}
