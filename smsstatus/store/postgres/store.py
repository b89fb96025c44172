"""The store in PostgreSQL; `contract.Store` says what each method promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from ... import promise
from ...model import StatusUpdate
from ..contract import (
    Claim,
    Engine,
    Filters,
    Group,
    Message,
    Outcome,
    Page,
    Pending,
    Position,
    Pulse,
    StillHeld,
    Tally,
    WorkRefused,
)
from ..groupcommit import GroupCommit, Observer, Ticket
from ..outbox import Wanted
from ..runs import Step
from . import counting, filling, holding, keys, listing, summing, tallies, updates, upgrade, upkeep
from .committer import Committer
from .connection import Connection, Link
from .outbox import PostgresOutbox
from .patience import Patience
from .readers import Read, Readers, run
from .runs import PostgresRuns
from .schema import apply_patiently, apply_schema

SCHEMA_SECONDS = 10.0
WINDOW_SECONDS = 10.0
"""For what counts all messages of a window, which can be all there are, where nobody waits for an
answer: see promise.READ_SECONDS.
"""
COUNT_SECONDS = 30.0
"""For what reads whole tables. Only commands and the background ask for it."""

FILLED_SECONDS = 30.0
"""After that it is looked again whether a program of an earlier version has written something."""

WALKED = 1000
"""Messages fetched at a time."""

T = TypeVar("T")


class PostgresStore:
    """The messages and their events. Safe to use from any thread and after a fork.

    `url` is libpq's, checked. `connections` are the most it keeps open: one writes, the others
    read; a single one does both. A connection more is open while something is held. `wanted`: which
    changes are handed on.
    """

    damage = ""
    damage_advice = ""

    def __init__(
        self,
        url: str,
        observe: Observer = lambda tickets, seconds: None,
        *,
        connections: int = 3,
        wanted: Wanted | None = None,
    ) -> None:
        self._url = url
        self._patience = Patience()
        self.writer = GroupCommit(
            lambda: Committer(
                Link(url, apply_schema, prepares=True), wanted, lambda: self.outbox.written()
            ),
            observe,
            apart=True,
        )
        self.outbox = PostgresOutbox(self.writer, self._read, wanted)
        self._readers = Readers(url, connections - 1) if connections > 1 else None
        self.runs = PostgresRuns(self.writer, self._read)
        self._held: set[str] = set()
        self._fills_from = 0.0
        self.counts: Mapping[str, int] = {}

    def prepare(self) -> None:
        """Create what is missing, leaving no connection behind.

        Safe when several processes do it at once: each waits for the lock. Raises SchemaTooNew or
        StoreUnavailable.
        """
        link = Link(self._url)
        try:
            run(link, apply_patiently, SCHEMA_SECONDS)
        finally:
            link.end()  # a role may have one connection only, which the next one is

    def begin(self, update: StatusUpdate, wake: Callable[[], None] | None = None) -> Ticket:
        return self.writer.begin(update, wake)

    def finish(self, pending: Pending) -> Outcome:
        outcome: Outcome = self.writer.finish(cast(Ticket, pending))
        return outcome

    def record(self, update: StatusUpdate) -> Outcome:
        outcome: Outcome = self.writer.submit(update)
        return outcome

    def claim_nonce(self, nonce: str, digest: bytes, parameters: str) -> bool:
        return self.writer.submit(partial(updates.claim_nonce, nonce=nonce, digest=digest))

    def knows_text(self, digest: bytes) -> bool:
        return self.writer.submit(partial(updates.knows_text, digest=digest))

    def claim_key(self, key: str, digest: bytes) -> Claim | None:
        return self.writer.submit(
            partial(keys.claim_key, key=key, digest=digest, now=datetime.now(UTC))
        )

    def keep_answer(self, key: str, answer: str) -> None:
        self.writer.submit(partial(keys.keep_answer, key=key, answer=answer))

    def free_key(self, key: str) -> None:
        self.writer.submit(partial(keys.free_key, key=key))

    def note_check(self, message_uuid: str, checked_at: str) -> None:
        self.writer.submit(
            partial(updates.mark_checked, message_uuid=message_uuid, checked_at=checked_at)
        )

    def prune_batch(self, created_before: str) -> int:
        keeps_waiting = self.outbox.wanted is not None
        return self.writer.submit(
            partial(upkeep.prune_batch, created_before=created_before, keeps_waiting=keeps_waiting)
        )

    def forget_batch(self, pair: str) -> int:
        return self.writer.submit(partial(upkeep.forget_batch, pair=pair))

    def probe(self) -> None:
        with self._patience.limited():
            self._ask_writer(updates.probe)

    def find(self, message_uuid: str) -> Message | None:
        if "\0" in message_uuid:  # which no text in PostgreSQL holds, so the server is not asked
            return None
        with_forwards = self.outbox.wanted is not None
        return self._read(
            lambda connection: listing.find_message(
                connection, message_uuid, with_forwards=with_forwards
            )
        )

    def list(self, filters: Filters, limit: int, after: Position | None = None) -> Page:
        return self._read(
            lambda connection: listing.list_messages(connection, filters, limit, after)
        )

    def walk(self, filters: Filters, limit: int | None = None) -> Iterator[Message]:
        after: Position | None = None
        left = limit
        while left is None or left > 0:
            page = self.list(filters, min(left or WALKED, WALKED), after)
            yield from page.messages
            after = page.next
            if after is None:
                return
            left = None if left is None else left - len(page.messages)

    def history(self, edges: Sequence[str]) -> Sequence[Mapping[str, int]]:
        return self._count(lambda connection: tallies.read_history(connection, edges))

    def tallies(
        self, edges: Sequence[str], by: Sequence[str], first_hour: str
    ) -> Sequence[Sequence[Tally]]:
        return self._count(
            lambda connection: tallies.read_tallies(connection, edges, by, first_hour)
        )

    def delivery_times(
        self, since: str, until: str, by: Sequence[str], deliveries: int
    ) -> Mapping[Group, Sequence[float]]:
        return self._count(
            lambda connection: counting.read_delivery_times(
                connection, since, until, by, deliveries
            )
        )

    def change_marker(self) -> str:
        return self._read(counting.change_marker)

    def pulse(self, *, since: str, before: str, newest: int) -> Pulse:
        return self._read(
            lambda connection: counting.read_pulse(
                connection, since=since, before=before, newest=newest
            )
        )

    def waiting(
        self,
        *,
        silent_since: str,
        created_since: str,
        steps: Sequence[Step] = (),
        limit: int | None = None,
    ) -> Sequence[str]:
        return self._read(
            lambda connection: counting.waiting_messages(
                connection,
                silent_since=silent_since,
                created_since=created_since,
                steps=steps,
                limit=limit,
            ),
            COUNT_SECONDS,
        )

    def count_older(self, created_before: str) -> int:
        keeps_waiting = self.outbox.wanted is not None
        return self._read(
            lambda connection: upkeep.count_older(
                connection, created_before, keeps_waiting=keeps_waiting
            ),
            COUNT_SECONDS,
        )

    def newest(self) -> str:
        return self._read(upkeep.newest)

    def count_again(self) -> None:
        self.counts = self._read_anyway(counting.count_by_status, COUNT_SECONDS)

    def engine(self) -> Engine:
        return self._read(upkeep.engine)

    def backup(self, target: Path, progress: Callable[[float], None] = lambda share: None) -> None:
        raise WorkRefused(upkeep.HOW_TO_BACK_UP.format(target))

    def hold(self, name: str) -> AbstractContextManager[StillHeld | None]:
        if self._readers is None:
            return holding.hold_here(name, self._held, self._read, self._read_anyway)
        return holding.hold(self._url, name)

    def look(self) -> None:
        """There is nothing to notice: the server looks after its files."""

    def correct_some(self, now: str) -> bool:
        """See `filling`. In a transaction of its own: rows of a batch may not be locked yet."""
        if self._fills_from > time.monotonic():
            return False
        if self._read(filling.is_left):
            with closing(Link(self._url)) as link:
                if run(link, filling.fill_some):
                    return True
        self._fills_from = time.monotonic() + FILLED_SECONDS
        return False

    def sum_up_some(self, now: str) -> bool:
        return self._build_indexes() or self._read(
            lambda connection: summing.sum_up_one(connection, now), WINDOW_SECONDS
        )

    def _build_indexes(self) -> bool:
        """See `upgrade`; False if there is nothing to do, or another does it."""
        if not self._read(upgrade.index_steps):
            return False
        link = Link(self._url)
        with self.hold("indexes") as still_held, closing(link):
            for step in self._read(upgrade.index_steps) if still_held else ():
                run(link, partial(Connection.execute, query=step.encode()), upgrade.INDEX_SECONDS)
        return still_held is not None

    def take_suspicion(self) -> bool:
        return False

    def find_damage(self, seconds: float) -> str:
        return ""

    def examine(self, seconds: float) -> None:
        """See `look`."""

    def _read(self, work: Callable[[Connection], T], seconds: float | None = None) -> T:
        """What `work(connection)` returns. Raises StoreUnavailable, also if it takes longer than
        that, or else than STATEMENT_SECONDS of the promise.
        """
        with self._patience.limited():
            return self._read_anyway(work, seconds)

    def _read_anyway(self, work: Callable[[Connection], T], seconds: float | None = None) -> T:
        """The same, whatever came of what this thread read last."""
        if self._readers is not None:
            return self._readers.read(work, seconds)
        found: T = self._ask_writer(Read(work))
        return found

    def _ask_writer(self, job: Callable[[Connection], Any]) -> Any:
        """Have the writer do this for the answer that this thread is about to give."""
        return self.writer.finish(self.writer.begin(job), promise.seconds_left())

    def _count(self, work: Callable[[Connection], T]) -> T:
        """The same for what counts messages of a window: it may take long, but only where the
        tables can be read.
        """
        self._read(counting.reach)
        return self._read(work, WINDOW_SECONDS)

    def close(self) -> None:
        self.writer.close()
        if self._readers is not None:
            self._readers.close()
