"""Where log lines go, what must not be in them, and how many refusals are worth a line."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from .log_stream import Unhurried
from .plivo.form import Pairs

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INVALID = "Invalid request from ip="
_REFUSED_WITH = {
    "LimitRequestLine": 414,
    "LimitRequestHeaders": 431,
    "ExpectationFailed": 417,
    "ForbiddenProxyRequest": 403,
    "SSLError": 403,
    "UnsupportedTransferCoding": 501,
    "ConfigurationProblem": 500,
}
"""What gunicorn answers when its parser raises these; otherwise 400. Its log does not say."""

log = logging.getLogger(__name__)


def configure(level: str) -> None:
    """Send this package's log lines to stderr, one line each, times in UTC."""
    logger = logging.getLogger("smsstatus")
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = logging.StreamHandler(Unhurried(sys.stderr))
        handler.setFormatter(_OneLine(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S"))
        logger.addHandler(handler)


def let_gunicorn_not_wait() -> None:
    """Have its lines, too, left out where nobody takes them: its master starts new workers."""
    for name in ("gunicorn.error", "gunicorn.access"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.stream = Unhurried(handler.stream)


class _OneLine(logging.Formatter):
    """Text from a request must not be able to start a line of its own."""

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _CONTROLS.sub("?", super().formatMessage(record))


def without_values(url: str, query: Pairs) -> str:
    """The URL with the query's names but not its values, which can be phone numbers.

    A name cannot look like a callback's record, which `replay` would treat as one that was cut.
    """
    if not query:
        return url
    names = [re.sub(r"[^\w.]", "?", name[:40], flags=re.ASCII) for name, _ in query[:30]]
    return url + "?" + "&".join([f"{name}=..." for name in names])


def without_text(error: Exception) -> str:
    """What went wrong and where, but not the error's text, which can hold values of a request."""
    places = traceback.extract_tb(error.__traceback__)
    where = " < ".join([f"{Path(p.filename).name}:{p.lineno}" for p in reversed(places[-4:])])
    return f"{type(error).__name__} at {where}"


def names_of(headers: Iterable[str]) -> str:
    """Header names for a log line; a stranger chose them, so their number is limited."""
    return ", ".join([name[:60] for name in sorted(headers)[:40]])


def more(left_out: int) -> str:
    """The end of a line that a RateLimit let through."""
    return f"; {left_out} more since the last such line" if left_out else ""


class RateLimit:
    """Lets `lines` through in each `seconds` of its clock, and counts those it left out."""

    def __init__(
        self,
        lines: int = 10,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lines = lines
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._window_ends = 0.0
        self._let_through = 0
        self._left_out = 0

    def allow(self) -> int | None:
        """None: leave this line out. Otherwise how many were left out since the last one."""
        with self._lock:
            now = self._clock()
            if now >= self._window_ends:
                self._window_ends = now + self._seconds
                self._let_through = 0
            if self._let_through == self._lines:
                self._left_out += 1
                return None
            self._let_through += 1
            left_out, self._left_out = self._left_out, 0
            return left_out

    def log(self, write: Callable[..., object], text: str, *arguments: object) -> None:
        """Have `write`, which is log.error or the like, log a line, unless it is left out."""
        left_out = self.allow()
        if left_out is not None:
            write(f"{text}%s", *arguments, more(left_out))


def keep_requests_out(count_refused: Callable[[int, str], None]) -> None:
    """Have gunicorn and werkzeug log nothing of a request but its method and path.

    The loggers are those of the process, so this holds before the first request and under every
    worker class. What gunicorn refuses is counted with its answer and the class of its fault.
    """
    _without_request.install(count_refused)
    let_gunicorn_not_wait()
    logging.getLogger("gunicorn.access").addFilter(_without_query_in_gunicorns)
    logging.getLogger("werkzeug").addFilter(_without_query_in_werkzeugs)


class _WithoutRequest(logging.Filter):
    """For gunicorn's log: it quotes requests it cannot read, with the numbers or tokens in them.

    The application never sees those, so they are counted here and get a line of our own, which says
    what kind of fault it is. And gunicorn treats a client that did not read its answer in time as
    an error of ours, and logs each error of ours with a traceback, which shows texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._untaken = RateLimit()
        self._refusals = RateLimit()
        self._mistakes = RateLimit()
        self._shown_from = logging.NOTSET
        self._count_refused: Callable[[int, str], None] | None = None

    def install(self, count_refused: Callable[[int, str], None]) -> None:
        self._count_refused = count_refused
        logger = logging.getLogger("gunicorn.error")
        if logger.level > logging.WARNING:  # a filter sees only what the logger's level lets in
            self._shown_from = logger.level
            logger.setLevel(logging.WARNING)
        logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_INVALID):
            self._tell(message.removeprefix(_INVALID).partition(": ")[0])
            return False
        if record.levelno < self._shown_from:
            return False
        if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
            left_out = self._untaken.allow()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg = f"a client did not take its answer{more(left_out or 0)}"
            record.args = record.exc_info = record.exc_text = None
            return left_out is not None
        if message.startswith("Error handling request"):
            left_out = self._mistakes.allow()
            error = record.exc_info[1] if record.exc_info else None
            what = f": {without_text(error)}" if isinstance(error, Exception) else ""
            record.msg = f"{message.partition('?')[0]}{what}{more(left_out or 0)}"
            record.args = ()
            record.exc_info = record.exc_text = None
            return left_out is not None
        if message.startswith("Ignored premature client disconnection."):
            record.msg, record.args = message.partition(".")[0], ()
        return True

    def _tell(self, client: str) -> None:
        """gunicorn logs while it handles the exception, whose class is the fault."""
        reason = type(sys.exception()).__name__
        answer = _REFUSED_WITH.get(reason, 400)
        if self._count_refused is not None:
            self._count_refused(answer, reason)
        self._refusals.log(
            log.warning,
            "refused with %d before the application saw it: %s, from %s",
            answer,
            reason,
            client or "a socket",
        )


_without_request = _WithoutRequest()


def _without_query_in_gunicorns(record: logging.LogRecord) -> bool:
    """Its access log has the query and the referer, unless the project's configuration is used.

    The path is decoded, so it can hold a line break or an escape sequence.
    """
    if isinstance(record.args, dict):
        record.args.update(r="{m} {U} {H}".format_map(record.args), q="", f="-")
    record.msg, record.args = _CONTROLS.sub("?", record.getMessage()), ()
    return True


def _without_query_in_werkzeugs(record: logging.LogRecord) -> bool:
    """Its line for a request has the query; it quotes what it cannot read in another line."""
    if " - - [" not in str(record.msg) or not isinstance(record.args, tuple):
        return True
    if len(record.args) != 3:
        return False
    request, *rest = record.args
    readable = re.match(r"(?:\x1b\[\d+m)*([A-Z]+ /[^\s?\x1b]*)", str(request))
    record.args = (readable[1] if readable else "a request that cannot be read", *rest)
    return True
