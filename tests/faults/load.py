"""Plivo's traffic: clients that send signed callbacks and note what each of them was answered.

Every callback has a body of its own, by which it is found again in the store, spool or log.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple
from uuid import uuid4

from ..live import wait_until
from ..signed import Plivo
from .raw import connect, is_readable, read_reply, wire

STATUSES = ("queued", "sent", "delivered")

SHARED = 16
"""Messages that all clients speak of at once."""
SHARED_ANSWERS = 400
"""After so many they go on to others."""


class Delivery(NamedTuple):
    """One callback and what became of it. Times are time.monotonic()."""

    body: str
    status: int | None
    problem: str
    """Empty, or why there is no answer.

    `refused`: nobody listened. `unsent`: the connection ended before the request was sent.
    `reset`: it ended after the request was sent. `timeout`: no answer in time.
    """
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Load:
    """Clients that send one callback after the other until `stop`.

    Each message gets three callbacks: queued, sent, delivered. With several `ports` they go to
    one after the other. `keep_alive=False` makes a connection for each callback. `pause` is the
    seconds a client waits between two.
    """

    def __init__(
        self,
        ports: int | Sequence[int],
        plivo: Plivo,
        *,
        clients: int = 8,
        keep_alive: bool = True,
        pause: float = 0.0,
    ) -> None:
        self._ports = (ports,) if isinstance(ports, int) else tuple(ports)
        self._plivo = plivo
        self._keep_alive = keep_alive
        self._pause = pause
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,), name=f"client-{n}", daemon=True)
            for n in range(clients)
        ]
        self.deliveries: list[Delivery] = []

    @property
    def acknowledged(self) -> list[Delivery]:
        """The callbacks answered 200."""
        return [delivery for delivery in list(self.deliveries) if delivery.status == 200]

    @property
    def others(self) -> list[Delivery]:
        """The callbacks answered anything else, or not at all."""
        return [delivery for delivery in list(self.deliveries) if delivery.status != 200]

    def not_kept_and_not_told(self, *, full: bool) -> list[Delivery]:
        """Those where the log is the last place. On a machine whose disk is busy it can take longer
        than its half second, and 503 is true then; a full round is for one that is not.
        """
        return [delivery for delivery in self.others if full or delivery.status != 503]

    def wait_for(self, answers: int, seconds: float = 120.0) -> None:
        """Wait until this many more callbacks were answered."""
        enough = len(self.deliveries) + answers
        wait_until(lambda: len(self.deliveries) >= enough, seconds, f"{answers} more answers")

    def go_on(self, seconds: float) -> None:
        """Let the clients go on for a while."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Let each client finish the callback it is at."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(90)  # longer than a client waits for an answer
            assert not thread.is_alive(), "a client did not end"

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, number: int) -> None:
        connections: dict[int, socket.socket] = {}
        for port, fields in self._callbacks(number):
            if self._stopped.is_set():
                break
            delivery = self._deliver(port, connections, fields)
            self.deliveries.append(delivery)
            if delivery.problem == "refused":
                self._stopped.wait(0.02)
            elif self._pause:
                self._stopped.wait(self._pause)
        for connection in connections.values():
            connection.close()

    def _callbacks(self, number: int) -> Iterator[tuple[int, dict[str, str]]]:
        """What a client sends without end: to which port, and the fields."""
        message = ""
        for count in itertools.count():
            step = count % 3
            if step == 0:
                message = str(uuid4())
            port = self._ports[(number + count) % len(self._ports)]
            yield port, self._plivo.fields(STATUSES[step], message, Sequence=str(step + 1))

    def _deliver(
        self, port: int, connections: dict[int, socket.socket], fields: dict[str, str]
    ) -> Delivery:
        request = self._plivo.post(fields)
        data = wire(request, keep_alive=self._keep_alive)
        body = request.body.decode()
        began = time.monotonic()

        def result(status: int | None, problem: str = "") -> Delivery:
            return Delivery(body, status, problem, began, time.monotonic())

        connection = connections.pop(port, None)
        if connection is not None and _ended(connection):
            connection.close()
            connection = None
        try:
            connection = connection or connect(port)
        except OSError:
            return result(None, "refused")
        keep = False
        try:
            try:
                connection.sendall(data)
            except OSError:
                return result(None, "unsent")
            try:
                reply = read_reply(connection)
            except TimeoutError:
                return result(None, "timeout")
            except OSError:
                return result(None, "reset")
            keep = self._keep_alive and not reply.closing
            return result(reply.status)
        finally:
            if keep:
                connections[port] = connection
            else:
                connection.close()


class SharedLoad(Load):
    """All clients speak of the same messages at once, each in an order of its own.

    A client sends to one port. What is sent of a message differs, and some of it is sent again.
    """

    def _callbacks(self, number: int) -> Iterator[tuple[int, dict[str, str]]]:
        port = self._ports[number % len(self._ports)]
        chance = random.Random(number)
        while True:
            part = len(self.deliveries) // SHARED_ANSWERS
            for message in chance.sample(range(SHARED), SHARED):
                step = chance.randrange(9)
                yield (
                    port,
                    self._plivo.fields(
                        STATUSES[step % 3],
                        f"{part:08}-0000-4000-8000-{message:012}",
                        Sequence=str(step % 4),
                        Timestamp=f"2025-06-01 10:00:0{step % 5}",
                        ErrorCode=("", "30", "40")[step % 3],
                        From=f"1415555010{step % 7}",
                        MNC=f"00{step % 8}",
                        TotalAmount=f"0.00{step + 1}",
                    ),
                )


def slowest(deliveries: Iterable[Delivery]) -> float:
    """Seconds the slowest answer took."""
    return max((d.seconds for d in deliveries if d.status is not None), default=0.0)


def _ended(connection: socket.socket) -> bool:
    """Whether the server has closed a kept-alive connection: any client looks before reuse."""
    with contextlib.suppress(OSError, ValueError):
        return is_readable(connection)
    return True
