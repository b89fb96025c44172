"""Whatever comes, in any order, any number of times and in any batches, ends as the oracle says."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count, pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.model import TEXT_DIGEST_SIZE, StatusUpdate
from smsstatus.store.contract import Outcome, Store, WorkRefused

from ..rounds import examples
from .conftest import Opener, write, write_batches
from .oracle import Oracle
from .updates import at, second, update_of, updates

UUIDS = ("a", "b", "c")
NEW = (Outcome.APPLIED, Outcome.OLDER)

_examples = count()
_property = hypothesis_settings(max_examples=examples(80), deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def two(open_shared: Opener) -> tuple[Store, Store]:
    """Two stores, as of two processes, on one database."""
    return open_shared(), open_shared()


@st.composite
def _arrivals(draw: st.DrawFn, *, forged: bool) -> list[StatusUpdate]:
    """Updates of a few messages as they come, some of them repeated.

    `forged`: also with a nonce that came with other fields, or as another reading of a text.
    """
    example = next(_examples)
    arrivals = []
    for number in range(draw(st.integers(1, 8))):
        fields = {**draw(updates), "MessageUUID": f"{draw(st.sampled_from(UUIDS))}-{example}"}
        nonce = draw(st.sampled_from([None, None, f"{example}-{number}"]))
        if forged:
            nonce = draw(st.sampled_from([None, None, f"{example}-x", f"{example}-y"]))
        arrivals.append(update_of(fields, second(number), nonce))
    again = draw(st.lists(st.sampled_from(arrivals), max_size=4))
    sources = st.sampled_from(["callback", "replay"])
    arrivals += [update._replace(source=draw(sources)) for update in again]
    if forged:
        for update in draw(st.lists(st.sampled_from(arrivals), max_size=2)):
            other = f"{draw(st.sampled_from(UUIDS))}-{example}"
            digest = update.digest[:TEXT_DIGEST_SIZE] + f"another{other[0]}".encode()
            arrivals.append(update._replace(digest=digest, message_uuid=other))
            arrivals.append(update._replace(v2_nonce=None, used_nonce=f"{example}-x"))
    times = draw(st.permutations(range(len(arrivals))))
    arrivals = [u._replace(received_at=second(t)) for u, t in zip(arrivals, times, strict=True)]
    return draw(st.permutations(arrivals))


def _cut(draw: st.DataObject, arrivals: list[StatusUpdate]) -> list[list[StatusUpdate]]:
    """The same in batches, cut anywhere."""
    within = st.sets(st.integers(1, max(len(arrivals) - 1, 1)))
    cuts = [0, *sorted(draw.draw(within)), len(arrivals)]
    batches = [arrivals[a:b] for a, b in pairwise(cuts)]
    return [batch for batch in batches if batch]


def _same(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of those that share a commit, whether one ever stood for a moment is no promise."""
    return [Outcome.APPLIED if outcome in NEW else outcome for outcome in outcomes]


def _check(store: Store, oracle: Oracle, arrivals: list[StatusUpdate]) -> None:
    for message_uuid in {update.message_uuid for update in arrivals}:
        assert store.find(message_uuid) == oracle.find(message_uuid)


@given(_arrivals(forged=True))
@_property
def test_one_by_one_each_is_answered_and_kept_as_it_should(
    two: tuple[Store, Store], arrivals: list[StatusUpdate]
) -> None:
    oracle = Oracle()
    assert [two[0].record(update) for update in arrivals] == oracle.record_all(arrivals)
    _check(two[1], oracle, arrivals)


@given(_arrivals(forged=True), st.data())
@_property
def test_in_batches_cut_anywhere_nothing_is_different(
    two: tuple[Store, Store], arrivals: list[StatusUpdate], data: st.DataObject
) -> None:
    oracle = Oracle()
    outcomes = write_batches(two[0], _cut(data, arrivals))
    assert _same(outcomes) == _same(oracle.record_all(arrivals))
    _check(two[1], oracle, arrivals)


@given(_arrivals(forged=False), st.data())
@_property
def test_over_two_connections_at_once_nothing_is_different(
    two: tuple[Store, Store], arrivals: list[StatusUpdate], data: st.DataObject
) -> None:
    """Which copy of an update comes first is chance then, so all are of one source."""
    arrivals = [update._replace(source="callback") for update in arrivals]
    half = data.draw(st.integers(0, len(arrivals)))
    parts = [_cut(data, part) if part else [] for part in (arrivals[:half], arrivals[half:])]
    with ThreadPoolExecutor(2) as threads:
        outcomes = [*chain(*threads.map(write_batches, two, parts))]
    oracle = Oracle()
    assert sorted(map(str, _same(outcomes))) == sorted(map(str, _same(oracle.record_all(arrivals))))
    _check(two[0], oracle, arrivals)


def test_a_life_in_one_commit_ends_in_one_message(store: Store) -> None:
    words = ("queued", "sent", "delivered")
    life = [update_of(at(word, MessageUUID="a-uuid")) for word in words]
    outcomes = write_batches(store, [[*life, life[1]]])
    assert outcomes[-2:] == [Outcome.APPLIED, Outcome.DUPLICATE]
    assert _same(outcomes[:2]) == [Outcome.APPLIED] * 2
    message = store.find("a-uuid")
    assert message is not None
    assert (message.initial_status, message.current_status) == ("queued", "delivered")
    assert message.events is not None
    assert [(event.status, event.repeats) for event in message.events] == [
        ("queued", 0),
        ("sent", 1),
        ("delivered", 0),
    ]


def test_more_than_a_commit_holds_is_written_in_several(store: Store) -> None:
    uuids = [f"message-{number}" for number in range(600)]
    life = [update_of(at(s, MessageUUID=u)) for s in ("sent", "delivered") for u in uuids]
    assert write(store, life) == [Outcome.APPLIED] * len(life)
    assert write(store, life) == [Outcome.DUPLICATE] * len(life)


def test_one_that_cannot_be_kept_fails_alone(store: Store) -> None:
    """No callback has such a sequence; a store says no to it, and keeps its neighbours."""
    good, other = (update_of(at("sent", MessageUUID=uuid)) for uuid in ("one", "two"))
    bad = update_of(at("sent", MessageUUID="bad"))._replace(sequence=10**30)
    pending = [store.begin(update) for update in (good, bad, other)]
    assert store.finish(pending[0]) is Outcome.APPLIED
    with pytest.raises(WorkRefused):
        store.finish(pending[1])
    assert store.finish(pending[2]) is Outcome.APPLIED
