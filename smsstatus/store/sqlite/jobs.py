"""What callers have the writer do, as data, and what does it. A StatusUpdate is a job as it is.

All is done inside the caller's transaction, and doing it again changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...model import StatusUpdate
from ..outbox import Condition, Settlement
from . import forwards
from .connection import rewrite_header
from .keys import claim_key, free_key, keep_answer
from .restoring import Restore, RestoreMarks, restore, restore_marks
from .runs import Beat, NoteListed, NoteRun
from .tallies import FindKinds, NoteSpan, PutSums, find_kinds, note_span, put_sums
from .updates import apply_update, claim_nonce, knows_text, mark_checked
from .upgrade import Batch, FactsBatch, correct, fill_in
from .upkeep import forget_batch, prune_batch


@dataclass(frozen=True, slots=True)
class ClaimNonce:
    nonce: str
    digest: bytes
    parameters: str


@dataclass(frozen=True, slots=True)
class KnowsText:
    digest: bytes


@dataclass(frozen=True, slots=True)
class ClaimKey:
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class KeepAnswer:
    key: str
    answer: str


@dataclass(frozen=True, slots=True)
class FreeKey:
    key: str


@dataclass(frozen=True, slots=True)
class NoteCheck:
    message_uuid: str
    checked_at: str


@dataclass(frozen=True, slots=True)
class Prune:
    created_before: str
    ids: tuple[int, ...]
    keeps_waiting: bool


@dataclass(frozen=True, slots=True)
class Forget:
    pair: str


@dataclass(frozen=True, slots=True)
class Settle:
    settlements: tuple[Settlement, ...]


@dataclass(frozen=True, slots=True)
class Hasten:
    now: str


@dataclass(frozen=True, slots=True)
class Retry:
    now: str
    message_uuid: str | None
    overtaken: bool


@dataclass(frozen=True, slots=True)
class Skip:
    now: str
    message_uuid: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    at: str | None


@dataclass(frozen=True, slots=True)
class NoteCondition:
    condition: Condition


@dataclass(frozen=True, slots=True)
class Probe:
    """A write that changes nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing but what each transaction begins and ends with: is the file still the right one?"""


DONE_BY: dict[type, Callable[[sqlite3.Connection, Any], Any]] = {
    StatusUpdate: apply_update,
    ClaimNonce: lambda connection, job: claim_nonce(
        connection, job.nonce, job.digest, job.parameters
    ),
    KnowsText: lambda connection, job: knows_text(connection, job.digest),
    ClaimKey: lambda connection, job: claim_key(connection, job.key, job.digest),
    KeepAnswer: lambda connection, job: keep_answer(connection, job.key, job.answer),
    FreeKey: lambda connection, job: free_key(connection, job.key),
    NoteCheck: lambda connection, job: mark_checked(connection, job.message_uuid, job.checked_at),
    Prune: lambda connection, job: prune_batch(
        connection, job.created_before, job.ids, keeps_waiting=job.keeps_waiting
    ),
    Forget: lambda connection, job: forget_batch(connection, job.pair),
    Batch: correct,
    FactsBatch: fill_in,
    NoteSpan: note_span,
    FindKinds: find_kinds,
    PutSums: put_sums,
    Settle: lambda connection, job: forwards.settle(connection, job.settlements),
    Hasten: lambda connection, job: forwards.hasten(connection, job.now),
    Retry: lambda connection, job: forwards.retry(
        connection, job.now, job.message_uuid, overtaken=job.overtaken
    ),
    Skip: lambda connection, job: forwards.skip(connection, job.now, job.message_uuid),
    Pause: lambda connection, job: forwards.pause(connection, job.at),
    NoteCondition: lambda connection, job: forwards.note(connection, job.condition),
    Restore: lambda connection, job: restore(connection, job.kept),
    RestoreMarks: lambda connection, job: restore_marks(connection, job.marks),
    Beat: lambda connection, job: job.do(connection),
    NoteListed: lambda connection, job: job.do(connection),
    NoteRun: lambda connection, job: job.do(connection),
    Probe: lambda connection, job: rewrite_header(connection),
    Look: lambda connection, job: None,
}
