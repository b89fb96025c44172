"""Commits jobs to the server, and says in the contract's words what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

import psycopg
from psycopg.errors import DivisionByZero

from ...logs import without_text
from ...model import StatusUpdate
from ..contract import SchemaTooNew, StoreError, StoreUnavailable, WorkRefused
from ..groupcommit import Mistake
from ..outbox import Wanted
from . import forwards
from .batch import FOR_TRANSACTION, record
from .connection import Connection, Link, TooSlow
from .errors import ROW_FAILURES, describe
from .readers import Read

_STANDBY_IS_AWAY = (
    "commits wait for a synchronous standby that does not answer: start it again, or take it out "
    "of synchronous_standby_names"
)
_WAITING = b"""
    SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE usename = session_user AND datname = current_database() AND wait_event = 'SyncRep'
            AND query_start < clock_timestamp() - interval '1 second')"""
"""Of other roles' sessions the server does not say what they wait for."""


class Committer:
    """The writing connection. What `commit` has answered for is on the server's disk.

    `on_change` is called after a commit that added a change to hand on, one of those `wanted`.
    """

    def __init__(
        self,
        link: Link,
        wanted: Wanted | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._wanted = wanted
        self._on_change = on_change
        self._was_slow = False

    def commit(self, jobs: Sequence[Any]) -> Sequence[Any]:
        """Do all of these in one transaction; their answers.

        Raises StoreUnavailable, or WorkRefused where one of the jobs is at fault; then none is
        done. A commit whose answer was lost is done again: no job minds that.

        Where one took too long it can be waiting for a standby still, and so would the next: each
        keeps one of the server's connections for as long, though ours is cut.
        """
        return self._commit(jobs)

    def _commit(self, jobs: Sequence[Any], *, owner_is_known: bool = False) -> Sequence[Any]:
        try:
            if self._was_slow:
                if self._link.run(_waits_for_standby):
                    raise StoreUnavailable(_STANDBY_IS_AWAY)
                self._was_slow = False
            answers, has_changes = self._link.run(partial(_do, jobs, self._wanted, count()))
            if has_changes:
                self._on_change()
            return answers
        except DivisionByZero as error:  # see batch: alone and again, it knows whose the text is
            if len(jobs) > 1 or owner_is_known:
                raise WorkRefused(describe(error)) from None
        except ROW_FAILURES as error:
            raise WorkRefused(describe(error)) from None
        except SchemaTooNew as error:
            raise StoreUnavailable(str(error)) from None
        except StoreError:
            raise
        except psycopg.Error as error:
            if isinstance(jobs[0], Read):  # which is alone
                return [StoreUnavailable(describe(error))]
            self._was_slow |= isinstance(error, TooSlow)
            raise StoreUnavailable(describe(error)) from None
        except (OSError, MemoryError, RuntimeError) as error:  # too many files, or threads
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from None
        except Exception as error:
            raise Mistake(without_text(error)) from error
        return self._commit(jobs, owner_is_known=True)

    def close(self) -> None:
        self._link.close()


def _waits_for_standby(connection: Connection) -> bool:
    return bool(connection.execute(_WAITING).fetchall()[0][0])


def _do(
    jobs: Sequence[Any], wanted: Wanted | None, attempts: Iterator[int], connection: Connection
) -> tuple[Sequence[Any], bool]:
    """Their answers, and whether there are changes to hand on. `attempts` count from 0."""
    is_again = next(attempts) > 0
    updates = [job for job in jobs if isinstance(job, StatusUpdate)]
    if wanted is None and len(updates) == len(jobs):
        # A statement is a transaction: one way there, one way back.
        return record(connection, updates, is_again=is_again), False
    has_changes = False
    with connection.transaction():
        connection.execute(FOR_TRANSACTION.encode())
        outcomes = record(connection, updates, is_again=is_again) if updates else []
        if wanted is not None:
            has_changes = forwards.add(connection, updates, outcomes, wanted)
        each = iter(outcomes)
        answers = [next(each) if isinstance(job, StatusUpdate) else job(connection) for job in jobs]
    return answers, has_changes
