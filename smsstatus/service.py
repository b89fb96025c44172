"""The parts of the running service, made once by the factory and shared by the blueprints."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from . import disks
from .cache import Cache
from .clock import Clock
from .figures.rates import Learned
from .figures.unusual import Share
from .intake.drainer import Drainer
from .intake.last_resort import LastResort
from .intake.leaving import leave_nothing
from .intake.spool import Spool
from .logs import RateLimit
from .metrics import Metrics
from .server import serving
from .settings import SHORT_TOKEN, Settings
from .store.contract import SchemaTooNew, Store, StoreUnavailable, Tally
from .store.opening import open_store
from .store.outbox import OutboxState
from .upkeep.caretaker import Caretaker
from .upkeep.state import UpkeepState
from .upkeep.timetable import Timetable

if TYPE_CHECKING:
    from .forwarding.forwarder import Forwarder

DYNO_DISK = (
    "a Heroku dyno's disk is lost at each restart, daily at least: add Heroku Postgres "
    "(heroku addons:create heroku-postgresql:essential-0), or use a host that keeps its disk"
)

MOUNTED_ALONE = (
    "is mounted as a file alone, so its -wal with the newest data, its lock and the spool are on "
    "another disk, which may not be kept: mount the folder that holds it, and name the file in it"
)

log = logging.getLogger(__name__)


class StartError(Exception):
    """The service must not start like this. The text is one line that says what to do."""


@dataclass
class Service:
    """Settings, store, spool, counters and clock of one application."""

    settings: Settings
    store: Store
    spool: Spool
    metrics: Metrics
    for_command: bool = False
    """Is it there for a command that somebody types, and does not serve?"""
    refusals: RateLimit = field(default_factory=RateLimit)
    lost: RateLimit = field(default_factory=RateLimit)
    """For callbacks that missed the webhook or came cut: forgeries must not hide their lines."""
    refused_logins: RateLimit = field(default_factory=RateLimit)
    mistakes: RateLimit = field(default_factory=RateLimit)
    last_resort: LastResort = field(default_factory=LastResort)
    drainer: Drainer | None = None
    caretaker: Caretaker | None = None
    forwarder: Forwarder | None = None
    timetable: Timetable | None = None
    clock: Clock = field(default_factory=Clock)
    readiness: Cache[dict[str, Any]] = field(default_factory=lambda: Cache(stale=10.0))
    """What `readiness.readiness` last found."""
    learned: Cache[Learned] = field(default_factory=Cache)
    """From where reports come, and how long they take: what `figures` last found."""
    last_hour: Cache[tuple[list[Share], float]] = field(default_factory=Cache)
    """What `last_hour.failure_shares` last found, and the seconds that it took."""
    usual: Cache[tuple[str, list[Tally]]] = field(default_factory=Cache)
    """What it compares that with, and from when the newest of it is."""
    outbox: Cache[OutboxState | None] = field(default_factory=Cache)
    """What `readiness.outbox_of` last found."""
    upkeep: Cache[UpkeepState | None] = field(default_factory=Cache)
    """What `readiness.upkeep_of` last found."""
    _starting: threading.Lock = field(default_factory=threading.Lock)
    _is_away: bool = False
    """Could the database not be opened by `prepare`?"""
    _began_in: int = 0
    _started_in: int = 0

    @classmethod
    def make(cls, settings: Settings, *, for_command: bool = False) -> Service:
        metrics = Metrics()
        store = open_store(settings, metrics.observe_commit, may_create=not for_command)
        return cls(settings, store, Spool(settings.spool_dir), metrics, for_command)

    def prepare(self) -> None:
        """Apply the schema and prove that the spool takes files.

        Raises StartError if the spool does not, if the database's file is on a disk alone, or if
        it is of a later version. Any other trouble with the database is logged only: callbacks go
        to the spool meanwhile, and it is tried again. All of it is logged only where the process
        replaces one that served: a start that fails ends gunicorn's master, and the callbacks of
        then would be lost. For a command the first two are lines of the log too: `doctor` finds out
        why, and `backup` has to work on a disk that has become read-only. It makes no file where
        there is none, since the service may be about to put one back.
        """
        path = self.settings.database.path
        try:
            if path is not None and disks.is_mounted_alone(path):
                self._stop_start(f"DATABASE_URL {path} {MOUNTED_ALONE}")
            self.spool.prepare()
        except OSError as error:
            self._stop_start(
                f"SPOOL_DIR {self.settings.spool_dir} takes no files ({error.strerror}): is its "
                "disk mounted, writable, not full? example: SPOOL_DIR=/data/smsstatus-spool"
            )
        if self.for_command and path is not None and not path.exists():
            return
        try:
            self.store.prepare()
        except (SchemaTooNew, StoreUnavailable) as error:
            if isinstance(error, SchemaTooNew) and not serving.replaces_another:
                raise StartError(f"DATABASE_URL: {error}") from None
            if self.for_command:  # it takes no callbacks
                log.error("database cannot be opened: %s", error)
                return
            self._is_away = True
            log.error("database cannot be opened, callbacks go to the spool: %s", error)

    def _stop_start(self, trouble: str) -> None:
        if not self.for_command and not serving.replaces_another:
            raise StartError(trouble)
        log.error("%s", trouble)

    def warnings(self) -> Iterator[str]:
        """What works but should not stay so, one line each: for the log at start and `doctor`."""
        token = self.settings.api_token
        if token is not None and len(token) < SHORT_TOKEN:
            yield (
                f"API_TOKEN has fewer than {SHORT_TOKEN} characters, so it can be guessed: set a "
                "longer one, as `openssl rand -hex 24` prints"
            )
        path = self.settings.database.path
        kept = disks.filesystem(path) if path is not None else ""
        spools = disks.filesystem(self.settings.spool_dir)
        if (
            spools in disks.MEMORY_FILESYSTEMS
            and kept not in disks.MEMORY_FILESYSTEMS
            and not self.settings.spool_log
        ):
            remedy = "set SPOOL_LOG=on" if path is None else "put it on the database's disk"
            yield (
                f"SPOOL_DIR {self.settings.spool_dir} is on {spools}, lost at restart with "
                f"callbacks that were answered 200: {remedy}"
            )

    def start(self) -> bool:
        """Start what works in the background, once in each process; False: try again later.

        Only a serving process does, after its fork.
        """
        with self._starting:
            if self._started_in == os.getpid():
                return True
            try:
                self._begin()
            except RuntimeError as error:  # the host allows no more threads
                log.error("not all background work has begun, it is tried again: %s", error)
                return False
            self._started_in = os.getpid()
        name = self.settings.database.name
        if self._is_away:
            log.info("callbacks will be written to %s once it can be opened", name)
        else:
            log.info("callbacks are written to %s", name)
        if self.settings.base_url_from is not None:
            told = self.settings.base_url, self.settings.base_url_from
            log.info("BASE_URL is not set, so it is %s, from %s", *told)
        if self.settings.dyno and self.settings.database.path is not None:
            log.warning("%s", DYNO_DISK)
        for warning in self.warnings():
            log.warning("%s", warning)
        if serving.running is not None:
            on_sqlite = self.settings.database.path is not None
            serving.announce(serving.running, log, take_turns=on_sqlite)
        return True

    def _begin(self) -> None:
        """Start what is not yet running in this process; what is runs on. May raise RuntimeError.

        Each is kept once it runs: else the next try would start a second one beside it.
        """
        if self._began_in != os.getpid():  # a child of fork has its parent's, without the threads
            self._began_in = os.getpid()
            self.drainer = self.caretaker = self.forwarder = self.timetable = None
        self.drainer = self.drainer or _started(Drainer(self.store, self.spool))
        self.caretaker = self.caretaker or _started(Caretaker(self.store, self.clock))
        if self.settings.forward_url is not None:
            self.forwarder = self.forwarder or _started(self._make_forwarder())
        self.timetable = self.timetable or _started(Timetable(self))

    def _make_forwarder(self) -> Forwarder:
        from .forwarding.forwarder import Forwarder  # not imported where it is off

        return Forwarder(self.store.outbox, self.settings, self.metrics, self.clock)

    def stop(self) -> None:
        """End the background work and close the store; no spool is left on a disk not kept."""
        began = time.monotonic()
        if self.forwarder is not None:
            self.forwarder.begin_to_stop()
        if self.timetable is not None:
            self.timetable.stop()
        if self.drainer is not None:
            self.drainer.stop()
        if self.caretaker is not None:
            self.caretaker.stop()
        if self.settings.spool_log and self._started_in == os.getpid():
            leave_nothing(self, began)
        if self.forwarder is not None:
            self.forwarder.stop()
        self.store.close()


_Part = TypeVar("_Part", Drainer, Caretaker, Timetable, "Forwarder")


def _started(part: _Part) -> _Part:
    part.start()
    return part
