"""The service's worker with limits that a test can reach soon, for gunicorn's --worker-class.

The code is the same; what differs are numbers, set in the worker's process before it loads the
application. `make faults` takes the real numbers wherever a promise in seconds is judged.
"""

from __future__ import annotations

import gc
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gunicorn.http.message import Request

from smsstatus import promise
from smsstatus.forwarding import forwarder, schedule
from smsstatus.intake import drainer
from smsstatus.server import backlog, worker
from smsstatus.server.connection import Connection
from smsstatus.server.worker import Worker
from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.sqlite import connection
from smsstatus.web.current import service_of


def serve_with(kind: type[Worker]) -> dict[str, str]:
    """The environment that makes gunicorn take this worker."""
    return {"GUNICORN_CMD_ARGS": f"--worker-class={kind.__module__}.{kind.__name__}"}


class OftenDraining(Worker):
    """The spool is looked at all the time."""

    def init_process(self) -> None:
        drainer.DRAIN_SECONDS = 0.5
        super().init_process()


class Impatient(Worker):
    """Clients have a second to send their request, one to take their answer, and long to close.

    Where the service waited for them to close it would thus wait for good.
    """

    def init_process(self) -> None:
        worker.READ_SECONDS = worker.SEND_SECONDS = 1.0
        worker.LINGER_SECONDS = 600.0
        super().init_process()


class Patient(Worker):
    """What is late on a busy machine may be so by a minute: a master that is stopped after its
    worker, a file of the spool, a line of the log, an answer of Plivo's.
    """

    def init_process(self) -> None:
        backlog.MASTER_SECONDS = promise.SPOOL_SECONDS = promise.LOG_SECONDS = 60.0
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        service = service_of(self.wsgi)
        service.settings = replace(service.settings, plivo_timeouts=(60.0, 60.0))


class Crowded(Patient):
    """The store takes no callback, and the spool writes its first file once a crowd has come."""

    crowd = 40  # more than threads

    def load_wsgi(self) -> None:
        super().load_wsgi()
        service = service_of(self.wsgi)
        service.store.begin = self._refuse  # type: ignore[method-assign]
        self._spool, self._write = service.spool, service.spool._write_synced
        self._spool._write_synced = self._write_late

    def _refuse(self, *about: Any) -> Any:
        raise StoreUnavailable("it is told to take none")

    def _write_late(self, path: Path, content: bytes) -> None:
        until = time.monotonic() + 30
        while self.crowd and not path.name.startswith(".probe"):
            if content.count(b"\n") + 1 + len(self._spool._gathered._waiting) == self.crowd:
                self.crowd = 0
            elif time.monotonic() > until:
                raise OSError("too few have come")
            time.sleep(0.01)
        self._write(path, content)


class Narrow(Worker):
    """What a client does not read fills the kernel's buffer for it after a few answers."""

    def init_process(self) -> None:
        for listener in self.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
        super().init_process()


class NarrowAndLenient(Narrow):
    """And nobody is given up for not reading."""

    def init_process(self) -> None:
        worker.SEND_SECONDS = 600.0
        super().init_process()


class Short(Worker):
    """Once it is to stop, the host allows it no more descriptors. It says how often it accepted."""

    tries = 0

    def init_process(self) -> None:
        for listener in self.sockets:
            listener.accept = partial(self._try, listener.accept)
        super().init_process()

    def _try(self, accept: Callable[[], Any]) -> Any:
        self.tries += 1
        return accept()

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.alive:
            highest = max(map(int, os.listdir("/proc/self/fd")))
            while (last := os.dup(0)) < highest:
                pass  # no number below the limit stays free
            resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, last + 1))
            self.tries = 0
        super().handle_exit(sig, frame)

    def run(self) -> None:
        super().run()
        self.log.warning("tried to accept %d times", self.tries)


class Telling(Worker):
    """It says after how many seconds a thread has to let others run Python, after how many objects
    Python collects, and how many it does not look at then.
    """

    def run(self) -> None:
        super().run()
        collects = gc.get_threshold()[0], gc.get_freeze_count()
        self.log.warning("turns of %g s, %d objects but %d", sys.getswitchinterval(), *collects)


class Uncollected(Worker):
    """Python does not look for what refers to each other; a request has a second to come whole. It
    says how many requests are still there in the end.
    """

    def init_process(self) -> None:
        worker.READ_SECONDS = 1.0
        super().init_process()

    def run(self) -> None:
        gc.disable()
        super().run()
        for _ in range(600):  # a thread may be about to let go of the last one
            kept = sum(isinstance(thing, Request) for thing in gc.get_objects())
            if not kept:
                break
            time.sleep(0.1)
        self.log.warning("kept %d requests of %d", kept, self.nr)


class Mistaken(Worker):
    """The application fails for those who ask for it, and so does what would answer them."""

    def load_wsgi(self) -> None:
        super().load_wsgi()
        app = self.wsgi.wsgi_app

        def fails(environ: dict[str, Any], start_response: Any) -> Any:
            if "HTTP_X_MISTAKE" in environ:
                raise LookupError
            return app(environ, start_response)

        self.wsgi.wsgi_app = fails

    def handle_error(self, *about: Any) -> None:
        raise ArithmeticError


class Slow(Worker):
    """It takes a moment over each callback, and waits long for others that are coming in."""

    def init_process(self) -> None:
        worker.GATHER_SECONDS = 600.0
        super().init_process()

    def _run(self, connection: Connection) -> None:
        super()._run(connection)
        time.sleep(0.1)


class Wakeful(Worker):
    """Something is to be done all the time."""

    def _turn(self) -> None:
        self._wake()
        super()._turn()


class NarrowAndImpatient(Narrow, Impatient):
    """Both."""


class OftenCheckpointing(Worker):
    """Checkpoints, where two processes on one file could lose commits, come with each commit."""

    def init_process(self) -> None:
        connection.CHECKPOINT_PAGES = 4
        super().init_process()


class Eager(OftenDraining):
    """What was not taken is sent again after moments, and a brake that is shut pauses for such."""

    def init_process(self) -> None:
        schedule._WAITS = (0.2,) * 7
        schedule._LAST_WAIT = 0.2
        schedule.SHORTEST_PAUSE, schedule.LONGEST_PAUSE = 0.02, 0.2
        forwarder.NOTE_SECONDS = 0.2
        super().init_process()


class Restless(Eager):
    """The same, and no number of failures shuts the brake."""

    def init_process(self) -> None:
        schedule.FAILURES_TO_SHUT = 1_000_000
        super().init_process()
