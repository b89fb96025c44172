"""`python -m bench`: measures smsstatus and its peers side by side and prints one table."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from bench import load, machine, measure, postgres, preload, report
from bench.callbacks import generate
from bench.cores import SEPARATE, pin_to_load_core
from bench.measure import Run, Workload, workload
from bench.peers.registry import ALL, LAYERS, ON_POSTGRES, Peer, Unavailable, under_each_python
from bench.service import Disk, StartFailed
from tests.postgres import PostgresServer

SLOW_CLIENTS = {f"{rate} stalled/s": rate for rate in measure.STALLED_RATES}
PROFILES = ("full", "slow-fsync", "steady", "startup", *SLOW_CLIENTS)
POSTGRES = "postgres"
SLOW_FSYNC_US = 2000
SLOW_MAX_RATE = 10_000
DURABILITY = (
    "Durability is the same for all but `empty`, which stores nothing: SQLite in WAL mode with "
    "synchronous=FULL, 200 only after the fsync. Every service is killed with SIGKILL after its "
    "run; `lost` counts answered callbacks that its database then does not hold."
)
DURABILITY_IN_POSTGRES = (
    "In PostgreSQL: fsync and synchronous_commit on, 200 only after the commit. CPU is that of the "
    "service and of the server. The service is killed, and the database looked at, in the same way."
)


@dataclass(frozen=True)
class Plan:
    """What to run, how long, and how often."""

    profiles: tuple[str, ...]
    peers: tuple[Peer, ...]
    rounds: int
    seconds: int
    max_rate: int
    keep_alive: bool
    library: Path | None
    check: bool

    def peers_of(self, profile: str) -> list[Peer]:
        """An app without a database has no fsync to slow down."""
        return [
            peer
            for peer in self.peers
            if peer.on_postgres == (profile == POSTGRES)
            and (peer.stores or profile != "slow-fsync")
        ]

    def rounds_of(self, profile: str) -> int:
        """What slow clients do is plain from one."""
        return 1 if profile in SLOW_CLIENTS else self.rounds

    def run_count(self) -> int:
        """How many runs there are if none fails."""
        return sum(len(self.peers_of(each)) * self.rounds_of(each) for each in self.profiles)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often everything is measured.")
@click.option("--seconds", default=10, show_default=True, help="Length of one run.")
@click.option(
    "--profile",
    type=click.Choice(["full", "slow-fsync", "steady", "startup", "slow-clients", "all"]),
    default="all",
    show_default=True,
    help="full: plain disk. slow-fsync: 2 ms more for each fsync. steady: 200 callbacks/s. "
    "slow-clients: 5, 16, 64 stalled ones a second, and 1,000 that stand.",
)
@click.option(
    "--store",
    type=click.Choice(["sqlite", POSTGRES]),
    default="sqlite",
    show_default=True,
    help="postgres: a server of its own on this machine, at saturation, for one process and two.",
)
@click.option("--only", default="", help=f"These only, of {','.join(ALL | LAYERS | ON_POSTGRES)}.")
@click.option(
    "--max-rate",
    default=30_000,
    show_default=True,
    help="Callbacks made for each second; more than any service takes.",
)
@click.option(
    "--steady-connections",
    type=click.Choice(["new", "kept"]),
    default="new",
    show_default=True,
    help="steady: a new connection for each callback, or kept ones.",
)
@click.option(
    "--pythons", is_flag=True, help="smsstatus alone, under each Python 3.11 to 3.14 that is here."
)
@click.option(
    "--into",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A document whose lines between `<!-- figures: bench -->`, or bench-postgres, and the end "
    "of figures are replaced.",
)
@click.option("--check", is_flag=True, help="Every service for a second: does the bench work?")
def main(
    rounds: int,
    seconds: int,
    profile: str,
    store: str,
    only: str,
    max_rate: int,
    steady_connections: str,
    pythons: bool,
    into: Path | None,
    check: bool,
) -> None:
    """Measure smsstatus and its peers side by side."""
    signal.signal(signal.SIGTERM, stop)
    if check:
        rounds, seconds, profile = 1, 1, "all"
    if pythons:
        profile = "full" if profile == "all" else profile
    stores = ["sqlite", POSTGRES] if check else [store]
    peers = tuple(
        _available(list(under_each_python().values()) if pythons else _chosen(only, stores))
    )
    pin_to_load_core()
    plan = Plan(
        profiles=tuple(_possible(_profiles(profile, stores))),
        peers=peers,
        rounds=rounds,
        seconds=seconds,
        max_rate=max_rate,
        keep_alive=steady_connections == "kept",
        library=_library(),
        check=check,
    )
    described = machine.describe()
    about = machine_lines(described, plan.peers)
    print(about, flush=True)
    runs = run_all(plan)
    text = report_text(plan, runs)
    print(f"\n{text}")
    if not plan.check:
        _write_results(plan, described, runs)
    if into is not None:
        how = f"One run: medians of {rounds} rounds of {seconds} s."
        section = "bench" if store == "sqlite" else f"bench-{store}"
        report.fill(into, section, f"{how}\n\n{about}\n\n{text}")
    if report.trouble(runs) or not runs or len(runs) < plan.run_count():
        sys.exit(1)


def run_all(plan: Plan) -> list[Run]:
    """Every profile, every round, every service."""
    runs: list[Run] = []
    for profile in plan.profiles:
        with _workload(plan, profile) as work, _server(profile) as server:
            for number in range(1, plan.rounds_of(profile) + 1):
                for peer in _order(plan, profile, number):
                    run = _one(plan, profile, peer, work, server)
                    if run is not None:
                        run.round = number
                        runs.append(run)
                        _say(progress_line(run))
    return runs


def _order(plan: Plan, profile: str, number: int) -> Sequence[Peer]:
    """In another order in each round, so that none always follows the same one."""
    peers = plan.peers_of(profile)
    return random.Random(f"{profile} {number}").sample(peers, len(peers))


def _one(
    plan: Plan, profile: str, peer: Peer, work: Workload, server: PostgresServer | None
) -> Run | None:
    disk = Disk(plan.library, SLOW_FSYNC_US if profile == "slow-fsync" else 0)
    try:
        if profile == "startup":
            return measure.start_up(peer, profile, work)
        if profile == "steady":
            return measure.steady(
                peer, profile, work, disk, plan.seconds, keep_alive=plan.keep_alive
            )
        if profile in SLOW_CLIENTS:
            stalled = SLOW_CLIENTS[profile]
            return measure.beside_slow_clients(peer, profile, work, plan.seconds, stalled)
        if server is not None:
            with postgres.database(server) as database:
                return measure.saturated(peer, profile, work, Disk(), plan.seconds, database)
        return measure.saturated(peer, profile, work, disk, plan.seconds)
    except (StartFailed, load.LoadFailed) as error:
        _say(f"{profile}, {peer.name}: no figure: {error}")
        return None


@contextmanager
def _workload(plan: Plan, profile: str) -> Iterator[Workload]:
    seconds = plan.seconds + measure.WARM_UP_SECONDS
    rates = {
        "full": plan.max_rate,
        POSTGRES: min(plan.max_rate, SLOW_MAX_RATE),
        "slow-fsync": SLOW_MAX_RATE,
        "steady": measure.STEADY_RATE,
    }
    count = int(seconds * rates.get(profile, 100)) + 200
    with workload(generate(count), generate(1, seed=2)[0]) as work:
        yield work


def _server(profile: str) -> AbstractContextManager[PostgresServer | None]:
    return postgres.server() if profile == POSTGRES else nullcontext()


def _profiles(asked: str, stores: Sequence[str]) -> Sequence[str]:
    on_postgres = (POSTGRES,) if POSTGRES in stores else ()
    if "sqlite" not in stores:
        return on_postgres
    if asked == "slow-clients":
        return tuple(SLOW_CLIENTS)
    return (*PROFILES, *on_postgres) if asked == "all" else (asked,)


def _chosen(only: str, stores: Sequence[str]) -> list[Peer]:
    all_of = {"sqlite": ALL, POSTGRES: ON_POSTGRES}
    names = [name.strip() for name in only.split(",") if name.strip()]
    names = names or [name for store in stores for name in all_of[store]]
    known = ALL | LAYERS | ON_POSTGRES
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name} is none of {', '.join(known)}", param_hint="--only")
    return [known[name] for name in names]


def _available(peers: Sequence[Peer]) -> Iterator[Peer]:
    for peer in peers:
        try:
            peer.prepare()
            yield peer
        except Unavailable as error:
            _say(f"left out: {peer.name}: {error}")


def _possible(profiles: Sequence[str]) -> Iterator[str]:
    for profile in profiles:
        if profile in ("full", "slow-fsync", POSTGRES) and load.find_wrk() is None:
            _say(f"left out: profile {profile}: {load.HOW_TO_GET_WRK}")
        elif profile == "slow-fsync" and _library() is None:
            _say(f"left out: profile {profile}: it needs the library that cc builds")
        else:
            yield profile


def _library() -> Path | None:
    try:
        return preload.build()
    except preload.NoCompiler as error:
        _say(f"fsyncs are not counted: {error}")
        return None


def machine_lines(described: dict[str, str], peers: Sequence[Peer]) -> str:
    """Machine and versions, as a markdown list."""
    lines = [f"* {name}: {words}" for name, words in described.items()]
    lines += [f"* {peer.name}: {_version_words(peer)}" for peer in peers]
    if not SEPARATE:
        lines.append("* **server and load share one core: these figures say little**")
    return "\n".join(lines)


def _version_words(peer: Peer) -> str:
    return ", ".join(f"{name} {version}" for name, version in peer.versions().items())


def report_text(plan: Plan, runs: Sequence[Run]) -> str:
    """The table and what follows from it; a check says nothing of goals."""
    trouble = [f"**Trouble** {line}" for line in report.trouble(runs)]
    goals = [] if plan.check else [report.goals(runs)]
    said = [
        words
        for words, is_so in (
            (DURABILITY, plan.profiles != (POSTGRES,)),
            (DURABILITY_IN_POSTGRES, POSTGRES in plan.profiles),
        )
        if is_so
    ]
    return "\n\n".join([report.table(runs), *said, *trouble, *goals])


def _write_results(plan: Plan, described: dict[str, str], runs: Sequence[Run]) -> None:
    report.write(
        "latest",
        {
            "machine": described,
            "versions": {peer.name: peer.versions() for peer in plan.peers},
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "runs": [run.as_json() for run in runs],
        },
    )


def progress_line(run: Run) -> str:
    """One run in a line, for who waits."""
    figures = {
        "callbacks/s": run.rate,
        "p99 ms": run.p99_ms,
        "fsyncs/callback": run.fsyncs_per_callback,
        "start s": run.start_seconds,
    }
    words = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value)
    return f"{run.profile} round {run.round} {run.peer}: {words}"


def _say(text: str) -> None:
    click.echo(text, err=True)


def stop(number: int, frame: FrameType | None) -> None:
    """End through the `with` blocks that stop the service and remove the folders."""
    sys.exit(128 + number)


if __name__ == "__main__":
    if shutil.which("taskset") is None:
        sys.exit("taskset is missing: `apt-get install util-linux`")
    main()
