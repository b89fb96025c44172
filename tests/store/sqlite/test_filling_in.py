"""A file of version 5: where its messages went and what they cost is read from what was kept."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from smsstatus.model import StatusUpdate
from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.store.contract import Filters, Outcome
from smsstatus.store.sqlite import upgrade
from smsstatus.store.sqlite.store import SqliteStore

from ..conftest import write
from ..updates import at, second

MESSAGES = 20
AFTER = "2026-11-02T00:00:00.000000Z"

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
        is_left = former.correct_some()
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


def test_what_is_damaged_says_nothing_and_stops_nothing(
    former: SqliteStore, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "sms.db", isolation_level=None)) as connection:
        connection.execute("UPDATE status_events SET parameters = x'00' WHERE id = 1")
    former.prepare()
    while former.correct_some():
        pass
    assert len(former.list(Filters(country="US"), 100).messages) > 0
    assert {country for _, country, *_ in facts_of(former)} <= {"US", "IN", "GB", None}
    former.close()
