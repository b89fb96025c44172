"""gunicorn's worker for this service: one loop that never waits, and threads for what may.

The loop accepts, reads each request until it is whole, and hands it on. A callback runs in the loop
itself, and all that are ready share a commit; everything else runs in one of a few threads. So a
client that is slow holds nothing but its own connection, and that only for as long as its state
allows.

What the loop relies on is PEP 3333: an application may call start_response as late as in the first
step of its iterable. The webhook's does so once the callback is kept. Such an iterable has a method
`hand_in`, which gives the callback to the store: the loop calls it for all of them once nobody has
sent another, so that the writer, once awake, has them all. After that the iterable says by
`is_ready` whether its first step would wait for the commit, and by `is_stored` whether it would
wait for anything else, such as the spool; it calls environ["smsstatus.wake"] when either may
change. What was not stored is told to `hand_on` the callback, to the spool, at once: a thread then
only waits for that, so none of them waits while another one is written.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.http import wsgi
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker as BaseWorker

from ..logs import without_text
from ..promise import STORE_SECONDS
from ..settings import WEBHOOK_PATH
from . import backlog, serving, tuning
from .answer import Answer
from .connection import Connection, State
from .connections import AT_ONCE, READ, WRITE, Connections

READ_SECONDS = 4.0
"""For a request's head, and once more for its body."""
SEND_SECONDS = 4.0
LINGER_SECONDS = 2.0
LOOK_SECONDS = 0.25
PAUSE_SECONDS = 0.002
"""Between two connections where several processes accept: else the first one awake has them all."""
GATHER_SECONDS = 0.01
"""After which a callback no longer waits for others that are coming in, to share its commit."""
RESERVED_FILES = 64
"""Descriptors that connections leave to the store, the spool, the log and Plivo's API."""
_UNREAD = 65_536  # bytes taken in while a request is being served, or to be thrown away
_UNANSWERED = (State.GATHERED, State.COMMITTING)
"""In these the loop still looks at what the client sends."""


_Queue = queue.SimpleQueue[Connection]


class Worker(BaseWorker):  # type: ignore[misc]
    """One loop and `cfg.threads` threads."""

    keeps_deadlines = True
    """For gunicorn_server, which asks any worker class."""
    sockets: list[Any]
    are_lent = False
    """Do the sockets belong to systemd, which starts the service when somebody connects?"""
    loop_paths = frozenset([WEBHOOK_PATH])
    """What is run in the loop: a view that does not wait, whatever is asked of it."""
    alive: bool  # gunicorn's: False once the worker is to stop

    @staticmethod
    def check_config(cfg: Any, log: Any) -> None:
        """gunicorn's hook: runs once, in the master."""
        if cfg.max_requests:
            log.warning(
                "--max-requests is not used: gunicorn starts the next worker only once one has "
                "ended, which waits for its clients, and nobody would take callbacks meanwhile"
            )

    def init_process(self) -> None:
        """Runs once, in the new process."""
        if self.cfg.is_ssl:
            self.log.error("TLS is for the proxy in front: remove --certfile and --keyfile")
            sys.exit(Arbiter.APP_LOAD_ERROR)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._poller = selectors.DefaultSelector()
        self._connections = Connections(
            self._poller,
            max(min(self.cfg.worker_connections, files - RESERVED_FILES), 1),
            at_once=AT_ONCE if self.cfg.workers == 1 else 1,
        )
        self._pauses_until = 0.0
        """When it accepts again, so that other processes get connections too."""
        self._seconds = {
            State.IDLE: max(float(self.cfg.keepalive), READ_SECONDS),
            State.READING: READ_SECONDS,
            State.COMMITTING: STORE_SECONDS,
            State.WRITING: SEND_SECONDS,
            State.LINGERING: LINGER_SECONDS,
        }
        self._again: deque[Connection] = deque()
        """Those whose next request has come with an earlier one."""
        self._requests: _Queue = queue.SimpleQueue()
        self._callbacks: _Queue = queue.SimpleQueue()
        """Those that the store did not take, for threads of their own: others wait for Plivo."""
        self._answered: deque[Connection] = deque()
        """By threads."""
        self._served: set[_Queue] = set()
        """Those with a thread at least."""
        self._next_look = 0.0
        serving.running = serving.gunicorn_server(self.cfg)
        serving.replaces_another = self.age > 1
        tuning.make_plain(self.cfg)
        tuning.take_short_turns()
        super().init_process()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGINT and SIGQUIT stop as gently as SIGTERM: terminals and Fly send SIGINT."""
        self.alive = False

    def _is_stopping(self) -> bool:
        """For a view that waits for something."""
        return not self.alive

    def run(self) -> None:
        """gunicorn's hook: serve until told to stop."""
        for jobs in [self._callbacks, self._requests] * self.cfg.threads:
            with contextlib.suppress(RuntimeError):  # the host allows no more
                threading.Thread(target=self._work, args=(jobs,), daemon=True).start()
                self._served.add(jobs)
        self._poller.register(self.PIPE[0], READ)
        tuning.leave_out_the_program()
        self._listen(True)
        while self.alive and os.getppid() == self.ppid:
            self._turn()
        self._stop()

    def _stop(self) -> None:
        """Answer what was sent, also what waits to be accepted."""
        self.alive = False
        self._listen(False)
        until = time.monotonic() + self.cfg.graceful_timeout

        def accept(listener: Any) -> bool:
            self._connections.accept(listener)
            self._turn()  # who has sent a request need not make room for the next one
            return bool(time.monotonic() < until)

        for listener in self.sockets:
            backlog.close(listener, self.ppid, accept, is_lent=self.are_lent)
        self.sockets = []
        self._seconds[State.IDLE] = LINGER_SECONDS
        while len(self._connections) and time.monotonic() < until:
            self._turn()

    def _listen(self, wanted: bool) -> None:
        for listener in self.sockets:
            listener.setblocking(False)
            if wanted and listener not in self._poller.get_map():
                self._poller.register(listener, READ)
            elif not wanted and listener in self._poller.get_map():
                self._poller.unregister(listener)

    def _turn(self) -> None:
        """Do what can be done now, or wait up to LOOK_SECONDS for something."""
        is_woken = False
        seconds = PAUSE_SECONDS if self._pauses_until else LOOK_SECONDS
        gathered = self._connections.all_in(State.GATHERED)
        found = self._poller.select(0 if self._again or gathered else seconds)
        for key, events in found:
            if key.data is not None:
                self._guard(self._read_or_write, key.data, events)
            elif key.fd == self.PIPE[0]:
                is_woken = True
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)
            else:
                self._accept(key.fileobj)
        for _ in range(len(self._again)):
            connection = self._again.popleft()
            if connection in self._connections:  # else it had to make room for another
                self._guard(self._next, connection)
        if is_woken:
            for connection in self._connections.all_in(State.COMMITTING):
                if connection.iterable.is_ready:
                    self._guard(self._give_answer, connection)
            while self._answered:
                self._guard(self._take_back, self._answered.popleft())
        now = time.monotonic()
        if self._pauses_until and now >= self._pauses_until:
            self._pauses_until = 0.0
            self._listen(self.alive)
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self.notify()
            self._look(now)
        # Each step for all that have come: its code stays in the processor's cache.
        for connection in self._connections.all_in(State.READY):
            self._guard(self._begin, connection)
        for connection in self._connections.all_in(State.READY):
            self._guard(self._run, connection)
        until = time.monotonic() - GATHER_SECONDS if found else None
        for connection in self._connections.all_in(State.GATHERED, until):
            self._guard(self._hand_in, connection)

    def _look(self, now: float) -> None:
        """End what has taken too long."""
        for state, seconds in self._seconds.items():
            for connection in self._connections.all_in(state, until=now - seconds):
                if state is State.COMMITTING:
                    self._hand_on(connection)
                elif state is State.READING and connection.request is not None:
                    self._next(connection, is_late=True)
                else:
                    if state is State.WRITING:
                        self.log.error("a client did not take its answer", exc_info=TimeoutError())
                    self._connections.close(connection)
        if self.alive:
            for listener in self.sockets:
                backlog.let_in_new_connections(listener)
            self._listen(True)

    def _wake(self) -> None:
        """Have the loop look at what is done. From any thread."""
        with contextlib.suppress(BlockingIOError):  # it will look in any case
            os.write(self.PIPE[1], b".")

    def _accept(self, listener: Any) -> None:
        if not self._connections.accept(listener):
            self._listen(False)  # until the next look
        elif self.cfg.workers > 1 and self.alive:
            self._listen(False)
            self._pauses_until = time.monotonic() + PAUSE_SECONDS

    # Requests.

    def _guard(self, step: Callable[..., None], connection: Connection, *more: int) -> None:
        """Do a step. A mistake of ours costs this connection alone."""
        try:
            step(connection, *more)
        except Exception as error:
            self.log.error("a mistake in the worker: %s", without_text(error))
            self._connections.close(connection)

    def _read_or_write(self, connection: Connection, events: int) -> None:
        """As far as that is possible now."""
        try:
            if events & WRITE:
                connection.send_more()
                self._after(connection)
                return
            connection.receive()
        except BlockingIOError:
            return
        except OSError:
            if connection.state not in _UNANSWERED:
                self._connections.close(connection)
                return
            connection.at_end = True
            connection.received.clear()
        state = connection.state
        is_over = connection.at_end or len(connection.received) > _UNREAD
        if state is State.LINGERING:
            if is_over:
                self._connections.close(connection)
        elif state in _UNANSWERED:  # the next one, before this one's answer
            if is_over:
                self._connections.watch(connection, 0)
        elif connection.at_end and state is State.IDLE:
            self._connections.close(connection)
        else:
            self._next(connection)

    def _next(self, connection: Connection, *, is_late: bool = False) -> None:
        """Have the next request served if it is whole, or if the rest of it is not waited for."""
        had_head = connection.request is not None
        try:
            if connection.has_request(self.cfg, is_late=is_late):
                self._connections.move(connection, State.READY)
            elif connection.at_end:
                self.log.debug("Ignored premature client disconnection.")
                self._connections.close(connection)
            else:
                self._connections.watch(connection, READ)
                has_head = connection.request is not None
                if connection.state is not State.READING or has_head > had_head:
                    self._connections.move(connection, State.READING)
        except ConnectionError:
            self._connections.close(connection)
        except Exception as error:
            self._refuse(connection, None, error)

    def _refuse(self, connection: Connection, request: Request | None, error: Exception) -> None:
        """Say why what was sent is no request."""
        self.handle_error(request, connection, connection.address, error)
        self._connections.hang_up(connection)

    def _begin(self, connection: Connection) -> None:
        """Make of its request what the application is called with."""
        self.nr += 1
        request, connection.request = connection.request, None
        assert request is not None
        if not self.alive or not self.cfg.keepalive:
            request.force_close()
        try:
            response, environ = wsgi.create(
                request, connection, connection.address, connection.server, self.cfg, Answer
            )
        except Exception as error:
            self._refuse(connection, request, error)
            return
        environ["wsgi.multithread"] = True
        environ["smsstatus.wake"] = self._wake
        environ["smsstatus.is_stopping"] = self._is_stopping
        connection.begin(response, environ)
        if request.path not in self.loop_paths:
            self._to_thread(connection, self._requests)

    def _run(self, connection: Connection) -> None:
        """Have the application begin with a callback, in the loop."""
        response = connection.response
        try:
            connection.iterable = self.wsgi(connection.environ, response.start_response)
        except Exception as error:
            self._fail(connection, error)
            self._after(connection)
            return
        if hasattr(connection.iterable, "hand_in"):
            self._connections.move(connection, State.GATHERED)
        else:
            self._give_answer(connection)

    def _hand_in(self, connection: Connection) -> None:
        """Have its callback committed."""
        connection.iterable.hand_in()
        if connection.iterable.is_ready:
            self._give_answer(connection)
        else:
            self._connections.move(connection, State.COMMITTING)

    def _give_answer(self, connection: Connection) -> None:
        if not getattr(connection.iterable, "is_stored", True):
            self._hand_on(connection)
            return
        self._respond(connection)
        self._after(connection)

    def _hand_on(self, connection: Connection) -> None:
        """The store did not take its callback, or not in time."""
        connection.iterable.hand_on()
        self._to_thread(connection, self._callbacks)

    def _respond(self, connection: Connection) -> None:
        """Send what the application answers; in the loop or in a thread."""
        response, environ = connection.response, connection.environ
        try:
            if connection.iterable is None:
                connection.iterable = self.wsgi(environ, response.start_response)
            try:
                for item in connection.iterable:
                    response.write(item)
                response.close()
            finally:
                took = timedelta(seconds=time.monotonic() - connection.began)
                self.log.access(response, response.req, environ, took)
                if hasattr(connection.iterable, "close"):
                    connection.iterable.close()
        except Exception as error:
            self._fail(connection, error)

    def _fail(self, connection: Connection, error: Exception) -> None:
        """The client is gone, or it does not take its answer, or the application has a mistake."""
        response = connection.response
        response.force_close()
        if isinstance(error, TimeoutError):
            self.log.exception("a client did not take its answer")
        elif isinstance(error, ConnectionError):
            connection.at_end = True
        elif response.headers_sent:
            self.log.exception("Error handling request")
        else:
            self.handle_error(response.req, connection, connection.address, error)

    def _after(self, connection: Connection) -> None:
        """The answer is given, or some more of it is sent."""
        if connection.unsent:
            self._connections.write(connection)
        elif connection.is_closing or connection.response.should_close():
            self._connections.hang_up(connection)
        elif connection.at_end or connection.received:
            self._connections.move(connection, State.READING)
            self._connections.watch(connection, 0)
            self._again.append(connection)
        else:
            connection.begin(None, {})  # else the last request's memory is kept as long as this
            self._connections.move(connection, State.IDLE)
            self._connections.watch(connection, READ)

    # Threads.

    def _to_thread(self, connection: Connection, jobs: _Queue) -> None:
        self._connections.move(connection, State.SERVING)
        self._connections.watch(connection, 0)
        connection.patience = SEND_SECONDS
        if jobs in self._served:
            jobs.put(connection)
        else:
            self._work_on(connection)

    def _work(self, jobs: _Queue) -> None:
        while True:
            self._work_on(jobs.get())

    def _work_on(self, connection: Connection) -> None:
        self._respond(connection)
        self._answered.append(connection)
        self._wake()

    def _take_back(self, connection: Connection) -> None:
        connection.patience = 0.0
        self._after(connection)
