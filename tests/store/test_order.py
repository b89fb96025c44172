"""What stands after updates of a message came one by one, in whatever order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.model import TEXT_DIGEST_SIZE
from smsstatus.store.contract import Event, Filters, Message, Outcome, Store

from ..rounds import examples
from .conftest import Opener
from .updates import DAY, Fields, at, second, update_of

Arrive = Callable[..., Message]


@pytest.fixture
def arrive(store: Store) -> Arrive:
    """Record these updates of one message in this order; what is known of it at the end."""

    def one_after_another(*updates: Fields) -> Message:
        for fields in updates:
            store.record(update_of({"MessageUUID": "a-uuid", **fields}))
        message = store.find("a-uuid")
        assert message is not None
        return message

    return one_after_another


def events_of(message: Message | None) -> tuple[Event, ...]:
    assert message is not None
    assert message.events is not None
    return message.events


ORDERED = {
    "sent after queued": [at("queued", "00:00:01"), at("sent", "00:00:02")],
    "delivered after sent": [at("sent", "00:00:02"), at("delivered", "00:00:03")],
    "a late sent does not undo delivered": [at("sent", "00:00:09"), at("delivered", "00:00:03")],
    "a late sent does not undo failed": [at("sent", "00:00:09"), at("failed", "00:00:03")],
    "a bounce after delivered": [at("delivered", "00:00:03"), at("undelivered", "00:00:04")],
    "read after delivered": [at("delivered", "00:00:03"), at("read", "00:00:04")],
    "an unknown word does not undo delivered": [at("unknown", "00:00:09"), at("delivered")],
    "sent without a time after queued": [at("queued", "00:00:01"), at("sent")],
    "sent without a time after an unknown word": [at("unknown", "00:00:01"), at("sent")],
    "delivered without a time after sent": [at("sent", "00:00:01"), at("delivered")],
    "failed without a time after sent": [at("sent", "00:00:01"), at("failed")],
    "read without a time after delivered": [at("delivered", "00:00:03"), at("read")],
    "read without a time after a bounce": [at("undelivered", "00:00:03"), at("read")],
    "read with an earlier time": [at("delivered", "00:00:03"), at("read", "00:00:02")],
    "a later queued does not undo sent": [at("queued", "00:00:09"), at("sent", "00:00:02")],
    "a time is later than none": [at("unknown"), at("queued", "00:00:01")],
    "a time is later than none, of finals": [at("delivered"), at("failed", "00:00:01")],
    "fractions count": [at("queued", "00:00:03.249999"), at("unknown", "00:00:03.25")],
    "sequence settles equal times": [
        at("queued", "00:00:03", Sequence="2"),
        at("unknown", "00:00:03", Sequence="10"),
    ],
    "sequence settles missing times": [at("queued", Sequence="1"), at("unknown", Sequence="2")],
    "rank settles equal sequences": [at("queued", "00:00:03"), at("sent", "00:00:03")],
    "rank settles equal finals": [at("failed", "00:00:03"), at("delivered", "00:00:03")],
    "read beats delivered": [at("delivered", "00:00:03"), at("read", "00:00:03")],
    "another offset, later": [at("delivered", "02:00:00+05:30"), at("failed", "00:00:00")],
    "another offset, earlier": [at("delivered", "00:00:00"), at("failed", "00:00:00-00:01")],
    "time before sequence": [
        at("delivered", "00:00:01", Sequence="9"),
        at("failed", "00:00:02", Sequence="1"),
    ],
}


@pytest.mark.parametrize("updates", ORDERED.values(), ids=ORDERED)
@pytest.mark.parametrize("order", ["in order", "out of order"])
def test_the_last_one_stands_in_whatever_order_they_come(
    arrive: Arrive, updates: list[Fields], order: str
) -> None:
    message = arrive(*(updates if order == "in order" else updates[::-1]))
    assert message.current_status == updates[-1]["Status"]
    assert message.initial_status == updates[0]["Status"]
    assert [event.status for event in events_of(message)] == [u["Status"] for u in updates]


LIFE = [
    at("queued", "00:00:01", From="1", To="+2", QueuedTime=f"{DAY} 00:00:01"),
    at("sent", "00:00:02", From="1"),
    at("undelivered", "00:00:03", ErrorCode="30", To="2", MessageTime=f"{DAY} 00:00:00"),
]


@pytest.mark.parametrize("order", list(permutations(LIFE)))
def test_a_whole_life_ends_the_same(arrive: Arrive, order: tuple[Fields, ...]) -> None:
    message = arrive(*order)
    assert message.initial_status == "queued"
    assert message.current_status == "undelivered"
    assert message.status_timestamp == f"{DAY}T00:00:03.000000Z"
    assert message.error_code == "30"
    assert (message.sender_number, message.recipient_number) == ("1", "+2")
    assert message.is_final


def test_the_error_code_goes_with_the_status_that_stands(arrive: Arrive) -> None:
    assert arrive(at("undelivered", "00:00:03", ErrorCode="30")).error_code == "30"
    assert arrive(at("sent", "00:00:09", ErrorCode="99")).error_code == "30"
    assert arrive(at("delivered", "00:00:04", ErrorCode="000")).error_code is None


def test_what_plivo_told_when_asked_is_of_when_it_queued_the_message(store: Store) -> None:
    """Not of when it was asked: after an outage thousands would count in one minute."""
    told = at("delivered", "09:00:05", QueuedTime=f"{DAY} 09:00:00", Asked="Plivo", MCC="404")
    store.record(update_of({"MessageUUID": "missed", "?": "order=42", **told}, second(0)))
    (message,) = store.list(Filters(reference="order=42"), 1).messages
    assert (message.created_at, message.updated_at) == (f"{DAY}T09:00:00.000000Z", second(0))
    store.record(update_of({"MessageUUID": "known", **at("queued")}, f"{DAY}T09:00:01.000000Z"))
    ahead = at("delivered", QueuedTime=f"{DAY} 09:00:02", Asked="Plivo")
    store.record(update_of({"MessageUUID": "known", **ahead}, second(0)))
    known = store.find("known")
    assert known is not None
    assert known.created_at == f"{DAY}T09:00:01.000000Z"


def test_created_at_stays_and_updated_at_is_of_the_update_that_stands(store: Store) -> None:
    life = [at("queued", "00:00:01"), at("delivered", "00:00:03"), at("sent", "00:00:02")]
    times = []
    for number, fields in enumerate(life):
        store.record(update_of({"MessageUUID": "a-uuid", **fields}, second(number)))
        message = store.find("a-uuid")
        assert message is not None
        times.append((message.created_at, message.updated_at))
    assert times == [(second(0), second(at)) for at in (0, 1, 1)]


def test_a_refused_move_leaves_a_log_line(arrive: Arrive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    arrive(at("delivered", "00:00:03"), at("sent", "00:00:02"))
    assert (
        f"message a-uuid: sent at {DAY}T00:00:02.000000Z came after delivered at "
        f"{DAY}T00:00:03.000000Z, which stands"
    ) in caplog.messages


def test_a_duplicate_changes_nothing_but_its_count(store: Store, arrive: Arrive) -> None:
    life = [at("queued", "00:00:01"), at("sent", "00:00:02"), at("delivered", "00:00:03")]
    assert [event.repeats for event in events_of(arrive(*life))] == [0, 0, 0]
    assert [event.repeats for event in events_of(arrive(life[1], life[1]))] == [0, 2, 0]
    assert store.record(update_of({"MessageUUID": "a-uuid", **life[0]})) is Outcome.DUPLICATE


def test_a_replayed_duplicate_is_not_counted_as_a_retry_of_plivo(store: Store) -> None:
    update = update_of(at("sent", MessageUUID="a-uuid"))
    outcomes = [store.record(update) for _ in range(2)]
    outcomes.append(store.record(update._replace(source="replay")))
    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    (event,) = events_of(store.find("a-uuid"))
    assert (event.repeats, event.source) == (1, "callback")


def test_a_text_that_was_read_as_one_message_is_not_read_as_another(store: Store) -> None:
    one = update_of(at("sent", MessageUUID="one"))
    other = one._replace(message_uuid="other", digest=one.digest[:TEXT_DIGEST_SIZE] + b"another ")
    assert not store.knows_text(one.digest)
    outcomes = [store.record(update) for update in (one, other, one)]
    assert outcomes == [Outcome.APPLIED, Outcome.TEXT_TAKEN, Outcome.DUPLICATE]
    assert store.find("other") is None
    assert store.knows_text(other.digest)
    (event,) = events_of(store.find("one"))
    assert event.repeats == 1


def test_a_v2_nonce_belongs_to_the_first_that_came_with_it(store: Store) -> None:
    one, other = (update_of(at(word, MessageUUID=word), nonce="a-nonce") for word in ("a", "b"))
    outcomes = [store.record(update) for update in (one, other, one)]
    assert outcomes == [Outcome.APPLIED, Outcome.NONCE_TAKEN, Outcome.DUPLICATE]
    assert store.find("b") is None
    assert store.claim_nonce("a-nonce", one.digest, one.parameters)
    assert not store.claim_nonce("a-nonce", other.digest, other.parameters)
    assert store.claim_nonce("another", other.digest, other.parameters)


def test_a_nonce_that_came_beside_a_v3_signature_brings_nothing_without_one(store: Store) -> None:
    one, other = (update_of(at(word, MessageUUID=word)) for word in ("a", "b"))
    assert store.record(one._replace(used_nonce="a-nonce")) is Outcome.APPLIED
    assert store.record(other._replace(v2_nonce="a-nonce")) is Outcome.NONCE_TAKEN
    assert store.record(other._replace(used_nonce="a-nonce")) is Outcome.APPLIED


def test_events_keep_what_came(arrive: Arrive) -> None:
    message = arrive(at("Sent", "00:00:02", ErrorCode="7", Sequence="3", Extra="\u00fc"))
    (event,) = events_of(message)
    assert (event.status, event.error_code, event.sequence) == ("sent", "7", 3)
    assert event.status_timestamp == f"{DAY}T00:00:02.000000Z"
    assert event.received_at == message.created_at


@pytest.fixture(scope="module")
def shared(open_shared: Opener) -> Store:
    return open_shared()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@hypothesis_settings(max_examples=examples(60), deadline=None, derandomize=True)
def test_parameters_come_back_byte_for_byte(shared: Store, parameters: str) -> None:
    """Whatever the store makes of them to save room."""
    update = update_of(at("sent", MessageUUID="a-uuid", Extra=parameters))
    shared.record(update._replace(parameters=parameters))
    kept = [event.parameters for event in events_of(shared.find("a-uuid"))]
    assert parameters in kept


def test_what_nobody_knows_is_none(store: Store) -> None:
    assert store.find("no-such-message") is None
