"""An ordinary day: callbacks at a steady mean rate, whether or not earlier ones are answered.

Arrivals are random (Poisson), the same for every service. Latency counts from the moment at which
a callback was due, so that a service which stalls is charged for all that came meanwhile.
"""

from __future__ import annotations

import gc
import heapq
import random
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

ANSWER_SECONDS = 10.0
_NAP = 0.0001  # short enough not to count, long enough to leave the core to the kernel's disk work


@dataclass(frozen=True)
class Answer:
    """What became of request `index`. `status` is 0 if no answer came."""

    index: int
    status: int
    seconds: float


@dataclass
class _Exchange:
    index: int
    due: float
    connection: socket.socket
    unsent: bytes
    received: bytearray = field(default_factory=bytearray)


class OpenLoop:
    """Sends each request when it is due, on a new connection or on an idle kept one."""

    def __init__(self, port: int, requests: Sequence[bytes], *, keep_alive: bool) -> None:
        self.port = port
        self.requests = requests
        self.keep_alive = keep_alive
        self.idle: list[socket.socket] = []
        self.open: dict[int, _Exchange] = {}
        self.poller = select.epoll()
        self.answers: list[Answer] = []

    def run(self, rate: float, seed: int) -> list[Answer]:
        """Send everything at `rate` a second and wait for the answers."""
        due = _schedule(len(self.requests), rate, seed)
        gc.disable()
        try:
            self._run(due)
        finally:
            gc.enable()
            self._close()
        return self.answers

    def _run(self, due: list[tuple[float, int]]) -> None:
        started = time.perf_counter()
        deadline = started + due[-1][0] + ANSWER_SECONDS
        heapq.heapify(due)
        while (due or self.open) and time.perf_counter() < deadline:
            while due and started + due[0][0] <= time.perf_counter():
                second, index = heapq.heappop(due)
                self._send(index, started + second)
            for number, _ in self.poller.poll(0):
                self._continue(self.open[number])
            time.sleep(_NAP)
        for exchange in list(self.open.values()):
            self._finish(exchange, status=0, reusable=False)

    def _send(self, index: int, due: float) -> None:
        if self.idle:
            connection = self.idle.pop()
        else:
            connection = socket.socket()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect_ex(("127.0.0.1", self.port))
        exchange = _Exchange(index, due, connection, self.requests[index])
        self.open[connection.fileno()] = exchange
        self.poller.register(connection, select.EPOLLOUT)

    def _continue(self, exchange: _Exchange) -> None:
        try:
            if exchange.unsent:
                self._write(exchange)
            else:
                self._read(exchange)
        except BlockingIOError:
            return
        except OSError:
            self._finish(exchange, status=0, reusable=False)

    def _write(self, exchange: _Exchange) -> None:
        sent = exchange.connection.send(exchange.unsent)
        exchange.unsent = exchange.unsent[sent:]
        if not exchange.unsent:
            self.poller.modify(exchange.connection, select.EPOLLIN)

    def _read(self, exchange: _Exchange) -> None:
        data = exchange.connection.recv(65536)
        exchange.received += data
        if not data:
            self._finish(exchange, status=0, reusable=False)
        elif is_complete(bytes(exchange.received)):
            head = bytes(exchange.received).lower()
            status = int(exchange.received[9:12])
            self._finish(exchange, status, reusable=b"connection: close" not in head)

    def _finish(self, exchange: _Exchange, status: int, *, reusable: bool) -> None:
        seconds = time.perf_counter() - exchange.due
        self.answers.append(Answer(exchange.index, status, seconds))
        del self.open[exchange.connection.fileno()]
        self.poller.unregister(exchange.connection)
        if reusable and self.keep_alive:
            self.idle.append(exchange.connection)
        else:
            exchange.connection.close()

    def _close(self) -> None:
        for connection in self.idle:
            connection.close()
        self.poller.close()


def is_complete(response: bytes) -> bool:
    """Whether the whole answer is here, by its Content-Length or its last chunk."""
    head, separator, body = response.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
        if line.startswith(b"transfer-encoding:"):
            return body.endswith(b"0\r\n\r\n")
    return True


def _schedule(count: int, rate: float, seed: int) -> list[tuple[float, int]]:
    rng = random.Random(seed)
    second = 0.0
    schedule = []
    for index in range(count):
        second += rng.expovariate(rate)
        schedule.append((second, index))
    return schedule
