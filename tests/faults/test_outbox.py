"""The outbox with poison in it, with very much in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from standardwebhooks import Webhook

from smsstatus.clock import Clock
from smsstatus.forwarding.forwarder import Forwarder
from smsstatus.forwarding.signing import write_secret
from smsstatus.metrics import Metrics
from smsstatus.model import utc_now
from smsstatus.settings import Settings
from smsstatus.store.outbox import Wanted
from smsstatus.store.sqlite.store import SqliteStore

from ..forwarding.conftest import KEYS
from ..forwarding.receivers import Answer, Delivered, Receiver, receiver
from ..live import wait_until
from ..store import test_outbox_plans as plans
from ..store.updates import at, update_of
from .conftest import Figure, Promise

pytestmark = pytest.mark.slow

POISON = b'"message_uuid":"poison"'


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteStore]:
    store = SqliteStore(settings.database_path, wanted=Wanted())
    store.prepare()
    yield store
    store.close()


def come(store: SqliteStore, *uuids: str) -> None:
    """A message of each of these is delivered; they share commits."""
    updates = [update_of({"MessageUUID": uuid, **at("delivered")}, utc_now()) for uuid in uuids]
    for ticket in [store.writer.begin(update) for update in updates]:
        store.writer.finish(ticket)


def forward(
    store: SqliteStore, settings: Settings, there: Receiver, is_over: Callable[[], bool]
) -> float:
    """Forward until it is over; seconds that it took."""
    settings = replace(settings, forward_url=there.url, forward_secrets=KEYS)
    forwarder = Forwarder(store.outbox, settings, Metrics(), Clock())
    began = time.monotonic()
    forwarder.start()
    try:
        wait_until(is_over, 240, "all is forwarded")
        return time.monotonic() - began
    finally:
        forwarder.stop()


@pytest.mark.parametrize("shut", [False, True], ids=["open", "shut"])
def test_poison_among_others_keeps_none_of_them_back(
    store: SqliteStore,
    settings: Settings,
    there: Receiver,
    full: bool,
    figure: Figure,
    shut: bool,
) -> None:
    """`shut`: the receiver takes nothing at first, so the brake shuts."""
    count = 1000 if full else 50

    def answer(delivered: Delivered) -> Answer:
        refused = POISON in delivered.body or (shut and len(there.delivered) < 8)
        delivered.was_taken = not refused
        return Answer(500 if refused else 200)

    there.answer = answer
    come(store, "poison", *[f"uuid-{number}" for number in range(count)])

    def all_are_taken() -> bool:
        return sum(one.was_taken for one in list(there.delivered)) >= count

    seconds = forward(store, settings, there, all_are_taken)
    bodies = [one.body for one in there.delivered if one.was_taken]
    figure(
        f"one poison message among {count:,}, the brake {'shut' if shut else 'open'} at first",
        f"the others taken: {len(set(bodies)):,} after {seconds:.1f} s",
    )
    assert len(set(bodies)) == count
    assert store.outbox.state(utc_now()).waiting >= 1


def test_the_official_library_verifies_every_delivery(
    store: SqliteStore, settings: Settings, there: Receiver, full: bool, figure: Figure
) -> None:
    count = 10_000 if full else 100
    for start in range(0, count, 100):
        come(store, *[f"uuid-{number}" for number in range(start, start + 100)])
    forward(store, settings, there, lambda: len(there.delivered) >= count)
    libraries = [Webhook(write_secret(key)) for key in KEYS]
    for one in there.delivered:
        for library in libraries:
            library.verify(one.body, one.headers)
    figure("deliveries verified by the official library", f"{len(there.delivered):,}")


@pytest.mark.slow
def test_with_a_million_waiting_a_claim_is_quick_and_what_is_fresh_does_not_wait(
    store: SqliteStore,
    settings: Settings,
    there: Receiver,
    figure: Figure,
    promise: Promise,
) -> None:
    fill(settings.database_path, 333_334)
    claims = []
    for newest_first in (False, True) * 10:
        began = time.monotonic()
        assert store.outbox.claim(utc_now(), 16, newest_first=newest_first)
        claims.append(time.monotonic() - began)
    store.outbox.release()
    arrived: list[float] = []

    def answer(delivered: Delivered) -> Answer:
        if b'"fresh"' in delivered.body:
            arrived.append(time.monotonic())
        return Answer()

    there.answer = answer
    came: list[float] = []

    def is_over() -> bool:
        if not came and len(there.delivered) > 50:
            came.append(time.monotonic())
            come(store, "fresh")
        return bool(arrived)

    forward(store, settings, there, is_over)
    figure(
        "1,000,000 changes wait",
        f"claim {median(claims) * 1000:.1f} ms, a fresh change taken after "
        f"{arrived[0] - came[0]:.2f} s",
    )
    promise(median(claims), 0.01)
    promise(arrived[0] - came[0], 2)


def fill(path: Path, messages: int) -> None:
    """Three changes of each wait, but for one in ten, which is dead."""
    statement = plans.FILL_MESSAGES.replace(str(plans.MESSAGES), str(messages))
    plans.run(path, (statement, plans.FILL_EVENTS, plans.FILL_FORWARDS))
