"""Which sums PostgreSQL keeps. That they are those of the rows is tested for both stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smsstatus.model import StatusUpdate
from smsstatus.store.postgres.store import PostgresStore

from ..postgres import ask, write_times_otherwise
from .conftest import write
from .updates import at, update_of

SINCE, UNTIL = "2025-11-01T00:00:00.000000Z", "2025-12-31T00:00:00.000000Z"
LATER = "2999-01-01T00:00:00.000000Z"
DAYS = [f"2025-{month}-{day:02}" for month in (11, 12) for day in range(1, 31)]
EACH_DAY = 10
TENS = ["2025-11-08", "2025-11-18", "2025-11-28", "2025-12-08", "2025-12-18"]
"""Those that are whole, and were over for a day."""


@pytest.fixture
def store(postgres: str) -> Iterator[PostgresStore]:
    """In a database that writes a time as others are read: up to version 17 IST is Israel's."""
    write_times_otherwise(postgres)
    store = PostgresStore(postgres)
    store.prepare()
    messages = [(day, number) for day in DAYS for number in range(EACH_DAY)]
    write(store, [delivered(f"{day}-{number}", day) for day, number in messages])
    yield store
    store.close()


def delivered(uuid: str, day: str, **more: str) -> StatusUpdate:
    return update_of(at("delivered", MessageUUID=uuid, **more), f"{day}T05:06:07.000000Z")


def sum_up(store: PostgresStore) -> None:
    while store.sum_up_some(LATER):
        pass


def tens(postgres: str) -> list[str]:
    day = "to_char(ten AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    found = ask(postgres, f"SELECT {day} FROM summed_tens ORDER BY 1")
    return [ten for (ten,) in found]


def counted(store: PostgresStore, since: str = SINCE, until: str = UNTIL) -> int:
    (tallies,) = store.tallies((since, until), (), LATER[:13])
    return sum(tally.messages for tally in tallies)


def test_tens_of_days_are_summed_up_and_stand_for_their_messages(
    store: PostgresStore, postgres: str
) -> None:
    sum_up(store)
    assert tens(postgres) == TENS
    assert counted(store) == EACH_DAY * len(DAYS)
    ask(postgres, "UPDATE ten_tallies SET messages = messages + 1000")
    assert counted(store) == EACH_DAY * len(DAYS) + 1000 * len(TENS), "months are read from tens"


def test_of_a_day_its_sums_count_and_of_a_part_of_it_those_of_hours(
    store: PostgresStore, postgres: str
) -> None:
    sum_up(store)
    ask(postgres, "UPDATE day_tallies SET messages = messages + 1000")
    midnight, next_midnight = "2025-11-12T00:00:00.000000Z", "2025-11-13T00:00:00.000000Z"
    assert counted(store, midnight, next_midnight) == EACH_DAY + 1000
    assert counted(store, midnight, "2025-11-12T23:59:59.999999Z") == EACH_DAY
    assert counted(store, "2025-11-12T00:00:00.000001Z", next_midnight) == EACH_DAY
    assert counted(store, "2025-11-11T01:00:00.000000Z", next_midnight) == 2 * EACH_DAY + 1000
    ask(postgres, "UPDATE tallies SET messages = messages + 500")
    assert counted(store, midnight, "2025-11-12T23:00:00.000000Z") == EACH_DAY + 500


def test_a_ten_of_which_a_message_changes_is_counted_from_the_rest_and_summed_up_again(
    store: PostgresStore, postgres: str
) -> None:
    sum_up(store)
    write(store, [delivered("one-more", "2025-11-12")])
    assert counted(store) == EACH_DAY * len(DAYS) + 1
    while tens(postgres) == TENS:
        assert store.sum_up_some(LATER)
        assert counted(store) == EACH_DAY * len(DAYS) + 1
    sum_up(store)
    assert tens(postgres) == TENS
    assert counted(store) == EACH_DAY * len(DAYS) + 1


def test_a_change_takes_no_sums_but_those_of_its_hour_day_and_ten(
    store: PostgresStore, postgres: str
) -> None:
    sum_up(store)
    for change in (
        "INSERT INTO changed_hours VALUES ('2025-11-12T06:00Z')",
        "UPDATE tallies SET messages = messages + 1",
        "UPDATE day_tallies SET messages = messages + 100",
        "UPDATE ten_tallies SET messages = messages + 10000",
    ):
        ask(postgres, change)
    hours_of_a_day, last_hour, days_of_a_ten, other_days = 1, 1, 9, 9
    assert counted(store) == (
        EACH_DAY * len(DAYS)
        + hours_of_a_day
        + last_hour
        + 100 * (days_of_a_ten + other_days)
        + 10000 * (len(TENS) - 1)
    )
    within_a_day = "2025-11-13T01:00:00.000000Z", "2025-11-13T23:00:00.000000Z"
    assert counted(store, *within_a_day) == EACH_DAY + 1


def test_a_ten_with_a_day_whose_sums_do_not_pay_is_not_summed_up(
    store: PostgresStore, postgres: str
) -> None:
    networks = ("260", "410", "480")
    write(store, [delivered(mnc, "2025-11-12", MCC="310", MNC=mnc) for mnc in networks])
    sum_up(store)
    assert tens(postgres) == [ten for ten in TENS if ten != "2025-11-08"]
    assert counted(store) == EACH_DAY * len(DAYS) + len(networks)


def test_a_ten_does_not_count_while_one_of_its_days_has_no_sums(
    store: PostgresStore, postgres: str
) -> None:
    """Whoever may only delete removes an hour's, and so its day's; a ten may be made just then."""
    sum_up(store)
    ask(postgres, "DELETE FROM messages WHERE message_uuid = '2025-11-12-0'")
    ask(postgres, "DELETE FROM changed_hours")
    ask(postgres, "ALTER TABLE summed_hours DISABLE TRIGGER forget_ten")
    ask(postgres, "DELETE FROM summed_hours WHERE hour = '2025-11-12T05:00Z'")
    assert tens(postgres) == TENS
    assert counted(store) == EACH_DAY * len(DAYS) - 1
    ask(postgres, "INSERT INTO changed_hours VALUES ('2025-11-12T05:00Z')")
    sum_up(store)
    assert counted(store) == EACH_DAY * len(DAYS) - 1
