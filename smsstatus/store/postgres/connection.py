"""One connection to the server, made on its first use, and made again once it has failed."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ... import promise
from ..contract import Unreadable
from .attempts import first_that_works
from .errors import ROW_FAILURES, is_passing, is_unprepared
from .names import Address, addresses
from .watch import WATCH

T = TypeVar("T")
Connection = psycopg.Connection[Any]

RETRY_SECONDS = 1.0
"""What took longer is not tried again at once."""
END_SECONDS = 1.0

_BOUNDS: dict[str, Any] = {
    "tcp_user_timeout": 2500,  # ms: for what was sent into a hole
    "keepalives": 1,  # for a hole that opened while the server worked
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "client_encoding": "UTF8",  # whatever the database or the environment says
}

SILENCE = "set_config('idle_in_transaction_session_timeout', '10s', true)"
"""For each transaction of several statements. Of a client that is cut off between two of them the
server hears nothing, and looks for it only after hours: what it has locked would be locked for as
long. No statement of one that lives comes as late as that.
"""

_OF_SESSION = (
    b"""SELECT set_config('tcp_keepalives_idle', '15', false),
        set_config('tcp_keepalives_interval', '5', false),
        set_config('tcp_keepalives_count', '3', false)""",
    b"""SELECT set_config(name, '1s', false) FROM pg_settings
        WHERE name = 'client_connection_check_interval'""",  # from version 14 on
)
"""Of a client that is cut off the server hears nothing, and asks after it only after hours: for as
long its session counts for the limit of connections, and has its locks. Of one that has hung up it
hears nothing while a statement runs: what was given up would go on, with its connection.
"""
_EXPLICIT_ONLY = 2**31 - 1
"""So often is a statement run before psycopg prepares it by itself."""

_of_parents: list[Connection] = []


class TooSlow(psycopg.OperationalError):
    """No answer in time, so the connection was cut."""


class Link:
    """A connection in autocommit mode. Used from one thread at a time; follows a fork.

    `greet` is called with each new connection, before its first use.
    """

    def __init__(
        self,
        url: str,
        greet: Callable[[Connection], None] | None = None,
        *,
        prepares: bool = False,
    ) -> None:
        self._url = url
        self._greet = greet
        self._prepares = prepares
        self._connection: Connection | None = None
        self._line: socket.socket | None = None
        self._pid = 0

    def run(self, work: Callable[[Connection], T], seconds: float | None = None) -> T:
        """What `work(connection)` returns. It is done once more, on a new connection, where the
        one that was kept had ended or the server asks for it: doing it twice must change nothing.

        Raises psycopg.Error, and what `work` and `greet` raise.
        """
        began = time.monotonic()
        was_open = self._is_open()
        try:
            return self._attempt(work, seconds)
        except psycopg.Error as error:
            pooled = is_unprepared(error)
            if pooled:
                self._prepares = False
            late = isinstance(error, TooSlow) or time.monotonic() - began > RETRY_SECONDS
            if late or not (pooled or (was_open and is_passing(error))):
                raise
        return self._attempt(work, seconds)

    def _attempt(self, work: Callable[[Connection], T], seconds: float | None) -> T:
        try:
            connection, line = self._open()
            with _cut_after(line, promise.STATEMENT_SECONDS if seconds is None else seconds):
                return work(connection)
        except (*ROW_FAILURES, Unreadable):
            raise  # says nothing about the connection
        except BaseException:
            self.close()
            raise

    def _is_open(self) -> bool:
        return self._connection is not None and self._pid == os.getpid()

    def _open(self) -> tuple[Connection, socket.socket]:
        if self._connection is None or self._line is None or self._pid != os.getpid():
            connection = connect(self._url, prepares=self._prepares)
            if self._connection is not None:  # a fork's: closing it would end the parent's session
                _of_parents.append(self._connection)
            # Another descriptor, so that it cannot be of another connection when it is shut down.
            self._line = socket.socket(fileno=os.dup(connection.fileno()))
            self._connection, self._pid = connection, os.getpid()
            with _cut_after(self._line, promise.STATEMENT_SECONDS):
                for setting in _OF_SESSION:
                    with contextlib.suppress(psycopg.DataError):  # not on this server's system
                        connection.execute(setting)
                if self._greet is not None:
                    self._greet(connection)
        return self._connection, self._line

    def end(self) -> None:
        """Close it once the server has ended the session: a limit counts it for as long.

        That is waited for a second at most. Raises nothing.
        """
        if self._connection is not None and self._line is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                self._connection.close()
                self._line.settimeout(END_SECONDS)
                while self._line.recv(1024):
                    pass
        self.close()

    def close(self) -> None:
        """Close it; the next use makes another. Raises nothing."""
        if self._pid == os.getpid():
            if self._line is not None:
                self._line.close()
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error, OSError):
                    self._connection.close()
        self._connection = self._line = None


@contextlib.contextmanager
def _cut_after(line: socket.socket, seconds: float) -> Iterator[None]:
    """Raises TooSlow where it takes longer, or longer than is left for the answer."""
    seconds = promise.seconds_left(seconds)
    with WATCH.limit(line, seconds) as limit:
        try:
            yield
        except psycopg.Error as error:
            if limit.was_cut:
                raise TooSlow(f"no answer within {seconds:.2g} s") from error
            raise


def connect(url: str, *, prepares: bool) -> Connection:
    """A new connection, every wait on it bounded. Raises psycopg.Error.

    Of several hosts the one that takes writes is used, whichever that is now; of a host's several
    addresses one that is no standby: all can be one server's, which is read while it takes no
    writes. With `prepares` those statements are prepared that ask for it, and no others: behind
    some poolers processes share their names, and a statement under the name of another process's
    is done in its place. A plan that is kept suits the first values, too.
    """
    began = time.monotonic()
    if promise.seconds_left() < promise.CONNECT_SECONDS:
        raise TooSlow("no time is left to connect")
    asked = conninfo_to_dict(url)
    found = addresses(url)
    bounds = _BOUNDS | {"connect_timeout": int(promise.CONNECT_SECONDS)}
    if "," in str(asked.get("host", "")):
        bounds["target_session_attrs"] = asked.get("target_session_attrs", "read-write")
    elif len(found) > 1:
        bounds["target_session_attrs"] = asked.get("target_session_attrs", "primary")
    if (
        not found
        or asked.get("target_session_attrs") == "prefer-standby"
        or "load_balance_hosts" in asked
    ):  # only psycopg knows what to say, or which order is meant
        lists = dict(zip(Address._fields, map(",".join, zip(*found, strict=True)), strict=False))
        attempts = {make_conninfo(url, **bounds, **lists): ""}
    else:
        attempts = {_at(each, asked | bounds): str(each) for each in found}
    threshold = _EXPLICIT_ONLY if prepares else None
    connect_to = partial(psycopg.connect, autocommit=True, prepare_threshold=threshold)
    return first_that_works(url, attempts, connect_to, began)


def _at(address: Address, asked: dict[str, Any]) -> str:
    """What is asked for, at this address."""
    rest = {name: value for name, value in asked.items() if name not in Address._fields}
    where = {name: value for name, value in address._asdict().items() if value}
    return make_conninfo("", **rest, **where)


def count(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a statement that counts many messages.

    It is not compiled, which would make it no quicker: the server expects far more rows than come,
    and compiles for seconds then. That is said with the statement, and so in its transaction: one
    way there, one way back. Rows are as text.
    """
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(f"SELECT set_config('jit', 'off', true); {query}".encode(), values)
        cursor.nextset()
        return cursor.fetchall()
