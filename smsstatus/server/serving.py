"""Between the WSGI server and the application, whichever server that is.

Only the project's gunicorn worker keeps deadlines for slow clients. Everything else that the
promise needs comes with the application: under any server a 200 means the same, and the background
work starts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from gunicorn.config import Config

    from ..service import Service


class Server(NamedTuple):
    """What serves this process; /readyz shows it under these names."""

    worker: str
    """The class of gunicorn's worker, or the name that another server gives itself."""
    deadlines: bool
    """Is a client that stalls disconnected?"""
    several: bool
    """Is this one process of several, each with its own /metrics?"""

    def warnings(self, *, take_turns: bool) -> Iterable[str]:
        """What is missing, one line each. `take_turns`: can only one process write at a time?"""
        if not self.deadlines:
            yield (
                f"{self.worker} keeps no deadlines, so clients that stall can block all of it; "
                "start `smsstatus serve`, or `gunicorn wsgi:app` in the project's folder, with no "
                "other -c and no -k"
            )
        if self.several and take_turns:
            yield (
                "several processes serve: nothing is lost, but /metrics shows one of them by "
                "chance, and they wait for one another to write; one process is faster"
            )


def gunicorn_server(config: Config) -> Server:
    """gunicorn with these settings. A worker class that has deadlines says so itself."""
    return Server(
        config.worker_class_str,
        deadlines=getattr(config.worker_class, "keeps_deadlines", False),
        several=config.workers > 1,
    )


running: Server | None = None
"""Set by a server that knows this package; otherwise taken from the first request."""

replaces_another = False
"""Is this process there for one that has served? Then it has to serve as well as it can."""

_announced = False


def announce(server: Server, log: logging.Logger, *, take_turns: bool) -> None:
    """Log the warnings once: processes that are forked later do not repeat them."""
    global _announced
    if not _announced:
        _announced = True
        for warning in server.warnings(take_turns=take_turns):
            log.warning("%s", warning)


class BackgroundStarter:
    """WSGI middleware: the first request starts the background work, if the server has not.

    Nothing earlier proves that this process serves, and is not one that will be forked.
    """

    def __init__(self, application: WSGIApplication, service: Service) -> None:
        self._application = application
        self._service = service
        self._started_in = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._started_in != os.getpid() and self._start(environ):
            self._started_in = os.getpid()
        return self._application(environ, start_response)

    def _start(self, environ: WSGIEnvironment) -> bool:
        global running
        running = running or Server(
            worker=environ.get("SERVER_SOFTWARE") or "this WSGI server",
            deadlines=False,
            several=bool(environ.get("wsgi.multiprocess")),
        )
        return self._service.start()


class PrefixRemover:
    """WSGI middleware: removes BASE_URL's path prefix where the proxy in front has not.

    None of our routes begins with it (settings.ROUTES), so a path that does still has it.
    """

    def __init__(self, application: WSGIApplication, prefix: str) -> None:
        self._application = application
        self._prefix = unquote(prefix, "latin-1")  # as PATH_INFO is, PEP 3333

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            # The pages' links are relative, so they need the slash.
            location = self._prefix.rpartition("/")[2] + "/"
            headers = [("Location", quote(location, "/", "latin-1")), ("Content-Length", "0")]
            start_response("308 Permanent Redirect", headers)
            return []
        if path.startswith(f"{self._prefix}/"):
            environ["PATH_INFO"] = path.removeprefix(self._prefix)
        return self._application(environ, start_response)
