"""`python -m bench.growth`: does smsstatus stay as fast when millions of messages are stored?"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from bench import load, machine, measure, postgres
from bench.__main__ import machine_lines, stop
from bench.callbacks import generate
from bench.cores import pin_to_load_core
from bench.fill import Filled, fill
from bench.fill_postgres import fill_postgres, relation_bytes
from bench.measure import Run, Workload
from bench.paths import CACHE, REPOSITORY
from bench.peers.registry import ALL, ON_POSTGRES, Unavailable
from bench.postgres import Database
from bench.reads import Latency, Reader
from bench.report import fill as fill_document
from bench.report import write
from bench.service import Disk, run_folder, running
from bench.verify import verify

EMPTY, FULL = "empty", "filled"
THROUGHPUT_GOAL = 0.85
BYTES_GOAL = {"sqlite": 1200, "postgres": 1300}
MESSAGES = {"sqlite": 5_000_000, "postgres": 1_000_000}
PEERS = {"sqlite": ALL["smsstatus"], "postgres": ON_POSTGRES["smsstatus-pg"]}

NewDatabase = Callable[[Path], AbstractContextManager[Database]]
"""Makes an empty one for a run, whose folder is given."""


@dataclass
class Growth:
    """What was measured: runs by kind of database, and latencies by request."""

    store: str
    filled: Filled
    pages: dict[str, int]
    runs: dict[str, list[Run]] = field(default_factory=lambda: {EMPTY: [], FULL: []})
    reads: dict[str, dict[str, Latency]] = field(default_factory=lambda: {EMPTY: {}, FULL: {}})


@click.command()
@click.option("--store", type=click.Choice([*MESSAGES]), default="sqlite", show_default=True)
@click.option("--messages", type=int, help="How many to fill in: 5,000,000; PostgreSQL 1,000,000.")
@click.option("--rounds", default=3, show_default=True, help="How often throughput is measured.")
@click.option("--seconds", default=10, show_default=True, help="Length of one run.")
@click.option("--max-rate", default=8000, show_default=True, help="As in `python -m bench`.")
@click.option("--keep", is_flag=True, help="SQLite: keep the filled file for the next time.")
@click.option(
    "--into",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A document whose lines between `<!-- figures: growth -->`, or growth-postgres, and the "
    "end of figures are replaced.",
)
def main(
    store: str,
    messages: int | None,
    rounds: int,
    seconds: int,
    max_rate: int,
    keep: bool,
    into: Path | None,
) -> None:
    """Measure smsstatus with an empty and with a filled database, in turns."""
    signal.signal(signal.SIGTERM, stop)
    try:
        PEERS[store].prepare()
    except Unavailable as error:
        sys.exit(f"smsstatus cannot be measured: {error}")
    described = machine.describe()
    about = machine_lines(described, [PEERS[store]])
    click.echo(about)
    count = messages or MESSAGES[store]
    filling = _filled_file(count, keep) if store == "sqlite" else _filled_in_postgres(count)
    with filling as (database, filled, new):
        pin_to_load_core()
        growth = Growth(store, filled, _page_bytes(database))
        for number in range(1, rounds + 1):
            _round(growth, database, new, number, seconds, max_rate, last=number == rounds)
    _write_results(growth, described)
    text = report(growth)
    click.echo(text)
    if into is not None:
        fill_document(into, _name(store), f"{about}\n\n{text}")
    if any(run.failed or (run.verdict and not run.verdict.good) for run in _all(growth)):
        sys.exit(1)


@contextmanager
def _filled_file(messages: int, keep: bool) -> Iterator[tuple[Database, Filled, NewDatabase]]:
    """A filled database of this schema; a fill that was cut short leaves nothing behind."""
    schema = hashlib.sha256((REPOSITORY / "schema.sql").read_bytes()).hexdigest()[:8]
    folder = CACHE / f"growth-{messages}-{schema}"
    note = folder / "filled.json"
    if not note.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        if not note.exists():
            note.write_text(json.dumps(fill(folder / "filled.db", messages)))
        filled = Filled(*json.loads(note.read_text()))
        yield folder / "filled.db", filled, lambda run: nullcontext(run / "bench.db")
    finally:
        if not keep or not note.exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _filled_in_postgres(messages: int) -> Iterator[tuple[Database, Filled, NewDatabase]]:
    with postgres.server() as server, postgres.database(server) as database:
        filled = fill_postgres(database.url, messages)
        yield database, filled, lambda run: postgres.database(server)


def _round(
    growth: Growth,
    filled: Database,
    new: NewDatabase,
    number: int,
    seconds: int,
    max_rate: int,
    *,
    last: bool,
) -> None:
    """The two databases one after the other; who goes first changes from round to round."""
    kinds = (EMPTY, FULL) if number % 2 else (FULL, EMPTY)
    with _workload(number, seconds, max_rate) as work:
        for kind in kinds:
            with run_folder() as folder, new(folder) as empty:
                database = filled if kind == FULL else empty
                run = Run(PEERS[growth.store].name, kind, number)
                _measure(growth, run, work, folder, database, seconds, read=last)
                growth.runs[kind].append(run)
                click.echo(f"round {number}, {kind}: {run.rate:,.0f} callbacks/s", err=True)


def _measure(
    growth: Growth,
    run: Run,
    work: Workload,
    folder: Path,
    database: Database,
    seconds: int,
    *,
    read: bool,
) -> None:
    with running(PEERS[growth.store], folder, work.probe, Disk(), database) as service:
        sent = measure.drive(service, work, seconds, run)
        if read:
            growth.reads[run.profile] = dict(Reader(service.port, database).measure_all())
    run.verdict = verify(database, sent, whole=False)


@contextmanager
def _workload(number: int, seconds: int, max_rate: int) -> Iterator[Workload]:
    """Other messages in each round: the filled database keeps those of the last one."""
    count = (seconds + measure.WARM_UP_SECONDS) * max_rate + 200
    callbacks = generate(count, seed=1000 + number)
    with measure.workload(callbacks, generate(1, seed=2000 + number)[0]) as work:
        yield work


def _page_bytes(database: Database) -> dict[str, int]:
    """Bytes of each table and index; empty where SQLite was built without dbstat."""
    if not isinstance(database, Path):
        return relation_bytes(database.url)
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return dict(
                connection.execute(  # not dbstat's own aggregate, which counts in 32 bits
                    "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
                ).fetchall()
            )
        except sqlite3.OperationalError:
            return {}


def report(growth: Growth) -> str:
    """The figures as one markdown table, with the goals."""
    filled = growth.filled
    size = filled.bytes / filled.messages
    goal = BYTES_GOAL[growth.store]
    lines = [
        f"{filled.messages:,} messages, {filled.events:,} events, {filled.bytes / 1e9:.2f} GB: "
        f"**{size:,.0f} bytes per message** (goal {goal:,}: {_reached(size <= goal)})",
        *_size_lines(growth),
        "",
        "| what | empty database | filled | filled / empty | goal |",
        "|---|---:|---:|---:|---:|",
        *_throughput_lines(growth),
        *(_read_line(growth, name) for name in growth.reads[FULL]),
        "",
        "GET latencies are p50 / p99 in ms of 300 requests one after another, of groups those of "
        "the 15; a first look is a single one. The goal is for the p99. The `empty` database was "
        "empty when its run began: it holds what the runs sent. The filled one was written just "
        "before, so it is in the page cache as far as it fits.",
    ]
    return "\n".join(lines)


def _size_lines(growth: Growth) -> list[str]:
    messages = growth.filled.messages
    parts = [f"{name} {size / messages:,.0f}" for name, size in growth.pages.items()]
    return [f"of which {', '.join(parts[:10])}"] if parts else []


def _throughput_lines(growth: Growth) -> list[str]:
    empty, full = growth.runs[EMPTY], growth.runs[FULL]
    ratio = statistics.median(
        (b.rate or 0) / (a.rate or 1) for a, b in zip(empty, full, strict=True)
    )
    rates = [statistics.median(run.rate or 0 for run in runs) for runs in (empty, full)]
    p99s = [statistics.median(run.p99_ms or 0 for run in runs) for runs in (empty, full)]
    lost = sum(run.verdict.lost for run in _all(growth) if run.verdict)
    goal = f"{THROUGHPUT_GOAL}x: {_reached(ratio >= THROUGHPUT_GOAL)}"
    return [
        f"| callbacks/s | {rates[0]:,.0f} | {rates[1]:,.0f} | {ratio:.2f}x | {goal} |",
        f"| p99 ms at saturation | {p99s[0]:.1f} | {p99s[1]:.1f} | {p99s[1] / p99s[0]:.2f}x | |",
        f"| answered but lost | {lost} in all | | | 0 |",
    ]


def _read_line(growth: Growth, name: str) -> str:
    empty, full = growth.reads[EMPTY].get(name, Latency()), growth.reads[FULL][name]
    goal = ratio = ""
    if full.worst_ms is not None:
        goal = f"{full.goal_ms:g} ms: {_reached(full.worst_ms < full.goal_ms)}"
    if full.p50_ms and empty.p50_ms:
        ratio = f"{full.p50_ms / empty.p50_ms:.2f}x"
    return f"| GET {name} | {_words(empty)} | {_words(full)} | {ratio} | {goal} |"


def _words(latency: Latency) -> str:
    if latency.p50_ms is None:
        return latency.note
    figures = [latency.p50_ms] + ([] if latency.p99_ms is None else [latency.p99_ms])
    return " / ".join(f"{figure:.1f}" for figure in figures)


def _name(store: str) -> str:
    return "growth" if store == "sqlite" else f"growth-{store}"


def _reached(good: bool) -> str:
    return "reached" if good else "**not reached**"


def _all(growth: Growth) -> list[Run]:
    return [*growth.runs[EMPTY], *growth.runs[FULL]]


def _write_results(growth: Growth, described: dict[str, str]) -> None:
    write(
        _name(growth.store),
        {
            "machine": described,
            "versions": PEERS[growth.store].versions(),
            "filled": growth.filled._asdict(),
            "bytes": growth.pages,
            "runs": [run.as_json() for run in _all(growth)],
            "reads": {
                kind: {name: asdict(latency) for name, latency in reads.items()}
                for kind, reads in growth.reads.items()
            },
        },
    )


if __name__ == "__main__":
    if load.find_wrk() is None:
        sys.exit(load.HOW_TO_GET_WRK)
    main()
