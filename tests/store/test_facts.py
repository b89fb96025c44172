"""Where messages went and what they cost: of one, in listings, and counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise, permutations

import pytest

from smsstatus.model import StatusUpdate, utc_timestamp
from smsstatus.store.contract import GROUPS, NO_COUNTRY, Filters, Message, Position, Store, Tally

from ..rounds import examples
from .conftest import Opener, write
from .updates import at, update_of

DAY = "2025-11-01"
SINCE, UNTIL = f"{DAY}T00:00:00.000000Z", "2025-11-03T00:00:00.000000Z"
LATER = "2999-01-01T00:00:00.000000Z"
STEPS = ("queued", "sent", "delivered", "undelivered", "failed", "read", "lost")
PLACES = (
    {"MCC": "310", "MNC": "260"},
    {"MCC": "310", "MNC": "410"},
    {"MCC": "404", "MNC": "01"},
    {"MCC": "404"},
    {"To": "4915112345678"},
    {"To": "ACME"},
    {},
)
PRICES: tuple[dict[str, str], ...] = (
    {"Units": "1", "TotalAmount": "0.00550"},
    {"Units": "3", "TotalAmount": "0.1"},
    {"TotalAmount": "12"},
    {"Units": "2"},
    {},
)


def some_lives(seed: int, count: int) -> list[StatusUpdate]:
    """Updates of messages that were first seen in two days, in no order."""
    chance = random.Random(seed)
    updates = []
    for number in range(count):
        minute = chance.randrange(2 * 24 * 60)
        for step in chance.sample(STEPS, chance.randint(1, 3)):
            fields = {
                **at(step, f"{chance.randrange(24):02}:00:00", MessageUUID=f"{seed}-{number}"),
                **chance.choice(PLACES),
                **chance.choice(PRICES),
                "From": chance.choice(["14155550101", "+14155550101", "ACME"]),
                "ErrorCode": chance.choice(["", "30"]) if step == "undelivered" else "",
            }
            updates.append(update_of(fields, minute_of_two_days(minute)))
    chance.shuffle(updates)
    return updates


def minute_of_two_days(number: int) -> str:
    days, minute = divmod(number, 24 * 60)
    return f"2025-11-{days + 1:02}T{minute // 60:02}:{minute % 60:02}:00.000000Z"


def all_of(store: Store, **filters: str) -> list[Message]:
    return list(store.walk(Filters(**filters)))  # type: ignore[arg-type]


@pytest.fixture
def all_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours and days are summed up however few messages a sum stands for."""
    monkeypatch.setattr("smsstatus.store.postgres.summing.PAYS", 1)


def sum_up(store: Store) -> None:
    while store.sum_up_some(LATER):
        pass


def recounted(messages: Sequence[Message], by: Sequence[str], first_hour: str) -> set[Tally]:
    """What `tallies` have to answer for these messages."""
    counted: Counter[tuple[object, ...]] = Counter()
    units: Counter[tuple[object, ...]] = Counter()
    amounts: Counter[tuple[object, ...]] = Counter()
    for message in messages:
        values = {
            "country": message.country,
            "network": message.network,
            "sender": (message.sender_number or "").lstrip("+") or None,
            "error_code": message.error_code,
            "status": message.current_status,
        }
        is_sent = message.current_status == "sent"
        hour = max(message.created_at[:13], first_hour) if is_sent else ""
        group = tuple(values[name] for name in by)
        key = (group, message.country, message.current_status, hour)
        counted[key] += 1
        units[key] += message.units or 0
        amounts[key] += message.amount or 0
    return {Tally(*key, counted[key], units[key], amounts[key]) for key in counted}  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_what_a_message_cost_and_where_it_went_in_any_order(
    store: Store, order: Sequence[int]
) -> None:
    life = [
        at("queued", MessageUUID="one", To="919812345678"),
        at("sent", MessageUUID="one", MCC="310", MNC="410", Units="2", TotalAmount="0.011"),
        at("delivered", MessageUUID="one", MCC="310", MNC="260", Units="1", TotalAmount="0.0055"),
    ]
    write(store, [update_of(life[number]) for number in order])
    message = store.find("one")
    assert message is not None
    facts = (message.country, message.network, message.units, message.amount)
    assert facts == ("US", "310-260", 1, 5500)


def test_a_message_of_which_nothing_is_told_went_where_its_number_says(store: Store) -> None:
    numbers = ("+919812345678", "919812345678", "ACME")
    write(
        store,
        [update_of(at("queued", MessageUUID=f"m-{n}", To=to)) for n, to in enumerate(numbers)],
    )
    assert [(m.message_uuid, m.country, m.network, m.units, m.amount) for m in all_of(store)] == [
        ("m-2", None, None, None, None),
        ("m-1", "IN", None, None, None),
        ("m-0", "IN", None, None, None),
    ]


@pytest.fixture(scope="module")
def filled(open_shared: Opener) -> Store:
    store = open_shared()
    write(store, some_lives(18, 300))
    return store


@pytest.mark.parametrize(
    "filters",
    [
        {"country": "US"},
        {"country": "IN", "since": minute_of_two_days(600), "until": minute_of_two_days(2000)},
        {"network": "310-260"},
        {"network": "404", "country": "IN"},
        {"network": "404-01", "country": "US"},
        {"country": "US", "sender": "+14155550101"},
        {"country": "US", "error_code": "30"},
        {"country": NO_COUNTRY},
        {
            "country": NO_COUNTRY,
            "since": minute_of_two_days(600),
            "until": minute_of_two_days(2000),
        },
        {"country": NO_COUNTRY, "network": "310-260"},
        {"country": NO_COUNTRY, "sender": "+14155550101"},
    ],
)
@pytest.mark.parametrize("statuses", [(), ("sent",), ("delivered", "sent", "read")])
def test_pages_of_a_country_and_of_a_network_hold_its_messages(
    filled: Store, filters: dict[str, str], statuses: tuple[str, ...]
) -> None:
    expected = [
        message
        for message in all_of(filled)
        if (not statuses or message.current_status in statuses)
        and filters.get("country") in (None, message.country or NO_COUNTRY)
        and filters.get("network") in (None, message.network)
        and filters.get("error_code") in (None, message.error_code)
        and filters.get("since", "") <= message.created_at < filters.get("until", "3")
        and (message.sender_number or "").lstrip("+")
        == filters.get("sender", message.sender_number or "").lstrip("+")
    ]
    found: list[Message] = []
    after: Position | None = None
    while True:
        page = filled.list(Filters(statuses=statuses, **filters), 7, after)  # type: ignore[arg-type]
        found += page.messages
        after = page.next
        if after is None:
            break
    assert found == expected


EDGES = [
    (SINCE, UNTIL),
    (minute_of_two_days(60), minute_of_two_days(120)),
    (minute_of_two_days(61), minute_of_two_days(62)),
    (minute_of_two_days(90), minute_of_two_days(1501)),
    (minute_of_two_days(61), minute_of_two_days(90), minute_of_two_days(1501)),
    (UNTIL, LATER),
]
FIRST_HOURS = (f"{DAY}T00", f"{DAY}T10", "2025-11-02T07", UNTIL[:13])
BY = [(), *combinations(GROUPS, 1), *combinations(GROUPS, 2)]


def differences(store: Store, first_hour: str, some: int = 3) -> list[object]:
    """Where the store counts otherwise than whoever reads all messages, by `some` of the groups."""
    messages = {
        edges: [all_of(store, since=since, until=until) for since, until in pairwise(edges)]
        for edges in EDGES
    }
    bars = [
        edges
        for edges, slices in messages.items()
        if [*store.history(edges)] != [Counter(m.current_status for m in part) for part in slices]
    ]
    return bars + [
        (edges, by)
        for edges, slices in messages.items()
        for by in random.Random(len(slices[0])).sample(BY, some)
        if [set(tallies) for tallies in store.tallies(edges, by, first_hour)]
        != [recounted(some_messages, by, first_hour) for some_messages in slices]
    ]


def test_every_group_is_what_a_recount_finds(filled: Store) -> None:
    assert not differences(filled, f"{DAY}T10", len(BY))


@pytest.mark.parametrize("seed", range(max(examples(10), 2)))
def test_sums_are_what_a_recount_finds_however_messages_change(
    open_store: Opener, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    days_and_some_hours = 1.1
    pays = (1, days_and_some_hours)[seed % 2]
    monkeypatch.setattr("smsstatus.store.postgres.summing.PAYS", pays)
    store, chance = open_store(), random.Random(seed)
    updates = some_lives(seed, 150)

    def is_right() -> bool:
        return not differences(store, chance.choice(FIRST_HOURS))

    for part in (0, 1, 2):
        write(store, updates[part::3])
        assert is_right()
        sum_up(store)
        assert is_right()
        if part:
            store.prune_batch(minute_of_two_days(chance.randrange(600)))
            assert is_right()


@pytest.mark.usefixtures("all_pays")
@pytest.mark.parametrize("first_hour", ["2025-11-01T00", "2025-12-15T06", "2026-01-01T00"])
def test_sums_of_months_are_what_a_recount_finds(store: Store, first_hour: str) -> None:
    days = [f"2025-{month}-{day:02}" for month in (11, 12) for day in range(1, 31)]
    lives = [
        update_of(at(status, MessageUUID=f"{day}-{status}", MCC="310"), f"{day}T05:06:07.000000Z")
        for day in days
        for status in ("sent", "delivered")
    ]
    write(store, lives)
    sum_up(store)
    late = at("delivered", MessageUUID="2025-12-11-sent", MCC="310", TotalAmount="0.0055")
    for changes in ([], [update_of(late, "2025-12-31T05:06:07.000000Z")], []):
        write(store, changes)
        for since, until in (("2025-11-01", "2026-01-01"), ("2025-11-05T05:30", "2025-12-31T12")):
            of_window = [m for m in all_of(store) if since <= m.created_at < until]
            window = (utc_timestamp(since), utc_timestamp(until))
            (tallies,) = store.tallies(window, ("network",), first_hour)
            assert set(tallies) == recounted(of_window, ("network",), first_hour)
        sum_up(store)


def test_a_message_that_is_first_seen_earlier_moves_to_its_hour(store: Store) -> None:
    write(store, [update_of(at("delivered", MessageUUID="one"), minute_of_two_days(300))])
    sum_up(store)
    write(store, [update_of(at("sent", MessageUUID="one"), minute_of_two_days(100))])
    assert not differences(store, f"{DAY}T00")
    sum_up(store)
    assert not differences(store, f"{DAY}T00")


def test_delivery_times_of_the_groups_are_those_of_all_together(filled: Store) -> None:
    lives = [
        {
            **at("delivered", MessageUUID=f"timed-{number}", From="ACME"),
            "QueuedTime": f"{DAY} 12:00:00",
            "DeliveryReportTime": f"{DAY} 12:00:{number:02}",
            **PLACES[number % len(PLACES)],
        }
        for number in range(50)
    ]
    write(filled, [update_of(fields, minute_of_two_days(1400)) for fields in lives])
    by_country = filled.delivery_times(SINCE, UNTIL, ("country", "status"), 0)
    assert by_country["IN", "delivered"] == pytest.approx(
        [n for n in range(50) if n % len(PLACES) in (2, 3)], abs=0.001
    )
    together = sorted(seconds for times in by_country.values() for seconds in times)
    of_all = filled.delivery_times(SINCE, UNTIL, (), 0)
    assert {group: list(times) for group, times in of_all.items()} == {(): pytest.approx(together)}
