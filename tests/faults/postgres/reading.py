"""Somebody who reads while a fault lasts: the API, the pages, and what monitoring asks for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qsl

from ...live import API_TOKEN, wait_until
from ..conftest import Figure, Promise
from ..load import Delivery
from ..raw import exchange, head
from .conftest import Target

PATHS = (
    "/healthz",
    "/readyz",
    "/messages/<uuid>",
    "/messages",
    "/stats",
    "/",
    "/ui/messages",
    "/metrics",
)


class Reader:
    """Asks for one path after the other; `slowest` and `refused` say how that went."""

    def __init__(self, paths: Sequence[str] = PATHS) -> None:
        self.slowest = dict.fromkeys(paths, 0.0)
        self.asked, self.refused = Counter[str](), Counter[str]()
        self.others: list[tuple[str, int]] = []
        """What was answered neither 200 nor 503."""

    @contextmanager
    def reading(self, target: Target, known: Delivery) -> Iterator[None]:
        """Goes on until the context ends, and for so long that each was asked for once.

        `known` is a callback of the message that is asked for.
        """
        uuid = dict(parse_qsl(known.body))["MessageUUID"]
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                for path in PATHS:
                    self.ask(target, path, path.replace("<uuid>", uuid))
                over.wait(0.2)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield
            wait_until(lambda: len(self.asked) == len(PATHS), 120, "each is answered")
            assert thread.is_alive()
        finally:
            over.set()
            thread.join(120)

    def ask(self, target: Target, path: str, address: str = "") -> None:
        """`address`: what stands for `path` this time."""
        bearer = {"Authorization": f"Bearer {API_TOKEN}", "Connection": "close"}
        began = time.monotonic()
        reply = exchange(target.service.port, head(f"GET {address or path} HTTP/1.1", bearer))
        self.slowest[path] = max(self.slowest[path], time.monotonic() - began)
        self.asked[path] += 1
        status = reply.status if reply else 0
        self.refused[path] += status == 503
        if status not in (200, 503):
            self.others.append((path, status))

    def judge(self, figure: Figure, promise: Promise, fault: str) -> None:
        """Each is answered in time, or told in time that it cannot be."""
        slowest = [f"`{path}` slowest {slow:.2f} s" for path, slow in self.slowest.items()]
        figure(f"PostgreSQL: asked during {fault}", ", ".join(slowest))
        assert self.others == []
        assert self.refused["/healthz"] == 0
        promise(self.slowest.get("/healthz", 0), 1)
        promise(max(self.slowest.values()))
