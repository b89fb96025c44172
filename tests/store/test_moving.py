"""When another store knows all that one keeps of a message, and more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smsstatus.store.moving import Kept

from .updates import at, second, update_of

QUEUED = update_of(at("queued", MessageUUID="m"), second(1))
SENT = update_of(at("sent", MessageUUID="m"), second(5))
KEPT = Kept((QUEUED, SENT), (0, 1), second(9), ("queued", "sent"), (second(1), second(5)))


@pytest.mark.parametrize(
    "other",
    [
        replace(KEPT, repeats=(0, 2)),
        replace(KEPT, checked_at=second(10)),
        replace(
            KEPT,
            updates=(QUEUED, SENT._replace(received_at=second(4))),
            times=(second(1), second(4)),
        ),
        replace(
            KEPT,
            updates=(QUEUED, SENT, update_of(at("read", MessageUUID="m"), second(7))),
            repeats=(0, 1, 0),
            shown=("queued", "read"),
            times=(second(1), second(7)),
        ),
    ],
    ids=["repeats", "check", "times", "update"],
)
def test_who_knows_more_knows_all_of_it(other: Kept) -> None:
    assert KEPT.is_part_of(other)
    assert not other.is_part_of(KEPT)


@pytest.mark.parametrize(
    "other",
    [
        replace(KEPT, repeats=(1, 0)),
        replace(KEPT, repeats=(1, 1), checked_at=None),
        replace(KEPT, repeats=(1, 1), times=(second(2), second(5))),
        replace(KEPT, repeats=(1, 1), times=(second(1), second(6))),
        replace(KEPT, repeats=(1, 1), shown=("queued", "lost")),
        replace(KEPT, repeats=(1, 1), updates=(QUEUED, SENT._replace(received_at=second(6)))),
        replace(KEPT, repeats=(1, 1), updates=(QUEUED, SENT._replace(parameters="cut"))),
        replace(KEPT, repeats=(2,), updates=(SENT,)),
    ],
    ids=["repeats", "check", "first", "last", "row", "received", "fields", "update"],
)
def test_who_knows_more_of_one_thing_and_less_of_another_does_not(other: Kept) -> None:
    assert not KEPT.is_part_of(other)


@pytest.mark.parametrize("name", ["sender_number", "recipient_number", "message_body", "reference"])
def test_who_has_lost_a_text_or_a_number_does_not_know_all_of_it(name: str) -> None:
    """Also where one update more is known, with which the row may say something else."""
    more = (*KEPT.updates, update_of(at("read", MessageUUID="m"), second(7)))
    ours = replace(KEPT, updates=tuple([u._replace(**{name: "told"}) for u in KEPT.updates]))
    theirs = replace(KEPT, updates=more, repeats=(0, 1, 0))
    assert not ours.is_part_of(theirs)
    kept = replace(theirs, updates=tuple([u._replace(**{name: "told"}) for u in more]))
    assert ours.is_part_of(kept)
