"""A receiver to try forwarding with, and to learn from: it verifies, and says what came.

For a person at a terminal, on this machine: http.server is no server for the internet.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from . import signing

MOST = 1_048_576
"""Bytes of a body; ours are a hundredth of that."""


class Heard(NamedTuple):
    """A delivery, what is wrong with it (empty: it is verified), and what it was answered."""

    headers: Mapping[str, str]
    body: bytes
    wrong: str
    answer: int


class Listener(ThreadingHTTPServer):
    """Answers with each of `answers` in turn, after `delay` seconds, and `tells` of each delivery.

    One that is not verified is answered 401. OSError if the port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        port: int,
        keys: Sequence[bytes],
        tell: Callable[[Heard], None],
        *,
        answers: Sequence[int] = (200,),
        delay: float = 0.0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.tell = tell
        self.keys = keys
        self.answers = itertools.cycle(answers)
        self.delay = delay


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and int(length[:9]) <= MOST):
            self.close_connection = True
            self.send_error(400)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        wrong = ""
        try:
            signing.verify(headers, datetime.now(UTC), body, self.server.keys)
            json.loads(body)
        except ValueError as error:
            wrong = str(error)
        answer = 401 if wrong else next(self.server.answers)
        time.sleep(self.server.delay)
        self.server.tell(Heard(headers, body, wrong, answer))
        self.send_response(answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """The one who listens is told of each delivery, and of nothing else."""
