"""Every answer within 5 s: the waits of a callback, one after another, are no longer than that."""

from __future__ import annotations

import time
from pathlib import Path
from runpy import run_path

import pytest
from flask import Flask

from smsstatus import promise
from smsstatus.intake.keep import Keeping, Place, keep
from smsstatus.intake.last_resort import LastResort
from smsstatus.intake.records import read_record
from smsstatus.intake.spool import Spool
from smsstatus.plivo.callback import Callback
from smsstatus.store.postgres.watch import TICK_SECONDS
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

UNUSABLE = Callback("POST", "", "Status=sent", "2026-11-01T12:00:00.000000Z", used_nonce="1")


def test_the_waits_for_store_spool_and_log_are_within_the_promise() -> None:
    promised = run_path(promise.__file__)
    waits = [promised[f"{place}_SECONDS"] for place in ("STORE", "SPOOL", "LOG", "SPARE")]
    assert min(waits) > 0.4
    assert sum(waits) == promised["PROMISED_SECONDS"] == 5.0
    assert promised["STATEMENT_SECONDS"] < promised["STORE_SECONDS"]
    assert promised["READ_SECONDS"] + TICK_SECONDS <= 5.0 - promised["SPARE_SECONDS"]


def test_each_place_is_waited_for_as_long_as_is_promised(tmp_path: Path) -> None:
    waits = (
        SqliteStore(tmp_path / "sms.db").writer.answer_seconds,
        Spool(tmp_path / "spool")._bounded.seconds,
        LastResort()._bounded.seconds,
    )
    assert waits == (promise.STORE_SECONDS, promise.SPOOL_SECONDS, promise.LOG_SECONDS)
    assert len(set(waits)) == 3


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_store_that_took_long_for_one_question_is_not_asked_another(
    app: Flask, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """Without it a callback that cannot be used is kept in bad/, though it is a forgery."""
    service = service_of(app)
    asked = []

    class Asked(SqliteStore):
        def claim_nonce(self, nonce: str, digest: bytes, parameters: str) -> bool:
            asked.append("nonce")
            if is_slow:
                monkeypatch.setattr(promise, "SPARE_SECONDS", -1.0)
            return True

        def knows_text(self, digest: bytes) -> bool:
            asked.append("text")
            return True

    service.store = Asked(service.settings.database_path)
    kept = keep(service, UNUSABLE, lambda: read_record(UNUSABLE))
    assert asked == (["nonce"] if is_slow else ["nonce", "text"])
    assert kept.place is (Place.BAD if is_slow else Place.TEXT_TAKEN)


@pytest.mark.parametrize(
    ("seconds", "asked", "place"),
    [
        (0.0, ["nonce"], Place.TEXT_TAKEN),
        (promise.SPARE_SECONDS, [], Place.BAD),
        (promise.STORE_SECONDS + promise.SPARE_SECONDS, [], Place.LOGGED),
    ],
)
def test_one_that_cannot_be_used_and_waited_for_others_waits_for_no_place_that_it_has_no_time_for(
    app: Flask, monkeypatch: pytest.MonkeyPatch, seconds: float, asked: list[str], place: Place
) -> None:
    service, questions = service_of(app), []

    class Asked(SqliteStore):
        def claim_nonce(self, nonce: str, digest: bytes, parameters: str) -> bool:
            questions.append("nonce")
            return True

        def knows_text(self, digest: bytes) -> bool:
            return True

    service.store = Asked(service.settings.database_path)
    keeping = Keeping(service, UNUSABLE, lambda: read_record(UNUSABLE))
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + seconds)
    assert keeping.end().place is place
    assert questions == asked
