"""A file of version 5: where its messages went and what they cost is read from what was kept."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from smsstatus.model import TEXT_DIGEST_SIZE, StatusUpdate, utc_now
from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.store.contract import Filters, Outcome
from smsstatus.store.packing import pack
from smsstatus.store.sqlite import upgrade
from smsstatus.store.sqlite.store import SqliteStore

from ..conftest import write
from ..updates import THEIRS, at, second, update_of

MESSAGES = 20
AFTER = "2999-01-01T00:00:00.000000Z"

Facts = set[tuple[str, str | None, str | None, int | None, int | None]]


def lives() -> list[StatusUpdate]:
    """Updates of messages to three countries; what they cost changes with their status."""
    chance = random.Random(5)
    made = []
    for number in range(MESSAGES):
        mcc, mnc = chance.choice([("310", "260"), ("404", "01"), ("", "")])
        for status in ("queued", "sent", "delivered"):
            amount = chance.choice(["0.00550", "0.1", ""])
            told = {"MCC": mcc, "MNC": mnc, "Units": "2" if amount else "", "TotalAmount": amount}
            fields = at(status, "12:00:01", MessageUUID=f"m-{number}", To="447911123456", **told)
            callback = Callback("POST", "", urlencode(fields), second(number))
            made.append(read_callback(callback, source="callback"))
    return made


def make_former(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%summed_spans%'"
        ).fetchall()
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for table in ("message_facts", "summed_spans", "sums", "kinds"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 5")


def facts_of(store: SqliteStore) -> Facts:
    return {
        (each.message_uuid, each.country, each.network, each.units, each.amount)
        for each in store.walk(Filters())
    }


@pytest.fixture
def former(tmp_path: Path) -> SqliteStore:
    """A file of version 5 that has two thirds of the updates of `lives`."""
    store = SqliteStore(tmp_path / "sms.db")
    store.prepare()
    write(store, [update for update in lives() if update.status != "delivered"])
    store.close()
    make_former(tmp_path / "sms.db")
    return store


def test_while_callbacks_come_all_messages_get_their_facts_and_none_is_lost(
    former: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "FACTS_BATCH", 4)
    former.prepare()
    coming = [update for update in lives() if update.status == "delivered"]
    random.Random(1).shuffle(coming)
    is_left = True
    while is_left or coming:
        if coming:
            assert former.record(coming.pop()) is Outcome.APPLIED
        is_left = former.correct_some(AFTER)
        if upgrade.lacks_facts(former.path):
            assert not former.sum_up_some(AFTER)
    direct = SqliteStore(tmp_path / "direct.db")
    direct.prepare()
    write(direct, lives())
    assert facts_of(former) == facts_of(direct)
    assert len(facts_of(former)) == MESSAGES
    assert former.sum_up_some(AFTER)
    former.close()
    direct.close()


def test_a_query_of_the_senders_own_is_not_read(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "sms.db")
    store.prepare()
    told = {"MessageUUID": "m", "To": "14155550123"}
    write(store, [update_of(at("queued", "", **told, **{"?": q})) for q in (THEIRS, "order=2")])
    store.close()
    make_former(store.path)
    store.prepare()
    while store.correct_some(utc_now()):
        pass
    assert facts_of(store) == {("m", "US", None, None, None)}
    store.close()


def test_what_is_damaged_says_nothing_and_stops_nothing(
    former: SqliteStore, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "sms.db", isolation_level=None)) as connection:
        connection.execute("UPDATE status_events SET parameters = x'00' WHERE id = 1")
    former.prepare()
    while former.correct_some(utc_now()):
        pass
    assert len(former.list(Filters(country="US"), 100).messages) > 0
    assert {country for _, country, *_ in facts_of(former)} <= {"US", "IN", "GB", None}
    former.close()


WRITE_AS_VERSION_5 = (
    """INSERT INTO messages (
           message_uuid, sender_number, recipient_number, initial_status, current_status,
           status_timestamp, error_code, created_at, updated_at, queued_at, is_final, sequence,
           rank, digest)
       VALUES (
           :message_uuid, :sender_number, :recipient_number, :status, :status,
           :status_timestamp, :error_code, :received_at, :received_at, :queued_at, :is_final,
           :sequence, :rank, :digest)
       ON CONFLICT (message_uuid) DO UPDATE SET
           current_status = excluded.current_status,
           status_timestamp = excluded.status_timestamp, updated_at = excluded.updated_at,
           is_final = excluded.is_final, sequence = excluded.sequence, rank = excluded.rank,
           digest = excluded.digest""",
    "INSERT INTO signed_texts (digest) VALUES (:text)",
    """INSERT INTO status_events (
           message_id, digest, status, status_timestamp, error_code, sequence, rank, is_final,
           received_at, source, parameters)
       SELECT id, :digest, :status, :status_timestamp, :error_code, :sequence, :rank, :is_final,
           :received_at, :source, :packed
       FROM messages WHERE message_uuid = :message_uuid""",
)


def write_as_version_5(path: Path, update: StatusUpdate) -> None:
    packed = pack(
        update.parameters,
        update.message_uuid,
        update.status,
        update.status_timestamp,
        update.error_code,
        update.sequence,
    )
    values = {
        **update._asdict(),
        "received_at": utc_now(),
        "text": update.digest[:TEXT_DIGEST_SIZE],
        "packed": packed,
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in WRITE_AS_VERSION_5:
            connection.execute(statement, values)


def test_what_a_program_of_version_5_still_writes_gets_its_facts_once_that_has_ended(
    former: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "EVENTS_BATCH", 7)
    former.prepare()
    while former.correct_some(utc_now()):
        pass
    for update in lives():
        if update.status == "delivered":
            write_as_version_5(former.path, update)
            new = update._replace(message_uuid=f"new-{update.message_uuid}")
            write_as_version_5(former.path, new._replace(digest=new.digest[::-1]))
    assert not former.correct_some(utc_now())
    assert not former.sum_up_some(AFTER)  # since facts change no sums
    marker = former.change_marker()
    while former.correct_some(AFTER):
        assert former.change_marker() != marker  # so a page that shows the facts is made again
        marker = former.change_marker()
    direct = SqliteStore(tmp_path / "direct.db")
    direct.prepare()
    write(direct, lives())
    alone = [update for update in lives() if update.status == "delivered"]
    write(
        direct,
        [u._replace(message_uuid=f"new-{u.message_uuid}", digest=u.digest[::-1]) for u in alone],
    )
    assert facts_of(former) == facts_of(direct)
    assert len(facts_of(former)) == 2 * MESSAGES
    assert former.sum_up_some(AFTER)
    former.close()
    direct.close()
