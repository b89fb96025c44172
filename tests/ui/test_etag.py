"""304 while nothing has changed, and a new page as soon as something has."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsstatus.service import current_service
from smsstatus.settings import Settings
from smsstatus.ui import alarms, figures, overview
from tests.conftest import Deliver
from tests.live import API_TOKEN
from tests.plivo import Plivo

LOGIN = ("anyone", API_TOKEN)
UUID = "22222222-2222-4222-8222-222222222222"
PAGES = ("/", "/?window=1h", "/ui/messages", f"/ui/messages/{UUID}")


@pytest.fixture(autouse=True)
def one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute does not turn during a test, and whatever changed is looked at at once."""
    moment = datetime.now(UTC)
    monkeypatch.setattr(figures.Window, "number_at", lambda self, now: _number(self, moment))
    monkeypatch.setattr(figures, "COST", 0)
    monkeypatch.setattr(alarms, "FRESH_SECONDS", 0)


def _number(window: figures.Window, moment: datetime) -> int:
    return int(moment.timestamp() // window.step.total_seconds())


def get(client: FlaskClient, path: str, etag: str = "") -> TestResponse:
    return client.get(path, auth=LOGIN, headers={"If-None-Match": etag} if etag else {})


@pytest.mark.parametrize("path", PAGES)
def test_nothing_changed_is_304_without_content(
    client: FlaskClient, deliver: Deliver, plivo: Plivo, path: str
) -> None:
    deliver(plivo.post(plivo.fields("queued", UUID)))
    first = get(client, path)
    assert first.status_code == 200
    again = get(client, path, first.headers["ETag"])
    assert again.status_code == 304
    assert again.data == b""
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_a_callback_changes_the_page(
    client: FlaskClient, deliver: Deliver, plivo: Plivo, path: str
) -> None:
    deliver(plivo.post(plivo.fields("queued", UUID)))
    etag = get(client, path).headers["ETag"]
    deliver(plivo.post(plivo.fields("delivered", UUID)))
    changed = get(client, path, etag)
    assert changed.status_code == 200
    assert "Delivered" in changed.text


def test_a_repeated_callback_shows_on_the_message_and_leaves_the_overview(
    client: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    callback = plivo.fields("queued", UUID)
    deliver(plivo.post(callback))
    pages = {path: get(client, path).headers["ETag"] for path in PAGES}
    deliver(plivo.post(callback))
    assert get(client, "/", pages["/"]).status_code == 304
    changed = get(client, f"/ui/messages/{UUID}", pages[f"/ui/messages/{UUID}"])
    assert "came 1 more time" in changed.text


def test_the_tag_is_where_the_script_finds_it(client: FlaskClient) -> None:
    for path in ("/", "/ui/messages", "/ui/send"):
        answer = get(client, path)
        found = re.search(r'data-etag="(\w+)"', answer.text)
        assert found
        assert answer.headers["ETag"] == f'"{found[1]}"'


def test_the_windows_have_pages_of_their_own(client: FlaskClient) -> None:
    tags = {get(client, f"/?window={name}").headers["ETag"] for name in figures.WINDOWS}
    assert len(tags) == len(figures.WINDOWS)


def test_figures_that_took_long_are_kept_while_callbacks_come_in(
    client: FlaskClient, deliver: Deliver, plivo: Plivo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "COST", 1e9)
    deliver(plivo.post(plivo.fields("queued", UUID)))
    assert "1 message" in get(client, "/").text
    deliver(plivo.post(plivo.fields("queued", UUID.replace("2", "3"))))
    page = get(client, "/").text
    assert "1 message is known of" in page
    assert page.count('data-show="ago"') >= 2, "the newest messages are always the newest"


def test_an_unchanged_overview_is_not_rendered_again(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = get(client, "/").data
    monkeypatch.setattr(overview.live, "page", None)
    assert get(client, "/").data == content


def test_waiting_spool_files_are_told_of(client: FlaskClient) -> None:
    with client.application.app_context():
        spool = current_service().spool
    etag = get(client, "/").headers["ETag"]
    (spool.folder / "20261101000000-1.json").write_text("{}")
    with client.application.app_context():
        current_service().readiness = (0.0, {})
    changed = get(client, "/", etag)
    assert changed.status_code == 200
    assert "1 callback waits in the spool." in changed.text


def test_silence_while_a_message_waits_is_told(
    client: FlaskClient, deliver: Deliver, plivo: Plivo, settings: Settings
) -> None:
    deliver(plivo.post(plivo.fields("sent", UUID)))
    assert "No callback has come" not in get(client, "/").text
    earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        connection.execute("UPDATE messages SET created_at = ?", (earlier,))
        connection.execute("UPDATE status_events SET received_at = ?", (earlier,))
    page = get(client, "/").text
    assert "No callback has come for unusually long" in page
    assert "1 message waits for more than ten minutes" in page
