"""The outbox with poison in it, with very much in it, on both stores."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from smsstatus.clock import Clock
from smsstatus.forwarding.forwarder import Forwarder
from smsstatus.forwarding.signing import write_secret
from smsstatus.metrics import Metrics
from smsstatus.model import utc_now
from smsstatus.settings import Settings
from smsstatus.store.outbox import Wanted
from smsstatus.store.postgres.store import PostgresStore
from smsstatus.store.sqlite.store import SqliteStore

from ..forwarding.conftest import KEYS
from ..forwarding.receivers import Answer, Delivered, Receiver, receiver
from ..live import LiveService, live_service, wait_until
from ..postgres import ask, new_database
from ..store import test_outbox_plans as plans
from ..store.filling import fill_postgres
from ..store.updates import at, update_of
from .conftest import Figure, Promise
from .forwarded import forwarding_to, memory

pytestmark = pytest.mark.slow

POISON = b'"message_uuid":"poison'
ROUNDS = 10

Storing = SqliteStore | PostgresStore
Place = Callable[[], str]
"""Makes a database; its URL."""


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as held:

        def make() -> str:
            if request.param == "sqlite":
                return f"sqlite:///{tmp_path / str(uuid4())}.db"
            server, template = map(
                request.getfixturevalue, ("postgres_server_url", "postgres_template")
            )
            return held.enter_context(new_database(server, template))

        yield make


def open_store(url: str) -> Storing:
    store: Storing
    if url.startswith("sqlite"):
        store = SqliteStore(_path(url), wanted=Wanted())
    else:
        store = PostgresStore(url, wanted=Wanted())
    store.writer.answer_seconds = 60.0
    store.prepare()
    return store


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def store(new_place: Place) -> Iterator[Storing]:
    with closing(open_store(new_place())) as store:
        yield store


def name_of(store: Storing) -> str:
    return "SQLite" if isinstance(store, SqliteStore) else "PostgreSQL"


def come(store: Storing, *uuids: str) -> None:
    """A message of each of these is delivered; they share commits."""
    updates = [update_of({"MessageUUID": uuid, **at("delivered")}, utc_now()) for uuid in uuids]
    for ticket in [store.writer.begin(update) for update in updates]:
        store.writer.finish(ticket)


def forward(
    store: Storing, settings: Settings, there: Receiver, is_over: Callable[[], bool]
) -> float:
    """Forward until it is over; seconds that it took."""
    settings = replace(settings, forward_url=there.url, forward_secrets=KEYS)
    forwarder = Forwarder(store.outbox, settings, Metrics(), Clock(), chance=lambda: 0.5)
    began = time.monotonic()
    forwarder.start()
    try:
        wait_until(is_over, 240, "all is forwarded")
        return time.monotonic() - began
    finally:
        forwarder.stop()


@pytest.mark.parametrize("shut", [False, True], ids=["open", "shut"])
def test_poison_among_others_keeps_none_of_them_back(
    store: Storing,
    settings: Settings,
    there: Receiver,
    figure: Figure,
    promise: Promise,
    shut: bool,
) -> None:
    """`shut`: the receiver takes nothing at first, so the brake shuts for a second."""
    count = 1000
    taken: set[bytes] = set()
    opens_at: list[float] = []

    def answer(delivered: Delivered) -> Answer:
        if not opens_at:
            opens_at.append(delivered.at + (0.5 if shut else 0.0))
        if POISON in delivered.body or delivered.at < opens_at[0]:
            return Answer(500)
        taken.add(delivered.body)
        return Answer()

    there.answer = answer
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS):
        for with_poison in (number % 2 == 0, number % 2 == 1):  # neither always comes first
            taken.clear()
            opens_at.clear()
            uuids = [f"uuid-{number}-{with_poison}-{each}" for each in range(count)]
            come(store, *([f"poison-{number}"] if with_poison else []), *uuids)
            took = forward(store, settings, there, lambda: len(taken) >= count)
            seconds[with_poison].append(took)
            assert store.outbox.state(utc_now()).waiting >= with_poison
            while store.outbox.skip(utc_now()):
                pass
    shares = [without / poisoned for without, poisoned in zip(*seconds.values(), strict=True)]
    share = median(shares)  # of each two that follow one another: what else runs here changes
    figure(
        f"{name_of(store)}: one poison message among {count:,}, the brake "
        f"{'shut' if shut else 'open'} at first",
        f"the others taken: {len(taken):,} in {median(seconds[True]):.2f} s, at {share:.2f} of the "
        "rate without it",
    )
    assert len(taken) == count
    promise(0.95, share)


def test_the_official_library_verifies_every_delivery(
    store: Storing, settings: Settings, there: Receiver, full: bool, figure: Figure
) -> None:
    count = 10_000 if full else 100
    for start in range(0, count, 100):
        come(store, *[f"uuid-{number}" for number in range(start, start + 100)])
    forward(store, settings, there, lambda: len(there.delivered) >= count)
    libraries = [Webhook(write_secret(key)) for key in KEYS]
    for one in there.delivered:
        for library in libraries:
            library.verify(one.body, one.headers)
    figure(
        f"{name_of(store)}: deliveries verified by the official library",
        f"{len(there.delivered):,}",
    )


@pytest.mark.timeout(900)
def test_with_a_million_waiting_a_claim_is_quick_and_nobody_waits(
    new_place: Place,
    tmp_path: Path,
    there: Receiver,
    figure: Figure,
    promise: Promise,
) -> None:
    full_url, empty_url = new_place(), new_place()
    with closing(open_store(full_url)) as store, closing(open_store(empty_url)) as other:
        for url in (full_url, empty_url):
            fill(url, 333_334)
        forget_all(empty_url)
        claims = []
        for newest_first in (False, True) * 10:
            began = time.monotonic()
            assert store.outbox.claim(utc_now(), 16, newest_first=newest_first)
            claims.append(time.monotonic() - began)
        store.outbox.release()
        share = _seconds_of_callbacks(other, store)
        name = name_of(store)
    with _running(tmp_path / "full", full_url, there) as service:
        wait_until(lambda: len(there.delivered) > 200, 120, "it forwards")
        fresh = str(uuid4())
        began = time.monotonic()
        _post(service, fresh)
        wait_until(lambda: [d for d in list(there.delivered) if fresh.encode() in d.body], 120)
        seconds = time.monotonic() - began
        service.get("/metrics")
        grown = memory(service)
    with _running(tmp_path / "empty", empty_url, there) as service:
        delivered = len(there.delivered)
        for _ in range(20):
            _post(service, str(uuid4()))
        wait_until(lambda: len(there.delivered) >= delivered + 20, 120, "it forwards")
        service.get("/metrics")
        grown -= memory(service)
    figure(
        f"{name}: 1,000,000 changes wait",
        f"claim {median(claims) * 1000:.1f} ms, callbacks written at {share:.2f} of the rate "
        f"without, memory {grown / 2**20:+.1f} MiB, a fresh change taken after {seconds:.2f} s",
    )
    promise(median(claims), 0.01)
    promise(0.95, share)
    promise(grown, 5 * 2**20)
    promise(seconds, 2)


def _seconds_of_callbacks(one: Storing, other: Storing) -> float:
    """The rate at which `other` takes callbacks as a share of that of `one`, in turns."""
    seconds: dict[Storing, list[float]] = {one: [], other: []}
    for number in range(16):
        for store, times in seconds.items():
            uuids = [f"fresh-{number}-{each}" for each in range(320)]
            began = time.monotonic()
            for start in range(0, 320, 16):
                come(store, *uuids[start : start + 16])
            times.append(time.monotonic() - began)
    return median(seconds[one]) / median(seconds[other])


@contextmanager
def _running(folder: Path, url: str, there: Receiver) -> Iterator[LiveService]:
    folder.mkdir()
    more = {"DATABASE_URL": url, "SPOOL_DIR": str(folder / "spool"), "WEB_CONCURRENCY": "1"}
    with live_service(folder, **forwarding_to(there.url, **more)) as service:
        yield service


def _post(service: LiveService, message_uuid: str) -> None:
    request = service.plivo.post(service.plivo.fields("delivered", message_uuid))
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    with closing(connection):
        connection.request("POST", request.target, request.body, dict(request.headers))
        assert connection.getresponse().status == 200


def fill(url: str, messages: int) -> None:
    """Three changes of each wait, but for one in ten, which is dead."""
    if url.startswith("sqlite"):
        statement = plans.FILL_MESSAGES.replace(str(plans.MESSAGES), str(messages))
        plans.run(_path(url), (statement, plans.FILL_EVENTS, plans.FILL_FORWARDS))
        return
    fill_postgres(url, messages)


def forget_all(url: str) -> None:
    if url.startswith("sqlite"):
        plans.run(_path(url), ("DELETE FROM forwards",))
    else:
        ask(url, "TRUNCATE forwards")
