"""304 while nothing has changed, and a new page as soon as something has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from flask import Flask, template_rendered
from flask.testing import FlaskClient
from jinja2 import Template
from werkzeug.test import TestResponse

from smsstatus.model import utc_timestamp
from smsstatus.plivo.callback import Callback
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.ui import alarms, figures
from smsstatus.web.current import service_of
from tests.clock import HandClock
from tests.conftest import Deliver
from tests.live import API_TOKEN
from tests.signed import Plivo
from tests.store.conftest import write
from tests.store.updates import update_of

LOGIN = ("anyone", API_TOKEN)
UUID = "22222222-2222-4222-8222-222222222222"
PAGES = ("/", "/?window=1h", "/ui/messages", f"/ui/messages/{UUID}")


@pytest.fixture(autouse=True)
def one_bar(clock: HandClock) -> None:
    """The minute does not turn during a test, and nothing that it receives is in the future."""
    clock.turn(300)


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


@pytest.fixture
def slow(app: Flask, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting takes ten seconds."""
    store = service_of(app).store

    def slowly(edges: Sequence[str]) -> object:
        clock.turn(10)
        return SqliteStore.history(store, edges)

    monkeypatch.setattr(store, "history", slowly)


@pytest.mark.usefixtures("slow")
def test_the_first_message_is_shown_at_once(
    client: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    assert "Nothing yet" in get(client, "/").text
    deliver(plivo.post(plivo.fields("queued", UUID)))
    assert "1 message so far" in get(client, "/").text


@pytest.mark.usefixtures("slow")
def test_figures_that_took_long_are_kept_while_callbacks_come_in(
    client: FlaskClient, clock: HandClock, deliver: Deliver, plivo: Plivo
) -> None:
    deliver(plivo.post(plivo.fields("queued", UUID)))
    assert "1 message so far" in get(client, "/").text
    deliver(plivo.post(plivo.fields("queued", UUID.replace("2", "3"))))
    clock.turn(10 * figures.COST - 1)
    page = get(client, "/").text
    assert "1 message so far" in page
    assert page.count('data-show="ago"') >= 2, "the newest messages are always the newest"
    clock.turn(1)
    assert "2 messages so far" in get(client, "/").text


def test_what_has_no_report_by_now_is_counted_though_nothing_has_come(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = service_of(app).clock = HandClock(datetime(2026, 11, 1, 9, tzinfo=UTC))
    seen = {"Timestamp": f"{clock.now():%F %T}", "QueuedTime": f"{clock.now():%F %T}"}
    us, gb = {"Status": "sent", "MCC": "310"}, {"Status": "delivered", "MCC": "234"}
    write(
        service_of(app).store,
        [
            update_of({**seen, **of, "MessageUUID": f"m-{number}"}, utc_timestamp(str(clock.now())))
            for number, of in enumerate([us] * 600 + [gb] * 50)
        ],
    )
    clock.turn(600)
    first = get(client, "/?window=30d")
    assert "delivered, of 50 messages with a final status" in first.text
    assert re.search(r"<dt>No report</dt>\s*<dd>0</dd>", first.text)
    counted: list[object] = []
    history = service_of(app).store.history
    monkeypatch.setattr(
        service_of(app).store, "history", lambda edges: counted.append(edges) or history(edges)
    )
    for seconds, times in ((60, 0), (540, 1), (60, 1)):  # it is 9:11, 9:20 and 9:21
        clock.turn(seconds)
        get(client, "/?window=30d")
        assert len(counted) == times
    clock.turn(6 * 3600 - 1260)
    later = get(client, "/?window=30d", first.headers["ETag"])
    assert "failed or undelivered: 0 of 650 messages" in later.text
    assert re.search(r"<dt>No report</dt>\s*<dd>600</dd>", later.text)


def test_an_unchanged_overview_is_not_rendered_again(app: Flask, client: FlaskClient) -> None:
    rendered: list[str] = []

    def note(sender: Flask, template: Template, **more: object) -> None:
        rendered.append(str(template.name))

    with template_rendered.connected_to(note, app):
        first, again = get(client, "/"), get(client, "/")
    assert (again.status_code, again.data) == (200, first.data)
    assert rendered == ["overview.html"]


def test_waiting_spool_files_are_told_of(app: Flask, client: FlaskClient, clock: HandClock) -> None:
    etag = get(client, "/").headers["ETag"]
    kept = Callback("POST", "", "Status=sent", "2026-11-01T00:00:00.000000Z")
    service_of(app).spool.keep(kept, "a reason")
    clock.turn(alarms.FRESH_SECONDS)
    changed = get(client, "/", etag)
    assert changed.status_code == 200
    assert "1 callback waits in the spool." in changed.text


def test_silence_while_a_message_waits_is_told(
    client: FlaskClient, clock: HandClock, deliver: Deliver, plivo: Plivo
) -> None:
    deliver(plivo.post(plivo.fields("sent", UUID)))
    assert "No callback has come" not in get(client, "/").text
    clock.turn(3600)
    page = get(client, "/").text
    assert "No callback has come for unusually long" in page
    assert "1 message waits for more than ten minutes" in page
