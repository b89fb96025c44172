"""The end of a process whose disk is not kept: its spool goes to the store, the rest to the log."""

from __future__ import annotations

import logging
import time

from ..logs import without_text
from ..notation import visible
from ..plivo.callback import Callback
from ..store.contract import StoreUnavailable
from .keep import Places, keep_in_log_too
from .records import Line, read_file
from .replay import drain

LEAVING_SECONDS = 9.0
"""All of it; a host waits for a process to end, 30 s most often, and then kills it."""
_LOGGING_SECONDS = 4.5
"""Of those, kept for the log: the store's last answer can take 3 s."""

log = logging.getLogger(__name__)


def leave_nothing(places: Places, began: float) -> None:
    """Empty the spool within LEAVING_SECONDS of `began` (time.monotonic()). Never raises.

    Several processes that end together may do it at once, since the store knows what it has.
    """
    end = began + LEAVING_SECONDS
    try:
        drain(places.store, places.spool, lambda: time.monotonic() > end - _LOGGING_SECONDS)
    except (StoreUnavailable, OSError) as error:
        log.debug("spool not drained at the end: %s", error)
    except Exception as error:  # a mistake of ours must not keep the rest from the log
        log.error("spool not drained at the end: a mistake in the program, %s", without_text(error))
    try:
        left = _log_what_is_left(places, end)
    except Exception as error:
        log.error("the spool is left on a disk that is not kept: %s", without_text(error))
    else:
        if left:
            log.warning("%d spooled callbacks are in lines of the log, for `replay`", left)


def _log_what_is_left(places: Places, end: float) -> int:
    """Most of it was written to the log when it came, and is not written again."""
    left = 0
    for name in places.spool.list_files(every=True):
        for line in _lines_of(places, name):
            if time.monotonic() > end:
                raise TimeoutError
            if isinstance(line.found, Callback):  # if one fails, the next can be shorter
                left += keep_in_log_too(places, line.found)
    return left


def _lines_of(places: Places, name: str) -> list[Line]:
    """None if another process was faster, or if the file cannot be read."""
    try:
        return read_file(places.spool.folder / name)
    except FileNotFoundError:
        pass
    except OSError as error:
        text = "spool file %s is left on a disk that is not kept: %s"
        log.error(text, visible(name), without_text(error))
    return []
