"""Many clients at once, which stand or keep coming, and how fast others are answered."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator

from .load import Delivery
from .raw import connect


def allow_open_files(stack: contextlib.ExitStack, number: int) -> None:
    """Let the tests have this many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def stand(stack: contextlib.ExitStack, port: int, sent: bytes, number: int) -> None:
    """Clients that have sent this and stay."""
    for _ in range(number):
        client = stack.enter_context(connect(port))
        with contextlib.suppress(OSError):  # it had to make room for another
            client.sendall(sent)


@contextlib.contextmanager
def coming(port: int, sent: bytes, a_second: int, stay: float = 5.0) -> Iterator[None]:
    """Clients that come, send this and stay for so many seconds."""
    over = threading.Event()
    open_ones: deque[socket.socket] = deque()

    def come() -> None:
        while not over.wait(1 / a_second):
            client = connect(port)
            with contextlib.suppress(OSError):
                client.sendall(sent)
            open_ones.append(client)
            if len(open_ones) > stay * a_second:
                open_ones.popleft().close()

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
        for client in open_ones:
            client.close()


def p99(deliveries: Iterable[Delivery]) -> float:
    """Seconds within which 99 of 100 were answered."""
    seconds = sorted(delivery.seconds for delivery in deliveries)
    return seconds[int(len(seconds) * 0.99)]
