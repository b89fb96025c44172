"""What stands after updates came in any order and any number of times."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.model import TEXT_DIGEST_SIZE, StatusUpdate
from smsstatus.plivo.callback import Callback, status_update
from smsstatus.plivo.form import parse_form
from smsstatus.settings import Settings
from smsstatus.store.contract import Outcome
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.store.sqlite.updates import apply_update

from ..conftest import Deliver, Query
from ..processes import examples
from ..signed import Plivo

DAY = "2026-11-01"
Fields = dict[str, str]
Arrive = Callable[..., dict[str, Any]]
_WORD = re.compile(r"\w+")


def at(status: str, time: str = "", **more: str) -> Fields:
    """Fields of a callback; `time` is of the day above, with its offset if it has one."""
    return {"Status": status, **({"Timestamp": f"{DAY} {time}"} if time else {}), **more}


@pytest.fixture
def arrive(deliver: Deliver, plivo: Plivo, query: Query) -> Arrive:
    """Deliver these callbacks of one message in this order; its row at the end."""

    def one_after_another(*callbacks: Fields) -> dict[str, Any]:
        for fields in callbacks:
            assert deliver(plivo.post({"MessageUUID": "a-uuid", **fields})).status_code == 200
        (row,) = query("SELECT * FROM messages")
        return row

    return one_after_another


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


@pytest.mark.parametrize("callbacks", ORDERED.values(), ids=ORDERED)
@pytest.mark.parametrize("order", ["in order", "out of order"])
def test_the_last_one_stands_in_whatever_order_they_come(
    arrive: Arrive, callbacks: list[Fields], order: str
) -> None:
    row = arrive(*(callbacks if order == "in order" else callbacks[::-1]))
    assert row["current_status"] == callbacks[-1]["Status"]
    assert row["initial_status"] == callbacks[0]["Status"]


LIFE = [
    at("queued", "00:00:01", From="1", To="+2", QueuedTime=f"{DAY} 00:00:01"),
    at("sent", "00:00:02", From="1"),
    at("undelivered", "00:00:03", ErrorCode="30", To="2", MessageTime=f"{DAY} 00:00:00"),
]


@pytest.mark.parametrize("order", list(permutations(LIFE)))
def test_a_whole_life_ends_in_the_same_row(arrive: Arrive, order: tuple[Fields, ...]) -> None:
    row = arrive(*order)
    assert row["initial_status"] == "queued"
    assert row["current_status"] == "undelivered"
    assert row["status_timestamp"] == f"{DAY}T00:00:03.000000Z"
    assert row["error_code"] == "30"
    assert (row["sender_number"], row["recipient_number"]) == ("1", "+2")
    assert row["queued_at"] == f"{DAY}T00:00:00.000000Z"


def test_the_error_code_goes_with_the_status_that_stands(arrive: Arrive) -> None:
    assert arrive(at("undelivered", "00:00:03", ErrorCode="30"))["error_code"] == "30"
    assert arrive(at("sent", "00:00:09", ErrorCode="99"))["error_code"] == "30"
    assert arrive(at("delivered", "00:00:04", ErrorCode="000"))["error_code"] is None


def test_created_at_stays_and_updated_at_is_of_the_update_that_stands(
    settings: Settings, query: Query
) -> None:
    lives = [at("queued", "00:00:01"), at("delivered", "00:00:03"), at("sent", "00:00:02")]
    first, second, third = (f"{DAY}T12:00:0{second}.000000Z" for second in range(3))
    store = SqliteStore(settings.database_path)
    times = []
    for fields, received_at in zip(lives, (first, second, third), strict=True):
        store.record(update_of({"MessageUUID": "a-uuid", **fields}, received_at))
        (row,) = query("SELECT created_at, updated_at FROM messages")
        times.append((row["created_at"], row["updated_at"]))
    store.close()
    assert times == [(first, first), (first, second), (first, second)]


def test_a_refused_move_leaves_a_log_line(arrive: Arrive, caplog: pytest.LogCaptureFixture) -> None:
    arrive(at("delivered", "00:00:03"), at("sent", "00:00:02"))
    assert (
        f"message a-uuid: sent at {DAY}T00:00:02.000000Z came after delivered at "
        f"{DAY}T00:00:03.000000Z, which stands"
    ) in caplog.messages


def test_a_duplicate_changes_nothing_but_its_count(arrive: Arrive, query: Query) -> None:
    life = [at("queued", "00:00:01"), at("sent", "00:00:02"), at("delivered", "00:00:03")]
    before = arrive(*life)
    events = query("SELECT * FROM status_events WHERE status <> 'sent'")
    assert arrive(life[1], life[1]) == before
    assert query("SELECT * FROM status_events WHERE status <> 'sent'") == events
    assert query("SELECT repeats FROM status_events WHERE status = 'sent'") == [{"repeats": 2}]


def test_a_replayed_duplicate_is_not_counted_as_a_retry_of_plivo(
    settings: Settings, query: Query
) -> None:
    store = SqliteStore(settings.database_path)
    update = update_of(at("sent", MessageUUID="a-uuid"))
    outcomes = [store.record(update) for _ in range(2)]
    outcomes.append(store.record(update._replace(source="replay")))
    store.close()
    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert query("SELECT repeats, source FROM status_events") == [
        {"repeats": 1, "source": "callback"}
    ]


def test_a_text_that_was_read_as_one_message_is_not_read_as_another(
    settings: Settings, query: Query
) -> None:
    store = SqliteStore(settings.database_path)
    one = update_of(at("sent", MessageUUID="one"))
    other = one._replace(message_uuid="other", digest=one.digest[:TEXT_DIGEST_SIZE] + b"another")
    outcomes = [store.record(update) for update in (one, other, one)]
    store.close()
    assert outcomes == [Outcome.APPLIED, Outcome.TEXT_TAKEN, Outcome.DUPLICATE]
    assert query("SELECT message_uuid FROM messages") == [{"message_uuid": "one"}]
    assert query("SELECT repeats FROM status_events") == [{"repeats": 1}]


def test_events_keep_what_came(arrive: Arrive, query: Query) -> None:
    arrive(at("Sent", "00:00:02", ErrorCode="7", Sequence="3", Extra="\u00fc"))
    (event,) = query("SELECT * FROM status_events")
    assert (event["status"], event["error_code"], event["sequence"]) == ("sent", "7", 3)
    assert (event["status_timestamp"], event["rank"]) == (f"{DAY}T00:00:02.000000Z", 2)
    assert event["parameters"].endswith(
        "&Status=Sent&Timestamp=2026-11-01+00%3A00%3A02&ErrorCode=7&Sequence=3&Extra=%C3%BC"
    )
    (row,) = query("SELECT created_at FROM messages")
    assert event["received_at"] == row["created_at"]


def update_of(fields: Fields, received_at: str = f"{DAY}T12:00:00.000000Z") -> StatusUpdate:
    """The update these fields make; Body stands for what only a send tells, `?` for the query."""
    query = fields.get("?", "")
    body = [pair for pair in fields.items() if pair[0] != "?"]
    callback = Callback("POST", query, str(body), received_at)
    update = status_update(parse_form(query.encode()), body, callback)
    return update._replace(message_body=fields.get("Body"))


def test_a_change_of_status_rewrites_no_index_of_what_stays(settings: Settings) -> None:
    numbers = {"MessageUUID": "a-uuid", "From": "1", "To": "2"}

    def work(connection: sqlite3.Connection) -> set[str]:
        apply_update(connection, update_of({**numbers, "Status": "sent"}))
        written: set[str] = set()

        def look(action: int, table: str | None, column: str | None, *_: object) -> int:
            if action == sqlite3.SQLITE_UPDATE and table == "messages":
                written.add(str(column))
            return sqlite3.SQLITE_OK

        connection.set_authorizer(look)
        apply_update(connection, update_of({**numbers, "Status": "delivered"}))
        connection.set_authorizer(None)
        assert "current_status" in written
        return {name for name, text in indexes(connection) if written & set(_WORD.findall(text))}

    store = SqliteStore(settings.database_path)
    assert store.writer.submit(work) == {"messages_by_status_and_sender", "messages_by_error"}
    store.close()


def indexes(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Name and definition of each index of messages."""
    return connection.execute(
        "SELECT name, sql FROM sqlite_master"
        " WHERE type = 'index' AND tbl_name = 'messages' AND sql IS NOT NULL"
    ).fetchall()


# For any set of updates of a message, any arrival order with any duplicates leaves the same.

_times = st.sampled_from(
    [
        "",
        "soon",
        "0001-01-01 00:00:00",
        "2099-01-01 00:00:00",
        f"{DAY} 00:00:01",
        f"{DAY} 00:00:02",
        f"{DAY} 05:30:01+05:30",
        f"{DAY} 00:00:01.5",
    ]
)
_updates = st.fixed_dictionaries(
    {
        "Status": st.sampled_from(
            [
                "queued",
                "Sent",
                "sent",
                "delivered",
                "undelivered",
                "failed",
                "rejected",
                "read",
                "lost",
                "found",
            ]
        )
    },
    optional={
        "From": st.sampled_from(["1", "2", "+1", ""]),
        "To": st.sampled_from(["3", "4", "+3"]),
        "ErrorCode": st.sampled_from(["", "000", "30", "450"]),
        "Sequence": st.sampled_from(["1", "2", "10", "x"]),
        "Timestamp": _times,
        "SentTime": _times,
        "DeliveryReportTime": _times,
        "?": st.sampled_from(["", "order=42", "order=41&To=crm", "Status=read"]),
        "QueuedTime": _times,
        "MessageTime": _times,
    },
)


_SELECT_REFERENCES = (
    """SELECT query, r.filed_at FROM message_references AS r JOIN messages AS m
       ON m.id = r.message_id WHERE message_uuid = ?""",
    """SELECT pair, filed_at FROM reference_pairs AS p JOIN messages AS m
       ON m.id = p.message_id WHERE message_uuid = ?""",
)

Arrival = tuple[Fields, str]
"""Fields, and when our clock says they came: what waited in the spool is applied later."""


@st.composite
def _arrivals(draw: st.DrawFn) -> tuple[list[Arrival], list[Arrival]]:
    """The same updates, some of them repeated, twice, each time in an order of its own."""
    updates = draw(st.lists(_updates, min_size=1, max_size=6))
    updates += draw(st.sampled_from([[], [at("queued", Body="the text")]]))
    updates += draw(st.lists(st.sampled_from(updates), max_size=4))
    seconds = draw(st.permutations(range(len(updates))))
    arrivals = [
        (fields, f"{DAY}T12:00:{second:02}.000000Z")
        for fields, second in zip(updates, seconds, strict=True)
    ]
    return draw(st.permutations(arrivals)), draw(st.permutations(arrivals))


_COLUMNS = (
    "sender_number",
    "recipient_number",
    "message_body",
    "initial_status",
    "current_status",
    "status_timestamp",
    "error_code",
    "created_at",
    "updated_at",
    "queued_at",
    "checked_at",
    "is_final",
    "sequence",
    "rank",
    "digest",
)
_SELECT_EVENTS = """
    SELECT e.digest, e.status, e.status_timestamp, e.error_code, e.sequence, e.rank, e.is_final,
        e.source, e.parameters, e.received_at, e.repeats
    FROM status_events AS e JOIN messages AS m ON e.message_id = m.id WHERE message_uuid = ?
    """


class Left(NamedTuple):
    """What stands of one message, without ids."""

    row: dict[str, Any]
    events: set[tuple[Any, ...]]
    reference: list[tuple[Any, ...]]
    pairs: set[tuple[Any, ...]]


class TwoFiles:
    """Two stores on real files, and a number that gives each example a message of its own."""

    def __init__(self, folder: Path) -> None:
        self.stores = [SqliteStore(folder / "one.db"), SqliteStore(folder / "other.db")]
        self.examples = 0


def leave(store: SqliteStore, updates: list[StatusUpdate]) -> Left:
    """Write updates of one message in this order, and read what stands."""

    def work(connection: sqlite3.Connection) -> Left:
        for update in updates:
            apply_update(connection, update)
        of_message = (updates[0].message_uuid,)
        (row,) = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM messages WHERE message_uuid = ?", of_message
        ).fetchall()
        events = connection.execute(_SELECT_EVENTS, of_message).fetchall()
        reference, pairs = (
            connection.execute(sql, of_message).fetchall() for sql in _SELECT_REFERENCES
        )
        return Left(dict(zip(_COLUMNS, row, strict=True)), set(events), reference, set(pairs))

    return store.writer.submit(work)


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoFiles]:
    files = TwoFiles(tmp_path_factory.mktemp("order"))
    yield files
    for store in files.stores:
        store.close()


def test_the_property_below_compares_every_column(arrive: Arrive) -> None:
    row = arrive(at("sent"))
    assert {*_COLUMNS, "id", "message_uuid"} == set(row)


@given(_arrivals())
@hypothesis_settings(max_examples=examples(500), deadline=None, derandomize=True)
def test_any_order_of_arrival_with_any_duplicates_leaves_the_same(
    two_files: TwoFiles, arrivals: tuple[list[Arrival], list[Arrival]]
) -> None:
    two_files.examples += 1
    orders = [
        [
            update_of({"MessageUUID": f"message-{two_files.examples}", **fields}, received)
            for fields, received in order
        ]
        for order in arrivals
    ]
    one, other = map(leave, two_files.stores, orders)
    assert one == other
    assert one.row["created_at"] == min(update.received_at for update in orders[0])

    by_key = sorted(orders[0], key=lambda update: update.order_key)
    assert one.row["initial_status"] == by_key[0].status
    assert one.row["current_status"] == by_key[-1].status
    assert one.row["digest"] == by_key[-1].digest
    assert len(one.events) == len({update.digest for update in by_key})
    told = sorted(update.reference for update in by_key if update.reference)
    assert one.reference == [(query, one.row["created_at"]) for query in told[:1]]
    pairs = told[0].split("&") if told else []
    assert one.pairs == {(pair, one.row["created_at"]) for pair in pairs}
