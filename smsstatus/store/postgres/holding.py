"""Who does what alone, across all processes: the server's advisory locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b

from ..contract import StillHeld, StoreUnavailable
from .connection import Connection, Link
from .readers import run

Read = Callable[[Callable[[Connection], bool]], bool]


def lock_number(name: str) -> int:
    """The advisory lock of a name."""
    digest = blake2b(name.encode(), digest_size=8, person=b"smsstatus").digest()
    return int.from_bytes(digest, signed=True)


@contextmanager
def hold(url: str, name: str) -> Iterator[StillHeld | None]:
    """Hold a name's lock on a connection of its own; None if another does.

    The lock is a transaction's, since behind a pooler only that belongs to one client. The server
    drops it when the connection ends, and asks after a silent one before a minute is over.
    """
    link = Link(url)
    number = lock_number(name)
    try:
        is_ours = run(link, _take(number))
        yield partial(is_held, partial(run, link), number) if is_ours else None
    finally:
        link.end()  # so that it is free for who comes next


@contextmanager
def hold_here(
    name: str, held: set[str], read: Read, read_anyway: Read
) -> Iterator[StillHeld | None]:
    """The same on the only connection there is: for a session, since others' transactions end on
    it. `held` is what it holds by now, which the server would give it once more.

    `read_anyway` does what `read` may refuse because the last read failed.
    """
    number = lock_number(name)
    take, free = f"SELECT pg_try_advisory_lock({number})", f"SELECT pg_advisory_unlock({number})"
    is_ours = name not in held and read(_says(take))
    if is_ours:
        held.add(name)
    try:
        yield partial(is_held, read_anyway, number) if is_ours else None
    finally:
        if is_ours:
            held.discard(name)
            read_anyway(_says(free))


def is_held(read: Read, number: int) -> bool:
    """Has the session that `read` reads in that advisory lock? A new one, after the end of the one
    that took it, has not. Raises nothing.
    """
    high, low = divmod(number % 2**64, 2**32)
    query = f"""SELECT EXISTS (SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
            AND classid = {high} AND objid = {low} AND objsubid = 1)"""  # see _take
    try:
        return read(_says(query))
    except StoreUnavailable:
        return False


def _says(query: str) -> Callable[[Connection], bool]:
    return lambda connection: bool(connection.execute(query.encode()).fetchall()[0][0])


def _take(number: int) -> Callable[[Connection], bool]:
    def take(connection: Connection) -> bool:
        connection.execute("BEGIN")
        connection.execute(
            """SELECT set_config(name, '0', true) FROM pg_settings
               WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"""
        )
        # With a parameter its snapshot would last as long as the lock: vacuum and builds of
        # indexes wait for those.
        return _says(f"SELECT pg_try_advisory_xact_lock({number})")(connection)

    return take
