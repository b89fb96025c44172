"""Turns runs into one table, and says which of the goals were reached."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.measure import Run
from bench.paths import RESULTS
from bench.peers.registry import ALL, LAYERS

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
    """`measure` gives the figure of a set of runs, or None where it was not measured."""

    words: str
    measure: Callable[[Sequence[Run]], float | None]
    limit: float
    at_least: bool
    unit: str = ""

    def line(self, runs: Sequence[Run]) -> str:
        figure = self.measure(runs)
        bound = f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"
        if figure is None:
            return f"* {self.words}: not measured ({bound})"
        reached = figure >= self.limit if self.at_least else figure <= self.limit
        verdict = "reached" if reached else "**not reached**"
        return f"* {self.words}: {figure:.3g}{self.unit} ({bound}): {verdict}"


def table(runs: Sequence[Run]) -> str:
    """Medians over the rounds, as markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|---|" + "---:|" * (len(HEADINGS) - 2)]
    for profile in dict.fromkeys(run.profile for run in runs):
        measured = {run.peer for run in runs if run.profile == profile}
        rows = [_row(runs, profile, peer) for peer in ALL | LAYERS if peer in measured]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def goals(runs: Sequence[Run]) -> str:
    """One line for each goal."""
    return "\n".join(goal.line(runs) for goal in GOALS)


def ratios(runs: Sequence[Run], profile: str, peer: str, value: Value) -> list[float]:
    """smsstatus over `peer`, round by round: neighbours in time, so that drift cancels."""
    ours = _by_round(runs, profile, "smsstatus", value)
    theirs = _by_round(runs, profile, peer, value)
    return [ours[number] / theirs[number] for number in ours if theirs.get(number)]


def rate(run: Run) -> float | None:
    return run.rate


def p99(run: Run) -> float | None:
    return run.p99_ms


def trouble(runs: Sequence[Run]) -> list[str]:
    """What makes a run's figures worthless: callbacks lost, refused or not answered."""
    lines = []
    for run in runs:
        where = f"{run.profile}, {run.peer}, round {run.round}"
        if run.failed:
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


def _row(runs: Sequence[Run], profile: str, peer: str) -> list[str]:
    own = [run for run in runs if (run.profile, run.peer) == (profile, peer)]
    rss, pss = _median(own, lambda run: run.rss_mb), _median(own, lambda run: run.pss_mb)
    worst = max((run.max_ms for run in own if run.max_ms is not None), default=None)
    return [
        profile,
        peer,
        _number(_median(own, rate), 0),
        _ratio_words(ratios(runs, profile, peer, rate)) if peer != "smsstatus" else "",
        _number(_median(own, lambda run: run.p50_ms), 1),
        _number(_median(own, p99), 1),
        _number(worst, 1),
        _number(_median(own, lambda run: run.cpu_per_thousand), 3),
        _number(_median(own, lambda run: run.fsyncs_per_callback), 3),
        f"{_number(rss, 0)} ({_number(pss, 0)})",
        _number(_median(own, lambda run: run.start_seconds), 2) if profile == "startup" else "",
        str(sum(run.failed for run in own)),
        _lost_words(own),
    ]


def _lost_words(runs: Sequence[Run]) -> str:
    verdicts = [run.verdict for run in runs if run.verdict]
    if not verdicts:
        return ""
    lost = sum(verdict.lost for verdict in verdicts)
    return f"{lost} of {sum(verdict.distinct for verdict in verdicts)}"


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


def _ratio(profile: str, peer: str, value: Value) -> Callable[[Sequence[Run]], float | None]:
    def measure(runs: Sequence[Run]) -> float | None:
        found = ratios(runs, profile, peer, value)
        return statistics.median(found) if found else None

    return measure


def _own(profile: str, value: Value) -> Callable[[Sequence[Run]], float | None]:
    def measure(runs: Sequence[Run]) -> float | None:
        return _median([r for r in runs if (r.profile, r.peer) == (profile, "smsstatus")], value)

    return measure


GOALS = (
    Goal("throughput against Fastify", _ratio("full", "fastify", rate), 1.2, True, "x"),
    Goal(
        "throughput against Fastify, fsync + 2 ms",
        _ratio("slow-fsync", "fastify", rate),
        6,
        True,
        "x",
    ),
    Goal("p99 at saturation against Fastify", _ratio("full", "fastify", p99), 0.2, False, "x"),
    Goal("throughput against FastAPI", _ratio("full", "fastapi", rate), 1.6, True, "x"),
    Goal("throughput against the empty app", _ratio("full", "empty", rate), 0.40, True, "x"),
    Goal("p99 at a steady 200/s", _own("steady", p99), 10, False, " ms"),
    Goal(
        "fsyncs per callback at saturation",
        _own("full", lambda run: run.fsyncs_per_callback),
        0.2,
        False,
    ),
    Goal("start to first 200", _own("startup", lambda run: run.start_seconds), 1.0, False, " s"),
    Goal("resident memory under load", _own("full", lambda run: run.rss_mb), 90, False, " MB"),
)
