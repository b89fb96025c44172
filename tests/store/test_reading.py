"""Listings: every filter alone and with others, pages, and what is written meanwhile."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from urllib.parse import urlencode

import pytest

from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Filters, Message, Outcome, Position, Store

from .conftest import Opener, write
from .updates import at, second, update_of

NUMBERS = ("14155550101", "+14155550102")
WORDS = ("queued", "sent", "delivered", "undelivered")
CODES = ("", "30", "450")
QUERIES = ("", "order=41", "order=42&crm=a+b")


def some_updates() -> list[StatusUpdate]:
    """One message of each combination; three of them, made in one second, share a created_at."""
    kinds = product(WORDS, NUMBERS, NUMBERS, CODES, QUERIES)
    return [
        update_of(
            at(word, MessageUUID=f"m-{number}", From=sender, To=to, ErrorCode=code, **{"?": query}),
            second(number // 3),
        )
        for number, (word, sender, to, code, query) in enumerate(kinds)
    ]


@pytest.fixture(scope="module")
def filled(open_shared: Opener) -> Store:
    store = open_shared()
    write(store, some_updates())
    return store


def pages(
    store: Store, filters: Filters, limit: int, between: Callable[[], object] = lambda: None
) -> list[Message]:
    """All pages of this size, one after the other."""
    found: list[Message] = []
    after: Position | None = None
    while True:
        page = store.list(filters, limit, after)
        assert len(page.messages) == limit or page.next is None
        found += page.messages
        after = page.next
        if after is None:
            return found
        between()


def uuids(messages: Sequence[Message]) -> list[str]:
    return [message.message_uuid for message in messages]


FILTERS: dict[str, tuple[Filters, Callable[[StatusUpdate], bool]]] = {
    "none": (Filters(), lambda u: True),
    "a status": (Filters(statuses=("sent",)), lambda u: u.status == "sent"),
    "two statuses": (Filters(statuses=("sent", "queued")), lambda u: u.status in WORDS[:2]),
    "no such status": (Filters(statuses=("lost",)), lambda u: False),
    "a sender": (Filters(sender="+14155550101"), lambda u: u.sender_number == NUMBERS[0]),
    "a recipient": (Filters(recipient="14155550102"), lambda u: u.recipient_number == NUMBERS[1]),
    "an ending": (Filters(recipient_ending="50102"), lambda u: u.recipient_number == NUMBERS[1]),
    "a short recipient": (Filters(recipient="102"), lambda u: False),
    "an error code": (Filters(error_code="30"), lambda u: u.error_code == "30"),
    "a reference": (Filters(reference="crm=a b"), lambda u: u.reference == QUERIES[2]),
    "since": (Filters(since=second(9)), lambda u: u.received_at >= second(9)),
    "until": (Filters(until=second(9)), lambda u: u.received_at < second(9)),
    "a window": (
        Filters(since=second(9), until=second(30)),
        lambda u: second(9) <= u.received_at < second(30),
    ),
    "a sender and a status": (
        Filters(sender="14155550102", statuses=("delivered", "sent")),
        lambda u: u.sender_number == NUMBERS[1] and u.status in ("delivered", "sent"),
    ),
    "a reference and a status": (
        Filters(reference="order=41", statuses=("delivered",)),
        lambda u: u.reference == "order=41" and u.status == "delivered",
    ),
    "everything at once": (
        Filters(
            statuses=("sent", "delivered"),
            sender=NUMBERS[0],
            recipient=NUMBERS[1],
            error_code="450",
            reference="order=42",
            since=second(1),
            until=second(40),
        ),
        lambda u: (
            u.status in ("sent", "delivered")
            and (u.sender_number, u.recipient_number) == NUMBERS
            and (u.error_code, u.reference) == ("450", QUERIES[2])
            and second(1) <= u.received_at < second(40)
        ),
    ),
}


@pytest.mark.parametrize(("filters", "wanted"), FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("limit", [7, 200])
def test_pages_of_any_size_list_what_matches_newest_first(
    filled: Store, filters: Filters, wanted: Callable[[StatusUpdate], bool], limit: int
) -> None:
    listed = pages(filled, filters, limit)
    matching = [update.message_uuid for update in some_updates() if wanted(update)]
    assert sorted(uuids(listed)) == sorted(matching)
    times = [message.created_at for message in listed]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("filters", [Filters(), Filters(statuses=WORDS), Filters(sender="+1")])
def test_a_walk_lists_what_the_pages_do(filled: Store, filters: Filters) -> None:
    listed = pages(filled, filters, 50)
    assert [*filled.walk(filters)] == listed
    assert [*filled.walk(filters, 13)] == listed[:13]
    assert [*filled.walk(filters, 0)] == []


def test_a_page_of_one_goes_on_within_one_time(filled: Store) -> None:
    window = Filters(since=second(5), until=second(7))
    assert len(set(uuids(pages(filled, window, 1)))) == 6


def test_a_listed_message_is_the_one_that_is_found_but_for_its_events(filled: Store) -> None:
    for message in filled.list(Filters(), 20).messages:
        found = filled.find(message.message_uuid)
        assert found is not None
        assert found.events is not None
        assert message == replace(found, events=None)


@pytest.mark.parametrize("filters", [Filters(), Filters(statuses=("sent", "queued"))])
def test_pages_see_every_message_once_while_others_come_and_change(
    store: Store, filters: Filters
) -> None:
    write(store, [update_of(at("sent", MessageUUID=f"m-{n}"), second(n)) for n in range(30)])
    later = iter(range(100, 200))

    def meanwhile() -> None:
        number = next(later)
        changed = update_of(at("queued", MessageUUID=f"m-{number - 100}"), second(number))
        store.record(changed)
        store.record(update_of(at("sent", MessageUUID=f"late-{number}"), second(number)))

    seen = uuids(pages(store, filters, 4, meanwhile))
    assert [name for name in seen if name.startswith("m-")] == [f"m-{n}" for n in range(29, -1, -1)]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("14155550123", "+14155550123"),
        ("+14155550123", "14155550123"),
        ("+123", "123"),
        ("123", "+123"),
        ("12345", "12345"),
    ],
)
def test_a_number_is_found_with_plus_or_without(store: Store, stored: str, asked: str) -> None:
    store.record(update_of(at("sent", MessageUUID="one", To=stored, From=stored)))
    store.record(update_of(at("sent", MessageUUID="other", To="9" + stored, From="9" + stored)))
    assert uuids(store.list(Filters(recipient=asked), 9).messages) == ["one"]
    assert uuids(store.list(Filters(sender=asked), 9).messages) == ["one"]


def test_a_message_is_found_by_the_least_reference_alone(store: Store) -> None:
    for query in ("order=2&x=1", "order=1&%C3%BC=%25", "order=3"):
        store.record(update_of(at("sent", MessageUUID="one", **{"?": query})))
    found = store.find("one")
    assert found is not None
    assert found.reference == "order=1&%C3%BC=%25"
    for pair, count in {"order=1": 1, "order=2": 0, "\u00fc=%": 1, "x=1": 0, "order": 0}.items():
        assert len(store.list(Filters(reference=pair), 9).messages) == count


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert store.list(Filters(), 50).messages == []
    assert store.list(Filters(), 50).next is None
    assert [*store.walk(Filters())] == []


def test_a_parameter_too_long_for_an_index_is_kept_and_the_others_find_its_message(
    store: Store,
) -> None:
    longest, noise = "s=" + "\u00fc" * 999, random_letters(3500)
    query = urlencode([("order", "42"), ("s", "\u00fc" * 999), ("state", noise)])
    update = update_of(at("sent", MessageUUID="one", **{"?": query}))
    assert store.record(update) is Outcome.APPLIED
    found = store.find("one")
    assert found is not None
    assert found.events is not None
    assert (found.reference, found.events[0].parameters) == (query, update.parameters)
    for pair, count in {"order=42": 1, longest: 1, f"state={noise}": 0}.items():
        assert len(store.list(Filters(reference=pair), 9).messages) == count
    assert store.forget_batch("order=42") == 1


@pytest.mark.parametrize("name", ["From", "To", "ErrorCode"])
def test_what_is_too_long_for_its_field_is_kept_among_the_parameters_alone(
    store: Store, name: str
) -> None:
    update = update_of(at("failed", MessageUUID="one", **{name: random_letters(3000)}))
    assert store.record(update) is Outcome.APPLIED
    found = store.find("one")
    assert found is not None
    assert found.events is not None
    assert (found.sender_number, found.recipient_number, found.error_code) == (None, None, None)
    assert found.events[0].parameters == update.parameters


def random_letters(count: int) -> str:
    """Nothing makes them shorter."""
    return "".join(random.Random(count).choices(string.ascii_letters + string.digits, k=count))
