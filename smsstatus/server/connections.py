"""All open connections: what each waits for and since when, and how many there may be.

Each state has a list, the oldest first, so whoever has waited too long, or longest, is found
without looking at the others.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from typing import Any

from .connection import Connection, State

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
AT_ONCE = 64
"""Connections accepted before others get their turn."""
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""The one that would be accepted stays in the backlog, so trying again at once would not end."""


class Connections:
    """At most `most` connections, and what `poller` looks for on each. Used by the loop alone.

    `at_once` are accepted before others get their turn, which may be other processes.
    """

    def __init__(self, poller: selectors.BaseSelector, most: int, at_once: int = AT_ONCE) -> None:
        self._poller = poller
        self._most = most
        self._at_once = at_once
        self._in: dict[State, dict[Connection, float]] = {state: {} for state in State}

    def __len__(self) -> int:
        return sum(map(len, self._in.values()))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._in[connection.state]

    def all_in(self, state: State, until: float | None = None) -> list[Connection]:
        """Those in a state, the oldest first; with `until` those that came into it before."""
        connections = []
        for connection, since in self._in[state].items():
            if until is not None and since > until:
                break
            connections.append(connection)
        return connections

    def accept(self, listener: Any) -> bool:
        """Take some that wait at a listener; False if there is no room for more now."""
        for number in range(self._at_once):
            try:
                sock, address = listener.accept()
            except OSError as error:  # also of a shortage where nobody waits any more
                return number > 0 or error.errno not in _SHORTAGES or self._make_room()
            has_room = len(self) < self._most or self._make_room()
            sock.setblocking(False)
            with contextlib.suppress(OSError):  # a Unix socket
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, address, listener.getsockname())
            self.move(connection, State.IDLE)
            self.watch(connection, READ)
            if not has_room:
                return False
        return True

    def _make_room(self) -> bool:
        """Hang up on whoever has been waited for longest; False if nobody is waited for."""
        for state in (State.LINGERING, State.IDLE, State.WRITING, State.READING):
            for connection in self._in[state]:
                self.close(connection)
                return True
        return False

    def move(self, connection: Connection, state: State) -> None:
        """It waits for something else from now on."""
        self._in[connection.state].pop(connection, None)
        connection.state = state
        self._in[state][connection] = time.monotonic()

    def watch(self, connection: Connection, events: int) -> None:
        """Have the poller look for these events on it; 0: for none."""
        if connection.watched == events:
            return
        if not events:
            self._poller.unregister(connection.sock)
        elif connection.watched:
            self._poller.modify(connection.sock, events, connection)
        else:
            self._poller.register(connection.sock, events, connection)
        connection.watched = events

    def write(self, connection: Connection) -> None:
        """Wait for the client to take what is not sent yet."""
        if connection.state is not State.WRITING:  # taking some of it wins no time
            self.move(connection, State.WRITING)
        self.watch(connection, WRITE)

    def hang_up(self, connection: Connection) -> None:
        """Close once the client has: unread bytes would have the kernel reset the answer.

        RFC 9112, section 9.6.
        """
        connection.is_closing = True
        if connection.unsent:
            return self.write(connection)
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return self.close(connection)
        if connection.at_end:
            return self.close(connection)
        connection.received.clear()
        self.move(connection, State.LINGERING)
        return self.watch(connection, READ)

    def close(self, connection: Connection) -> None:
        """Close it at once."""
        self._in[connection.state].pop(connection, None)
        self.watch(connection, 0)
        connection.sock.close()
        connection.let_go()
