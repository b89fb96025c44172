"""One run of one service in one profile: start, drive, read the meters, kill, check."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import load
from bench.callbacks import Callback, raw_request, write_slices
from bench.crowd import crowd
from bench.paths import CACHE
from bench.peers.registry import Peer
from bench.postgres import Database
from bench.service import Disk, Running, run_folder, running
from bench.steady import Answer, OpenLoop
from bench.verify import Verdict, verify

WARM_UP_SECONDS = 2  # for V8's and CPython's own warming, and for the first pages of the database
STEADY_RATE = 200.0
STALLED_RATES = (5, 16, 64)
STANDING = 1000
_BESIDE_RATE = 50.0
"""Genuine callbacks a second beside slow clients, each on a new connection."""


@dataclass
class Run:
    """The figures of one run. None: not measured in this profile, or not measurable here."""

    peer: str
    profile: str
    round: int
    rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    answered: int = 0
    failed: int = 0  # answered with anything but 200, or not at all
    cpu_per_thousand: float | None = None
    database_cpu_per_thousand: float | None = None  # of the PostgreSQL server
    fsyncs_per_callback: float | None = None
    rss_mb: float | None = None
    pss_mb: float | None = None
    start_seconds: float | None = None
    verdict: Verdict | None = None

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


@dataclass(frozen=True)
class Workload:
    """Callbacks for a run, their slices for wrk, and one callback that asks `are you up?`."""

    callbacks: Sequence[Callback]
    slices: Path
    probe: Callback


@contextmanager
def workload(callbacks: Sequence[Callback], probe: Callback) -> Iterator[Workload]:
    """Callbacks with their slices on disk, for as long as they are needed."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="callbacks-", dir=CACHE) as name:
        write_slices(callbacks, Path(name), load.CONNECTIONS)
        yield Workload(callbacks, Path(name), probe)


class _Meters:
    """CPU time and fsyncs of a service between two moments."""

    def __init__(self, service: Running) -> None:
        self.service = service
        self.cpu = service.cpu_seconds()
        self.database_cpu = service.database_cpu_seconds()
        self.fsyncs = service.fsyncs()

    def read_into(self, run: Run) -> None:
        if run.answered == 0:
            return
        run.cpu_per_thousand = (self.service.cpu_seconds() - self.cpu) / run.answered * 1000
        if (cpu := self.service.database_cpu_seconds()) is not None:
            run.database_cpu_per_thousand = (cpu - (self.database_cpu or 0)) / run.answered * 1000
        after = self.service.fsyncs()
        if after is not None and self.fsyncs is not None:
            run.fsyncs_per_callback = (after - self.fsyncs) / run.answered


def saturated(
    peer: Peer,
    profile: str,
    work: Workload,
    disk: Disk,
    seconds: int,
    database: Database | None = None,
) -> Run:
    """As many callbacks a second as the service can take."""
    run = Run(peer.name, profile, 0)
    with run_folder() as folder:
        with running(peer, folder, work.probe, disk, database) as service:
            sent = drive(service, work, seconds, run)
            database = service.database
        if peer.stores:
            run.verdict = verify(database, sent)
    return run


def drive(service: Running, work: Workload, seconds: int, run: Run) -> list[Callback]:
    """Saturate a running service; fills in `run` and gives the callbacks that were answered."""
    warm = load.saturate(service.port, work.slices, 0, min(WARM_UP_SECONDS, seconds))
    meters = _Meters(service)
    result = load.saturate(service.port, work.slices, warm.lines_used, seconds)
    run.rate, run.answered = result.rate, len(result.answered)
    run.p50_ms, run.p99_ms, run.max_ms = result.p50_ms, result.p99_ms, result.max_ms
    run.failed = result.refused + result.socket_errors + warm.refused + warm.socket_errors
    meters.read_into(run)
    _remember_memory(service, run)
    run.start_seconds = service.start_seconds
    indexes = (*warm.answered, *result.answered)
    return [work.probe, *(work.callbacks[index] for index in indexes)]


def steady(
    peer: Peer, profile: str, work: Workload, disk: Disk, seconds: int, *, keep_alive: bool
) -> Run:
    """An ordinary day: 200 callbacks a second, whatever the service does."""
    run = Run(peer.name, profile, 0)
    callbacks = work.callbacks[: int(seconds * STEADY_RATE)]
    requests = [raw_request(callback) for callback in callbacks]
    with run_folder() as folder:
        with running(peer, folder, work.probe, disk) as service:
            _warm(service, work)
            meters = _Meters(service)
            loop = OpenLoop(service.port, requests, keep_alive=keep_alive)
            good = _note_answers(run, loop.run(STEADY_RATE, seed=1))
            meters.read_into(run)
            _remember_memory(service, run)
            database = service.database
        if peer.stores:
            run.verdict = verify(database, [work.probe, *(callbacks[i] for i in good)])
    return run


def beside_slow_clients(
    peer: Peer, profile: str, work: Workload, seconds: int, a_second: int
) -> Run:
    """Genuine callbacks while stalled clients keep coming and others stand open."""
    run = Run(peer.name, profile, 0)
    callbacks = work.callbacks[: int(seconds * _BESIDE_RATE)]
    requests = [raw_request(callback) for callback in callbacks]
    with run_folder() as folder:
        with running(peer, folder, work.probe, Disk()) as service:
            _warm(service, work)
            with crowd(service.port, STANDING, a_second):
                loop = OpenLoop(service.port, requests, keep_alive=False)
                good = _note_answers(run, loop.run(_BESIDE_RATE, seed=1))
            _remember_memory(service, run)
            database = service.database
        if peer.stores:
            run.verdict = verify(database, [work.probe, *(callbacks[i] for i in good)])
    return run


def start_up(peer: Peer, profile: str, work: Workload) -> Run:
    """Time from exec to the first 200, on a new database, and memory before any load."""
    run = Run(peer.name, profile, 0)
    with run_folder() as folder:
        with running(peer, folder, work.probe, Disk()) as service:
            run.start_seconds = service.start_seconds
            run.answered = 1
            _remember_memory(service, run)
            database = service.database
        if peer.stores:
            run.verdict = verify(database, [work.probe])
    return run


def _warm(service: Running, work: Workload) -> None:
    """The same callbacks come again when it counts, if at all: take them from the end."""
    requests = [raw_request(callback) for callback in work.callbacks[-200:]]
    OpenLoop(service.port, requests, keep_alive=False).run(STEADY_RATE, seed=2)


def _note_answers(run: Run, answers: list[Answer]) -> list[int]:
    good = [answer for answer in answers if answer.status == 200]
    times = sorted(answer.seconds * 1e3 for answer in answers)
    run.answered, run.failed = len(good), len(answers) - len(good)
    run.p50_ms, run.max_ms = statistics.median(times), times[-1]
    run.p99_ms = times[min(len(times) - 1, int(len(times) * 0.99))]
    return [answer.index for answer in good]


def _remember_memory(service: Running, run: Run) -> None:
    memory = service.memory()
    run.rss_mb, run.pss_mb = memory.rss_mb, memory.pss_mb
