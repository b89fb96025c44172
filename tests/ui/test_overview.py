"""What the overview says of a window: its cost, the change, time to deliver, why messages fail."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.model import StatusUpdate, utc_timestamp
from smsstatus.store.sqlite import counting
from smsstatus.store.sqlite.store import SqliteStore
from smsstatus.web.current import service_of

from ..clock import HandClock
from ..conftest import Receive
from ..live import API_TOKEN
from ..store.conftest import write
from ..store.updates import at, update_of
from .conftest import Site, Visitor, running_site
from .waiting import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LOGIN = ("anyone", API_TOKEN)
ARROWS = {"up": "M8 14V2", "down": "M8 2V14"}
"""How the line begins that ends at the arrow's tip."""
REASON = "Spam detected"
WIDTHS = (360, 1280)


def section(page: str, key: str) -> str:
    """A section of the page without what is between its words."""
    found = re.search(rf'<section [^>]*data-key="{key}">(.*?)</section>', page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def words(markup: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", markup).split())


def lives(
    now: datetime, ago: int, failed: int, messages: int = 10, **more: str
) -> list[StatusUpdate]:
    """Of messages that were first seen so many minutes ago; the last were undelivered."""
    seen = now - timedelta(minutes=ago)
    times = {"QueuedTime": seen - timedelta(seconds=3), "DeliveryReportTime": seen}
    fields = {
        "To": "919812345678",
        "MCC": "404",
        "MNC": "45",
        "Units": "1",
        "TotalAmount": "0.25",
        **{name: f"{time:%F %T}" for name, time in times.items()},
        **more,
    }
    bad = {"Status": "undelivered", "ErrorCode": "30"}
    updates = []
    for number in range(messages):
        told = {**at("delivered", MessageUUID=f"m-{ago}-{number}"), **fields}
        updates.append(
            update_of(
                {**told, **(bad if number >= messages - failed else {})}, utc_timestamp(str(seen))
            )
        )
    return updates


def hour_of(app: Flask) -> str:
    """The headline of the last hour."""
    page = app.test_client().get("/?window=1h", auth=LOGIN)
    return section(page.text, "headline")


@pytest.mark.parametrize(
    ("before", "now", "direction", "said"),
    [
        (30, 10, "up", "20 points more than in the hour before: 70 %"),
        (10, 30, "down", "20 points less than in the hour before: 90 %"),
        (10, 10, "same", "as in the hour before: 90 %"),
    ],
)
def test_the_change_against_the_hour_before_has_an_arrow_and_its_figure(
    app: Flask, clock: HandClock, before: int, now: int, direction: str, said: str
) -> None:
    for ago, failed in ((90, before), (10, now)):
        write(service_of(app).store, lives(clock.now(), ago, failed, messages=100))
    headline = hour_of(app)
    found = re.search(r'<p class="change ([^"]*)">(.*?)</p>', headline, re.DOTALL)
    assert found is not None
    assert words(found[2]) == said
    assert found[1].split() == [direction, *(["worse"] if direction == "down" else [])]
    arrows = re.findall(r'<path d="([^"]*)"', found[2])
    assert [arrow.startswith(ARROWS[direction]) for arrow in arrows] == [True] * len(arrows)
    assert len(arrows) == (direction in ARROWS)


@pytest.mark.parametrize(("before", "now"), [(99, 100), (100, 99)])
def test_the_rates_of_a_few_messages_are_not_compared(
    app: Flask, clock: HandClock, before: int, now: int
) -> None:
    for ago, messages in ((90, before), (10, now)):
        write(service_of(app).store, lives(clock.now(), ago, 10, messages=messages))
    headline = hour_of(app)
    assert f"of {now} messages with a final status" in words(headline)
    assert 'class="change' not in headline


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"Units": "1", "TotalAmount": "0.25"}, "2.50"),
        ({"Units": "1", "TotalAmount": "0.00"}, "0"),
        ({"Units": "", "TotalAmount": ""}, "\u2013"),
    ],
)
def test_the_cost_of_the_window_stands_beside_the_headline(
    app: Flask, clock: HandClock, told: dict[str, str], shown: str
) -> None:
    now = clock.now()
    write(service_of(app).store, lives(now, 90, 1, TotalAmount="7") + lives(now, 10, 1, **told))
    figures = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", hour_of(app), re.DOTALL))
    assert figures["Cost, USD"] == shown


def test_the_rate_of_a_country_says_of_how_many_messages_it_is(
    client: FlaskClient, clock: HandClock, receive: Receive
) -> None:
    clock.turn(60)
    for status in ("delivered", "delivered", "sent"):
        receive(status, MCC="404")
    receive("sent", MCC="310")
    countries = section(client.get("/", auth=LOGIN).text, "countries")
    rows = dict(re.findall(r'<tr data-key="(.*?)">(.*?)</tr>', countries, re.DOTALL))
    assert words(rows["IN"]).startswith("India 3 100 % of 2 0 % 0 ")
    assert words(rows["US"]).startswith("United States 1 \u2013 0 % 0 ")


def test_time_to_deliver_is_shown_in_parts_with_their_shares(
    client: FlaskClient, clock: HandClock, receive: Receive
) -> None:
    clock.turn(60)
    for seconds in (1, 2, 2, 2, 40, 45, 7000, 8000):
        queued = datetime(2026, 11, 1, tzinfo=UTC)
        times = {"QueuedTime": queued, "DeliveryReportTime": queued + timedelta(seconds=seconds)}
        receive("delivered", **{name: f"{time:%F %T}" for name, time in times.items()})
    times = section(client.get("/", auth=LOGIN).text, "times")
    assert words(times).startswith("Time to deliver")
    parts = re.findall(r"<li data-key=[^>]*>(.*?)</li>", times, re.DOTALL)
    assert [words(part) for part in parts] == [
        "within 1 s 12 % 1",
        "within 2 s 38 % 3",
        "within 5 s 0 % 0",
        "within 10 s 0 % 0",
        "within 30 s 0 % 0",
        "within 1 min 25 % 2",
        "within 5 min 0 % 0",
        "within 1 h 0 % 0",
        "longer 25 % 2",
    ]
    widths = re.findall(r'class="piece good" width="([^"]*)"', times)
    assert [round(float(width)) for width in widths] == [33, 100, 0, 0, 0, 67, 0, 0, 67]


def test_times_of_a_sample_are_shares_and_say_that_they_are_of_one(
    app: Flask, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("DELIVERIES_TIMED", 4), ("SAMPLE", 4), ("PARTS", 1)):
        monkeypatch.setattr(counting, name, value)
    write(service_of(app).store, lives(clock.now(), 10, 0))
    page = app.test_client().get("/?window=1h", auth=LOGIN).text
    times = section(page, "times")
    assert words(times).startswith("Time to deliver Shares of a sample of 4 deliveries.")
    parts = re.findall(r"<li data-key=[^>]*>(.*?)</li>", times, re.DOTALL)
    assert [words(part) for part in parts][2:4] == ["within 5 s 100 %", "within 10 s 0 %"]
    tiles = words(section(page, "headline"))
    assert "p50 3.0 s of a sample of 4 95 % within p95 3.0 s of a sample of 4 " in tiles
    assert "3.0 s of a sample of 4 " in words(section(page, "countries"))


def test_without_deliveries_there_is_no_time_to_deliver(
    client: FlaskClient, receive: Receive
) -> None:
    receive("undelivered")
    page = client.get("/", auth=LOGIN).text
    assert section(page, "headline")
    assert not section(page, "times")


# In a browser: a stylesheet could hide any of this.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service whose database has messages of the last two hours."""
    folder = tmp_path_factory.mktemp("site")
    with closing(SqliteStore(folder / "sms.db")) as store:
        store.prepare()
        now = datetime.now(UTC)
        for ago, failed in ((90, 20), (10, 10)):
            write(store, lives(now, ago, failed, messages=100))
    with running_site(folder) as site:
        yield site


def open_page(visitor: Visitor, path: str, width: int) -> Page:
    return visitor.visit(path, viewport={"width": width, "height": 740})


def is_seen(shown: Locator, width: int) -> None:
    """It has a size, on the page and not beside it, and something can be read there."""
    expect(shown).to_be_visible()
    box: Any = shown.bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= width
    assert min(box["width"], box["height"]) > 1, "nothing that only a screen reader finds"


@pytest.mark.parametrize("width", WIDTHS)
def test_cost_change_and_time_to_deliver_are_seen_at_any_width(
    site: Site, visitor: Visitor, width: int
) -> None:
    page = open_page(visitor, "/?window=1h", width)
    headline = page.locator("section.headline")
    is_seen(headline.get_by_text("Cost, USD"), width)
    is_seen(headline.get_by_text("25.00", exact=True), width)
    change = headline.get_by_text("10 points more than in the hour before: 80 %")
    is_seen(change, width)
    is_seen(change.locator("svg"), width)
    times = page.get_by_role("region", name="Time to deliver")
    is_seen(times.get_by_text("within 5 s"), width)
    is_seen(times.get_by_text("100 %"), width)
    bar = times.locator("li").nth(2).locator(".piece")
    assert bar.bounding_box()["width"] > 20  # type: ignore[index]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["/", "/ui/messages?status=undelivered"])
def test_the_reason_of_a_failure_is_seen_in_its_row_at_any_width(
    site: Site, visitor: Visitor, path: str, width: int
) -> None:
    page = open_page(visitor, path, width)
    row = page.locator('table.messages tr[data-key="m-10-99"]')
    is_seen(row.get_by_text(REASON).locator("visible=true"), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_reasons_of_all_failures_are_seen_with_their_shares(
    site: Site, visitor: Visitor, width: int
) -> None:
    page = open_page(visitor, "/", width)
    failures = page.get_by_role("region", name="Why messages fail")
    for text in (REASON, "code 30", "100 %", "Sending it again will not help."):
        is_seen(failures.get_by_text(text), width)
