"""A service that looks after itself, on a test's clock, with Plivo's list beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from smsstatus.metrics import Metrics
from smsstatus.settings import Settings
from smsstatus.store.contract import Filters, Store
from smsstatus.upkeep.caretaker import BEAT_SECONDS, beat
from smsstatus.upkeep.listing import open_outages
from smsstatus.upkeep.timetable import Timetable

from ..clock import HandClock
from ..plivo_api import AUTH_ID, PlivoApi
from ..store.conftest import Opener, open_store  # noqa: F401 - a fixture
from .plivo_list import PlivoList

EVERY = 900.0


class BeatingClock(HandClock):
    """Whoever sleeps by it lets the caretaker beat meanwhile, as its own thread does."""

    def __init__(self) -> None:
        super().__init__()
        self.beat: Callable[[], None] = lambda: None
        self._next_beat = 0.0

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.elapsed >= self._next_beat:
            self._next_beat = self.elapsed + BEAT_SECONDS
            self.beat()


@dataclass
class Process:
    """One process of a service: what the upkeep needs of it."""

    settings: Settings
    store: Store
    clock: BeatingClock
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.timetable = Timetable(self)

    def live(self, length: timedelta) -> None:
        """Be up for so long: beat, and look at the timetable."""
        end = self.clock.now() + length
        self.clock.beat = lambda: beat(self.store, self.clock)
        while self.clock.now() < end:
            self.clock.beat()
            self.timetable.look()
            self.clock.turn(60)
        self.clock.beat = lambda: None

    def look_after(self, length: timedelta, every: float = 3600.0) -> None:
        """Only do what is due, for so long: a look at the timetable every so many seconds."""
        end = self.clock.now() + length
        while self.clock.now() < end:
            self.timetable.look()
            self.clock.turn(every)

    def is_done(self) -> bool:
        """Has all of each outage been listed?"""
        return not open_outages(self)

    def states(self) -> dict[str, str]:
        """What is known of each message."""
        return {m.message_uuid: m.current_status for m in self.store.walk(Filters())}


Start = Callable[[], Process]


@pytest.fixture
def clock() -> BeatingClock:
    return BeatingClock()


@pytest.fixture
def plivo_list(standin: PlivoApi, clock: HandClock) -> PlivoList:
    return PlivoList(standin, clock)


@pytest.fixture
def settings(settings: Settings, standin: PlivoApi) -> Settings:
    return replace(settings, auth_id=AUTH_ID, plivo_api_url=standin.url, reconcile_every=EVERY)


@pytest.fixture
def start(
    settings: Settings,
    open_store: Opener,  # noqa: F811
    clock: BeatingClock,
) -> Start:
    """Starts one process more on the test's database."""
    return lambda: Process(settings, open_store(), clock)
