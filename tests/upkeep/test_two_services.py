"""Two services on one database ask Plivo as one would: each with gunicorn, by themselves."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smsstatus.model import utc_timestamp
from smsstatus.settings.database_url import read_database_url
from smsstatus.store.opening import open_mover
from smsstatus.upkeep.reconcile import REQUESTS_PER_SECOND
from smsstatus.upkeep.timetable import run_of

from ..live import LiveService, wait_until
from ..plivo_api import AUTH_ID, Asked, PlivoApi, Reply
from ..store.conftest import STORES, write
from ..store.updates import at, update_of

SILENT = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(30)]


@pytest.fixture(params=STORES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with messages that have been silent for an hour."""
    url = f"sqlite:///{tmp_path / 'sms.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
    received_at = utc_timestamp(str(datetime.now(UTC) - timedelta(hours=1)))
    with closing(open_mover(read_database_url(url), may_create=True).store) as store:
        store.prepare()
        write(store, [update_of(at("sent", MessageUUID=name), received_at) for name in SILENT])
    return url


def ended(url: str) -> str:
    """When the last reconcile ended; empty while it is under way."""
    with closing(open_mover(read_database_url(url), may_create=False).store) as store:
        run = run_of("reconcile", store.runs.last())
    return (run and run.ended_at) or ""


def test_two_services_ask_about_each_message_once_and_no_faster_than_one(
    database_url: str,
    standin: PlivoApi,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """They begin a minute after their start, so this is long."""
    if request.config.getoption("--fault-rounds") != "full":
        pytest.skip("takes two minutes: run with --fault-rounds=full")
    times: dict[str, list[float]] = {"list": [], "get": []}

    def reply(asked: Asked) -> Reply | None:
        kind = "list" if asked.path.partition("?")[0].endswith("/Message/") else "get"
        times[kind].append(time.monotonic())
        if kind == "list":
            return Reply(200, {"meta": {"limit": 20, "offset": 0, "total_count": 0}, "objects": []})
        name = asked.path.rstrip("/").rpartition("/")[2]
        return Reply(200, {"message_uuid": name, "message_state": "delivered"})

    standin.reply = reply
    with ExitStack() as running:
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            service = LiveService(
                folder,
                DATABASE_URL=database_url,
                SPOOL_DIR=str(folder / "spool"),
                PLIVO_AUTH_ID=AUTH_ID,
                PLIVO_API_URL=standin.url,
                RECONCILE_EVERY="1m",
            )
            running.callback(service.stop)
            service.start()
        wait_until(lambda: len(times["get"]) >= len(SILENT), 300, "all have been asked about")
        wait_until(lambda: ended(database_url), what="the run ends")
        first = ended(database_url)
        wait_until(lambda: ended(database_url) > first, 180, "it is done once more")
    asked = Counter(
        asked.path.rstrip("/").rpartition("/")[2]
        for asked in standin.asked
        if asked.path.rstrip("/").endswith("-000000000000")
    )
    assert asked == Counter(SILENT)
    assert times["list"]
    together = sorted(times["list"] + times["get"])
    spans = [
        later - earlier
        for earlier, later in zip(together, together[REQUESTS_PER_SECOND:], strict=False)
    ]
    assert min(spans) >= 1
