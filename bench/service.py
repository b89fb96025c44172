"""A measured service while it runs: started on its own core, watched through /proc, stopped."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import preload
from bench.callbacks import CALLBACK_PATH, Callback
from bench.cores import ALL_CORES, SERVER_CORE
from bench.paths import CACHE, REPOSITORY
from bench.peers.registry import Peer
from bench.postgres import Database
from tests.live import free_port

START_SECONDS = 30
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class StartFailed(Exception):
    """The service did not answer 200. The text holds the end of its log."""


@dataclass(frozen=True)
class Memory:
    """What all processes of a service hold. `pss` shares out pages that several of them hold."""

    rss_mb: float
    pss_mb: float


@dataclass(frozen=True)
class Disk:
    """What fsync is for a run: counted and delayed by `library`, or plain if that is None."""

    library: Path | None = None
    delay_us: int = 0


@dataclass(frozen=True)
class Running:
    """A started service. All its processes are in one session, whose id is `pid`."""

    pid: int
    port: int
    database: Database
    counter: Path | None
    start_seconds: float

    def cpu_seconds(self) -> float:
        """User and system time of the service so far, dead children included."""
        return _cpu_seconds(self._stats())

    def database_cpu_seconds(self) -> float | None:
        """The same of all processes of the PostgreSQL server, if there is one."""
        if isinstance(self.database, Path):
            return None
        server = self.database.server
        return _cpu_seconds(
            fields
            for pid in _all_pids()
            if (fields := _fields(pid)) and server in (pid, int(fields[1]))
        )

    def memory(self) -> Memory:
        """Resident memory now."""
        pages = sum(int(fields[21]) for fields in self._stats())
        return Memory(pages * _PAGE / 1e6, sum(map(_pss_kib, self._pids())) * 1024 / 1e6)

    def fsyncs(self) -> int | None:
        """How many fsyncs so far; None if they are not counted."""
        return None if self.counter is None else preload.count(self.counter)

    def _pids(self) -> list[int]:
        return [pid for pid in _all_pids() if _session(pid) == self.pid]

    def _stats(self) -> Iterator[list[str]]:
        for pid in self._pids():
            if fields := _fields(pid):
                yield fields


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder on the real disk (not tmpfs: its fsync costs nothing), removed afterwards."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as name:
        yield Path(name)


@contextmanager
def running(
    peer: Peer, folder: Path, probe: Callback, disk: Disk, database: Database | None = None
) -> Iterator[Running]:
    """Start a service, wait for its first 200, and kill it at the end.

    It is killed with SIGKILL: what it has answered must be in the database without a tidy stop.
    """
    database = database or folder / "bench.db"
    port = free_port()
    counter = folder / "fsyncs" if disk.library else None
    env = peer.environment(port, folder, database)
    if disk.library and counter:
        env |= preload.environment(disk.library, counter, disk.delay_us)
    log = folder / f"{peer.name}.log"
    started = time.perf_counter()
    cores = {SERVER_CORE} if isinstance(database, Path) else ALL_CORES
    process = _spawn(peer.command(port), env, log, cores)
    try:
        seconds = _wait_for_200(process, port, probe, started, log)
        yield Running(process.pid, port, database, counter, seconds)
    finally:
        _kill(process)


def post(port: int, callback: Callback, timeout: float = 10.0) -> int:
    """Send one callback on a new connection and tell the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Plivo-Signature-V3": callback.signature,
        "X-Plivo-Signature-V3-Nonce": callback.nonce,
    }
    try:
        connection.request("POST", CALLBACK_PATH, callback.body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _spawn(
    command: list[str], env: dict[str, str], log: Path, cores: Set[int]
) -> subprocess.Popen[bytes]:
    taskset = shutil.which("taskset") or "taskset"
    with log.open("wb") as output:
        return subprocess.Popen(
            [taskset, "-c", ",".join(map(str, sorted(cores))), *command],
            cwd=REPOSITORY,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for_200(
    process: subprocess.Popen[bytes], port: int, probe: Callback, started: float, log: Path
) -> float:
    status: int | str = "no answer"
    while time.perf_counter() - started < START_SECONDS and process.poll() is None:
        try:
            status = post(port, probe, timeout=START_SECONDS)
            if status == 200:
                return time.perf_counter() - started
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.002)
    tail = log.read_text(errors="replace")[-1500:]
    raise StartFailed(f"did not come up (last answer: {status}). End of its log:\n{tail}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive_in_session(process.pid):
        time.sleep(0.01)


def _alive_in_session(session: int) -> bool:
    """Whether a process of the session could still write. The workers outlive their master."""
    return any(_session(pid) == session for pid in _all_pids())


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _session(pid: int) -> int | None:
    """The session of a process; None if it is gone or a zombie."""
    fields = _fields(pid)
    return int(fields[3]) if fields and fields[0] != "Z" else None


def _fields(pid: int) -> list[str]:
    """What /proc says of a process, from its state on; nothing if it is gone."""
    return (_read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()


def _cpu_seconds(processes: Iterable[Sequence[str]]) -> float:
    """User and system time of these, dead children included."""
    return sum([int(ticks) for fields in processes for ticks in fields[11:15]]) / _TICKS


def _pss_kib(pid: int) -> int:
    for line in (_read(f"/proc/{pid}/smaps_rollup") or "").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None
