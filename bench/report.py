"""Turns runs into one table, and says which of the goals were reached."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import Run
from bench.paths import RESULTS
from bench.peers.registry import ALL, LAYERS, ON_POSTGRES

Value = Callable[[Run], float | None]
HEADINGS = (
    "profile",
    "service",
    "callbacks/s",
    "smsstatus is",
    "p50 ms",
    "p99 ms",
    "max ms",
    "CPU s / 1,000",
    "fsyncs / callback",
    "RSS (PSS) MB",
    "start s",
    "not 200",
    "lost",
)


@dataclass(frozen=True)
class Goal:
    """`measure` gives the figure of each round in a set of runs, as far as it was measured."""

    words: str
    measure: Callable[[Sequence[Run]], list[float]]
    limit: float
    at_least: bool
    unit: str = ""

    def line(self, runs: Sequence[Run]) -> str:
        figures = self.measure(runs)
        bound = f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"
        if not figures:
            return f"* {self.words}: not measured ({bound})"
        figure = statistics.median(figures)
        reached = figure >= self.limit if self.at_least else figure <= self.limit
        verdict = "reached" if reached else "**not reached**"
        rounds = f"{min(figures):.3g} to {max(figures):.3g}"
        return f"* {self.words}: {figure:.3g}{self.unit} ({rounds}), {bound}: {verdict}"


def table(runs: Sequence[Run]) -> str:
    """Medians over the rounds, as markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|---|" + "---:|" * (len(HEADINGS) - 2)]
    for profile in dict.fromkeys(run.profile for run in runs):
        measured = {run.peer for run in runs if run.profile == profile}
        known = [peer for peer in ALL | LAYERS | ON_POSTGRES if peer in measured]
        rows = [_row(runs, profile, peer) for peer in [*known, *sorted(measured - {*known})]]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def goals(runs: Sequence[Run]) -> str:
    """One line for each goal of the stores that were measured."""
    stores = {run.profile == "postgres" for run in runs}
    asked = [goal for on_postgres, some in GOALS.items() if on_postgres in stores for goal in some]
    return "\n".join(goal.line(runs) for goal in asked)


def ratios(
    runs: Sequence[Run], profile: str, peer: str, value: Value, ours: str = ""
) -> list[float]:
    """`ours` over `peer`, round by round: neighbours in time, so that drift cancels."""
    mine = _by_round(runs, profile, ours or _ours(profile), value)
    theirs = _by_round(runs, profile, peer, value)
    return [mine[number] / theirs[number] for number in mine if theirs.get(number)]


def rate(run: Run) -> float | None:
    return run.rate


def p99(run: Run) -> float | None:
    return run.p99_ms


def trouble(runs: Sequence[Run]) -> list[str]:
    """What makes a run's figures worthless: callbacks lost, refused or not answered."""
    lines = []
    for run in runs:
        where = f"{run.profile}, {run.peer}, round {run.round}"
        if run.failed and (run.peer == "smsstatus" or "stalled" not in run.profile):
            lines.append(f"{where}: {run.failed} callbacks were not answered with 200")
        if run.verdict and not run.verdict.good:
            lines.append(f"{where}: the database does not hold what was answered: {run.verdict}")
        if not run.answered:
            lines.append(f"{where}: nothing was answered")
    return lines


def write(name: str, results: Mapping[str, object]) -> None:
    """Every figure, for whoever wants more than the table."""
    RESULTS.mkdir(exist_ok=True)
    dated = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **results}
    (RESULTS / f"{name}.json").write_text(json.dumps(dated, indent=1) + "\n")


def fill(document: Path, section: str, text: str) -> None:
    """Put these figures in the place of those that the document has."""
    begin, end = f"<!-- figures: {section} -->\n", "<!-- end of figures -->"
    before, _, rest = document.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise ValueError(f"{document} has no lines between {begin.strip()} and {end}")
    document.write_text(f"{before}{begin}{text}\n{end}{after}")


def _row(runs: Sequence[Run], profile: str, peer: str) -> list[str]:
    own = [run for run in runs if (run.profile, run.peer) == (profile, peer)]
    rss, pss = _median(own, lambda run: run.rss_mb), _median(own, lambda run: run.pss_mb)
    worst = max((run.max_ms for run in own if run.max_ms is not None), default=None)
    return [
        profile,
        peer,
        _spread(own, rate, 0),
        _ratio_words(ratios(runs, profile, peer, rate)) if peer != _ours(profile) else "",
        _number(_median(own, lambda run: run.p50_ms), 1),
        _spread(own, p99, 1),
        _number(worst, 1),
        _cpu_words(own),
        _number(_median(own, lambda run: run.fsyncs_per_callback), 3),
        f"{_number(rss, 0)} ({_number(pss, 0)})",
        _number(_median(own, lambda run: run.start_seconds), 2) if profile == "startup" else "",
        str(sum(run.failed for run in own)),
        _lost_words(own),
    ]


def _ours(profile: str) -> str:
    """What the others are compared with."""
    return "smsstatus-pg" if profile == "postgres" else "smsstatus"


def _spread(runs: Sequence[Run], value: Value, digits: int) -> str:
    """The median, and what the rounds differed by: no smaller difference means anything."""
    found = sorted(number for run in runs if (number := value(run)) is not None)
    if len(found) < 2:
        return _number(_median(runs, value), digits)
    ends = f"{_number(found[0], digits)} to {_number(found[-1], digits)}"
    return f"{_number(statistics.median(found), digits)} ({ends})"


def _lost_words(runs: Sequence[Run]) -> str:
    verdicts = [run.verdict for run in runs if run.verdict]
    if not verdicts:
        return ""
    lost = sum(verdict.lost for verdict in verdicts)
    return f"{lost} of {sum(verdict.distinct for verdict in verdicts)}"


def _cpu_words(runs: Sequence[Run]) -> str:
    """A service's own, and its PostgreSQL's."""
    own = _number(_median(runs, lambda run: run.cpu_per_thousand), 3)
    database = _number(_median(runs, lambda run: run.database_cpu_per_thousand), 3)
    return f"{own} + {database}" if database else own


def _ratio_words(found: list[float]) -> str:
    if not found:
        return ""
    return f"{statistics.median(found):.2f}x ({min(found):.2f} to {max(found):.2f})"


def _by_round(runs: Sequence[Run], profile: str, peer: str, value: Value) -> dict[int, float]:
    own = [run for run in runs if (run.profile, run.peer) == (profile, peer)]
    return {run.round: found for run in own if (found := value(run)) is not None}


def _median(runs: Sequence[Run], value: Value) -> float | None:
    found = [number for run in runs if (number := value(run)) is not None]
    return statistics.median(found) if found else None


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _ratio(
    profile: str, peer: str, value: Value, ours: str = ""
) -> Callable[[Sequence[Run]], list[float]]:
    return lambda runs: ratios(runs, profile, peer, value, ours)


def _own(profile: str, value: Value) -> Callable[[Sequence[Run]], list[float]]:
    return lambda runs: [*_by_round(runs, profile, "smsstatus", value).values()]


_ON_SQLITE = (
    Goal("throughput against Fastify", _ratio("full", "fastify", rate), 1.6, True, "x"),
    Goal(
        "throughput against Fastify, fsync + 2 ms",
        _ratio("slow-fsync", "fastify", rate),
        8,
        True,
        "x",
    ),
    Goal("throughput against FastAPI", _ratio("full", "fastapi", rate), 2.2, True, "x"),
    Goal(
        "throughput against Fastify with shared commits",
        _ratio("full", "fastify-shared", rate),
        0.55,
        True,
        "x",
    ),
    Goal("p99 at saturation against Fastify", _ratio("full", "fastify", p99), 0.6, False, "x"),
    Goal(
        "p99 at saturation against Fastify with shared commits",
        _ratio("full", "fastify-shared", p99),
        1.6,
        False,
        "x",
    ),
    Goal("p99 at a steady 200/s against Fastify", _ratio("steady", "fastify", p99), 1, False, "x"),
    Goal("p99 beside 64 stalled clients/s", _own("64 stalled/s", p99), 50, False, " ms"),
    Goal(
        "fsyncs per callback at saturation",
        _own("full", lambda run: run.fsyncs_per_callback),
        0.2,
        False,
    ),
    Goal("start to first 200", _own("startup", lambda run: run.start_seconds), 1.0, False, " s"),
    Goal("resident memory under load", _own("full", lambda run: run.rss_mb), 90, False, " MB"),
)
_ON_POSTGRES = (
    Goal(
        "throughput against Fastify, one process",
        _ratio("postgres", "fastify-pg", rate),
        3,
        True,
        "x",
    ),
    Goal(
        "throughput against Fastify, two processes",
        _ratio("postgres", "fastify-pg", rate, "smsstatus-pg x 2"),
        3,
        True,
        "x",
    ),
)
GOALS = {False: _ON_SQLITE, True: _ON_POSTGRES}
"""By whether it is about PostgreSQL."""
