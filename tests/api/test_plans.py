"""With 100,000 messages every query finds its rows by an index, and a page costs a page.

What SQLite is asked is taken from a real run of each function of store.listing and
store.counting, and its plan from EXPLAIN QUERY PLAN. A walk along a whole index is a SCAN in
SQLite's words; it is fine where a LIMIT ends it. So the steps of SQLite's machine are counted too:
they do not depend on the computer.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from smsstatus.store.contract import NO_COUNTRY, Filters, Position
from smsstatus.store.sqlite import connection, counting, listing, walks
from smsstatus.store.sqlite.connection import open_readonly
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.store.sqlite.tallies import Kept

MESSAGES = 100_000
DEEP = Position("2026-11-01T01:00:00.000000Z", 2)
"""Behind nearly all messages."""
SINCE, UNTIL = "2026-11-01T10:00:00.000000Z", "2026-11-01T20:00:00.000000Z"
LIMIT = 50

FILL = f"""
    INSERT INTO messages (id, message_uuid, sender_number, recipient_number, initial_status,
        current_status, status_timestamp, error_code, created_at, updated_at, queued_at, is_final,
        sequence, rank, digest)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MESSAGES}),
    t (i, moment) AS (
        SELECT i, strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2026-11-01', (i / 2) || ' seconds')
        FROM n)
    SELECT i, printf('%08d-0000-4000-8000-000000000000', i),
        '1415555' || printf('%04d', i % 10), '+1415555' || printf('%04d', i % 10000), 'queued',
        CASE WHEN i % 10 < 6 THEN 'delivered' WHEN i % 10 < 8 THEN 'sent'
             WHEN i % 10 < 9 THEN 'undelivered' ELSE 'failed' END,
        moment, CASE WHEN i % 10 > 7 THEN (i % 20) * 10 END, moment, moment, moment,
        i % 10 < 6 OR i % 10 > 7, 0, 2, x'00'
    FROM t
    """

FILL_REFERENCES = """
    INSERT INTO message_references (message_id, query, filed_at)
    SELECT id, 'app=crm&order=' || id, created_at FROM messages
    """
FILL_PAIRS = """
    INSERT INTO reference_pairs (pair, filed_at, message_id)
    SELECT 'app=crm', created_at, id FROM messages
    UNION ALL SELECT 'order=' || id, created_at, id FROM messages
    """
FILL_FACTS = """
    INSERT INTO message_facts (message_id, filed_at, country, network)
    SELECT id, CAST(strftime('%s', created_at) AS INTEGER), iif(id % 100 = 7, NULL, 'US'),
        iif(id % 100 = 7, NULL, '310-260') FROM messages
    """

Ask = Callable[[Path], object]
PlanOf = Callable[[str, list[Any]], list[str]]


STATISTICS = ("with statistics", "without")
"""For SQLite's planner. What they count is how messages are in `filled`."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A database with many messages."""
    path = tmp_path_factory.mktemp("filled") / "sms.db"
    SqliteStore(path).prepare()
    with filling(path) as connection:
        for statement in (FILL, FILL_REFERENCES, FILL_PAIRS, FILL_FACTS):
            connection.execute(statement)
    return with_and_without_statistics(path)


@pytest.fixture(params=STATISTICS)
def full(filled: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return filled[request.param]


def with_and_without_statistics(path: Path) -> dict[str, Path]:
    """A file that nobody has open with statistics, made now if it has none, and a copy without."""
    with filling(path) as connection:
        if not statistics_of(connection):
            connection.execute("ANALYZE")
    without = path.with_name("without.db")
    shutil.copy(path, without)
    with filling(without) as connection:
        for table in statistics_of(connection):
            connection.execute(f"DROP TABLE {table}")
    return dict(zip(STATISTICS, (path, without), strict=True))


def statistics_of(connection: sqlite3.Connection) -> list[str]:
    """The tables that ANALYZE makes."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'sqlite_stat%'")
    return [name for (name,) in found]


@contextmanager
def filling(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that is quick: nothing of the file has to survive."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


@pytest.fixture
def plan_of(full: Path) -> Iterator[PlanOf]:
    """The steps of SQLite's plan for a query."""
    with closing(open_readonly(full)) as connection:

        def explain(sql: str, values: list[Any]) -> list[str]:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]

        yield explain


class Watched:
    """Notes what those two ask SQLite, and after how many steps it is answered."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def open(self, path: Path) -> sqlite3.Connection:
        connection = open_readonly(path)
        connection.set_trace_callback(self.statements.append)
        connection.set_progress_handler(self._count, 10)
        return connection

    def _count(self) -> None:
        self.steps += 10

    def plans(self, path: Path) -> Iterator[tuple[list[str], str]]:
        with closing(sqlite3.connect(path)) as connection:
            for statement in dict.fromkeys(self.statements):
                rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
                yield [row[3] for row in rows], statement


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr(connection, "open_readonly", watched.open)
    return watched


def full_scans(plan: list[str], statement: str) -> list[str]:
    """The steps that read a whole table.

    Reading one in its order until LIMIT rows are had is fine: nothing is skipped on the way.
    """
    in_order = "LIMIT" in statement and "WHERE" not in statement and not sorts_of(plan)
    scans = [step for step in plan if step.startswith(("SCAN messages", "SCAN status_events"))]
    return [] if in_order else scans


def sorts_of(plan: list[str]) -> list[str]:
    """For each sort the step whose rows are sorted."""
    return [before for before, step in pairwise(plan) if "TEMP B-TREE" in step]


CHOICES: dict[str, list[Any]] = {
    "statuses": [(), ("sent",), ("sent", "delivered", "none")],
    "recipient": [None, "+14155550123"],
    "recipient_ending": [None, "0123", "50123"],
    "sender": [None, "14155550003"],
    "error_code": [None, "180"],
    "reference": [None, "order=7"],
    "since": [None, SINCE],
    "until": [None, UNTIL],
}
LISTINGS = [
    Filters(**dict(zip(CHOICES, values, strict=True))) for values in product(*CHOICES.values())
]


@pytest.mark.parametrize("prefer_status", [False, True])
@pytest.mark.parametrize("after", [None, DEEP], ids=["first page", "deep page"])
def test_every_listing_walks_an_index_in_its_order(
    plan_of: PlanOf, after: Position | None, prefer_status: bool
) -> None:
    for filters in LISTINGS:
        if filters == Filters(
            reference=filters.reference or "", since=filters.since, until=filters.until
        ):
            continue  # what has no other filter walks the reference's pairs
        sql, values = walks.page_query(
            filters, LIMIT, after, by_status=prefer_status, by_reference=False
        )
        plan = plan_of(sql, values)
        walked = [step for step in plan if " messages " in step]
        by_status = bool(filters.statuses) and not any(
            (filters.recipient, filters.recipient_ending, filters.error_code)
        )
        by_status &= prefer_status or filters.sender is None
        assert all("USING INDEX messages_by_" in step for step in walked), plan
        assert len(walked) == (len(filters.statuses) if by_status else 1), plan
        assert full_scans(plan, sql) == [], plan
        # Only the pages of the statuses asked for may be sorted, each page having its own LIMIT.
        assert all(by_status and before.startswith("SCAN (subquery") for before in sorts_of(plan))
        assert sql.count("LIMIT ?") == len(walked) + by_status
        assert values.count(LIMIT) == len(walked) + by_status


@pytest.mark.parametrize("after", [None, DEEP], ids=["first page", "deep page"])
def test_every_listing_by_reference_walks_its_pairs_in_their_order(
    plan_of: PlanOf, after: Position | None
) -> None:
    for filters in LISTINGS:
        if filters.reference is None:
            continue
        plan = plan_of(*walks.page_query(filters, LIMIT, after))
        assert plan[0].startswith("SEARCH p USING PRIMARY KEY (pair=?"), plan
        assert plan[1:] == [
            "SEARCH messages USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH r USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            "SEARCH f USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ]


@pytest.mark.parametrize("after", [None, DEEP], ids=["first page", "deep page"])
@pytest.mark.parametrize(
    ("country", "index"),
    [("US", "message_facts_by_country"), (NO_COUNTRY, "message_facts_without_country")],
)
def test_every_listing_by_country_walks_its_index_in_its_order(
    plan_of: PlanOf, after: Position | None, country: str, index: str
) -> None:
    for filters in LISTINGS:
        of_country = replace(filters, reference=None, country=country)
        plan = plan_of(*walks.page_query(of_country, LIMIT, after))
        assert re.match(f"(SCAN|SEARCH) f USING INDEX {index}", plan[0]), plan
        assert plan[1:-1] == [
            "SEARCH messages USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH r USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ]
        # Those of one second alone: versions of SQLite word it differently.
        assert re.fullmatch("USE TEMP B-TREE FOR (LAST .*|RIGHT PART) OF ORDER BY", plan[-1]), plan


FILTERS = {
    "all": Filters(),
    "a status": Filters(statuses=("sent",)),
    "statuses": Filters(statuses=("sent", "delivered", "failed", "none")),
    "a recipient": Filters(recipient="+14155550003"),
    "a sender": Filters(sender="+14155550003"),
    "an error": Filters(error_code="180"),
    "a reference that all have": Filters(reference="app=crm"),
    "a country": Filters(country="US"),
    "no country": Filters(country=NO_COUNTRY),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_deep_page_costs_what_the_first_costs(full: Path, watched: Watched, name: str) -> None:
    filters = FILTERS[name]
    cost = []
    middle = Position("2026-11-01T06:00:00.000000Z", 45_000)
    for after in (None, middle):
        watched.steps = 0
        page = listing.list_messages(full, filters, LIMIT, after)
        assert len(page.messages) == LIMIT or name == "a recipient"
        cost.append(watched.steps)
    rows_read = (LIMIT + 1) * max(len(filters.statuses), 1)
    assert max(cost) < 200 * rows_read
    assert cost[1] < 1.5 * cost[0] + 500


LOPSIDED = """
    UPDATE messages SET
        sender_number = CASE WHEN id % 1000 = 9 THEN 'rare' WHEN id > ? THEN 'burst'
            ELSE 'usual' END,
        current_status = CASE WHEN id > ? THEN 'sent' WHEN id % 1000 IN (8, 9) THEN 'failed'
            ELSE 'delivered' END
    """


@pytest.mark.parametrize("after", [None, Position("2026-11-01T13:00:00.000000Z", 1)])
@pytest.mark.parametrize(
    ("sender", "status"),
    [
        ("rare", "failed"),
        ("rare", "delivered"),
        ("usual", "failed"),
        ("burst", "delivered"),
        ("usual", "sent"),
    ],
)
def test_of_a_sender_and_a_status_the_rarer_one_is_walked(
    lopsided: Path, watched: Watched, sender: str, status: str, after: Position | None
) -> None:
    page = listing.list_messages(lopsided, Filters(statuses=(status,), sender=sender), LIMIT, after)
    there_are = status == "failed" or (status == "sent" and after is None)
    assert len(page.messages) == (LIMIT if there_are else 0)
    assert watched.steps < 120_000


@pytest.mark.parametrize(
    "filters",
    [
        Filters(reference="app=crm", statuses=("failed",)),
        Filters(reference="app=crm", sender="rare"),
        Filters(reference="order=1009", statuses=("delivered", "failed")),
        Filters(reference="order=1009", sender="rare"),
    ],
)
def test_of_a_reference_and_another_filter_the_rarer_one_is_walked(
    lopsided: Path, watched: Watched, filters: Filters
) -> None:
    page = listing.list_messages(lopsided, filters, LIMIT)
    assert len(page.messages) == (1 if filters.reference == "order=1009" else LIMIT)
    assert watched.steps < 130_000


@pytest.fixture(scope="module")
def lopsided_ones(
    filled: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One sender has sent nearly everything, one rarely sends, and one has just begun; only the
    newest messages are not final yet.
    """
    path = tmp_path_factory.mktemp("lopsided") / "sms.db"
    shutil.copy(filled["with statistics"], path)
    with filling(path) as connection:
        connection.execute(LOPSIDED, (MESSAGES - 300, MESSAGES - 6000))
    return with_and_without_statistics(path)


@pytest.fixture(params=STATISTICS)
def lopsided(lopsided_ones: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return lopsided_ones[request.param]


HISTORY = (SINCE, UNTIL, "2026-11-01T21")
OTHERS: dict[str, Ask] = {
    "find_message": lambda path: listing.find_message(path, f"{7:08}-0000-4000-8000-000000000000"),
    "count_by_status": lambda path: counting.count_by_status(path),
    "read_history": lambda path: counting.read_history(path, HISTORY, Kept()),
    "read_delivery_times": lambda path: [
        counting.read_delivery_times(path, SINCE, UNTIL, by, deliveries)
        for by in ((), ("country",))
        for deliveries in (0, MESSAGES)
    ],
    "read_pulse": lambda path: counting.read_pulse(path, since=SINCE, before=UNTIL, newest=10),
    "change_marker": lambda path: counting.change_marker(path),
    "waiting_messages": lambda path: counting.waiting_messages(
        path, silent_since=UNTIL, created_since=SINCE
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_query_searches_an_index(full: Path, watched: Watched, name: str) -> None:
    assert OTHERS[name](full)
    assert watched.statements
    for plan, statement in watched.plans(full):
        assert full_scans(plan, statement) == [], plan


@pytest.mark.parametrize("name", ["read_history", "waiting_messages"])
def test_a_narrow_window_costs_little(full: Path, watched: Watched, name: str) -> None:
    narrow = ("2026-11-01T10:00:00.000000Z", "2026-11-01T10:01:00.000000Z")
    if name == "read_history":
        assert sum(counting.read_history(full, narrow, Kept())[0].values()) == 120
    else:
        counting.waiting_messages(
            full, silent_since="~", created_since="2026-11-01T13:52:00.000000Z"
        )
    assert watched.steps < 60_000


@pytest.mark.parametrize("by", [(), ("country",)])
def test_a_sample_costs_what_is_among_it(full: Path, watched: Watched, by: tuple[str, ...]) -> None:
    times = counting.read_delivery_times(full, SINCE, UNTIL, by, MESSAGES)
    assert sum(map(len, times.values())) > 400
    assert watched.steps < 200_000


def test_a_message_is_found_in_a_few_steps(full: Path, watched: Watched) -> None:
    assert listing.find_message(full, f"{77_777:08}-0000-4000-8000-000000000000")
    assert listing.find_message(full, "none") is None
    assert watched.steps < 2_000  # which differs from one SQLite to the next; a walk takes 100,000


def test_no_query_was_left_out() -> None:
    asking = {
        name
        for module in (listing, counting)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "path" in inspect.signature(function).parameters
    }
    assert asking - {"list_messages", "walk_messages"} <= OTHERS.keys()
