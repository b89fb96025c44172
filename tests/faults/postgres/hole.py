"""A network that drops what is sent, both ways, and then passes it on again.

A small proxy of the test's own, which needs no right to change the network. It is harder than
packets that are dropped: the kernel on this side sees its data acknowledged, so that neither
tcp_user_timeout nor keepalives end the wait.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ...live import free_port


class Hole:
    """Leads every connection to `upstream`, until it is `closed`: then nothing passes."""

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self._upstream = upstream
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._stopped = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="hole", daemon=True)
        self._swallows = False

    @contextmanager
    def running(self) -> Iterator[Hole]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped = True
            self._thread.join(10)
            for each in (self._listener, *self._peers):
                each.close()
            self._selector.close()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """What is sent meanwhile is lost, and so is each connection that was open or is made."""
        self._swallows = True
        try:
            yield
        finally:
            self._swallows = False

    def _run(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(0.05):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self._listener:
                    self._accept()
                elif connection in self._peers:
                    self._pass_on(connection)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), timeout=10)
        except OSError:
            client.close()
            return
        self._peers |= {client: server, server: client}
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        received = b""
        with contextlib.suppress(OSError):
            received = source.recv(65_536)
        if self._swallows and received:
            return
        with contextlib.suppress(OSError):
            if received:
                self._peers[source].sendall(received)
                return
        self._end(source)

    def _end(self, source: socket.socket) -> None:
        """In a hole the other side does not learn of it."""
        pair = (source,) if self._swallows else (source, self._peers[source])
        for each in pair:
            if each in self._peers:
                self._selector.unregister(each)
                del self._peers[each]
                each.close()
