"""Counters of this process in Prometheus' text format.

Written by hand because nothing has to be shared between processes, which is the hard part of
prometheus-client: with SQLite one process serves everything, and with PostgreSQL, where several
may, on several machines too, each has a label of its own.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_DELAY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0)
_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Counts of observations up to each bound. Each is observed from one thread."""

    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        index = sum(value > bound for bound in self.bounds)
        self.counts[index] += 1
        self.total += value

    def lines(self, name: str, about: str) -> list[str]:
        lines = [f"# HELP {name} {about}", f"# TYPE {name} histogram"]
        cumulative = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            cumulative += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {cumulative}')
        return [*lines, f"{name}_sum {self.total}", f"{name}_count {cumulative}"]


class Metrics:
    """What the webhook and the store count."""

    def __init__(self) -> None:
        self._callbacks: Counter[tuple[int, str]] = Counter()
        self._refused_logins = 0
        self._refused: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self.forward_delays = Histogram(_DELAY_BUCKETS)
        self.batch_jobs = Histogram(_BATCH_BUCKETS)
        self.commit_seconds = Histogram(_SECONDS_BUCKETS)

    def count_callback(self, answer: int, reason: str) -> None:
        with self._lock:
            self._callbacks[answer, reason] += 1

    def count_refused_login(self) -> None:
        with self._lock:
            self._refused_logins += 1

    def count_refused(self, answer: int, reason: str) -> None:
        """A request that the server refused before the application saw it."""
        with self._lock:
            self._refused[answer, reason] += 1

    def observe_commit(self, jobs: int, seconds: float) -> None:
        self.batch_jobs.observe(jobs)
        self.commit_seconds.observe(seconds)

    def count_attempt(self, result: str) -> None:
        """One attempt to forward a change: the answer's code, or what kept it from coming."""
        with self._lock:
            self._attempts[result] += 1

    def observe_taken(self, seconds: float) -> None:
        """A change was taken so long after it was received."""
        self.forward_delays.observe(seconds)

    def callback_lines(self) -> list[str]:
        with self._lock:
            callbacks, refused = _labelled(self._callbacks), _labelled(self._refused)
        return [
            *family(
                "smsstatus_callbacks_total",
                "counter",
                "Callbacks by answer and reason.",
                callbacks,
            ),
            *family(
                "smsstatus_refused_requests_total",
                "counter",
                "Requests refused before the application saw them, by answer and class of fault.",
                refused,
            ),
        ]

    def login_lines(self) -> list[str]:
        return family(
            "smsstatus_refused_logins_total",
            "counter",
            "Requests with a wrong API_TOKEN.",
            {"": self._refused_logins},
        )

    def forward_lines(self) -> list[str]:
        with self._lock:
            attempts = {f'result="{result}"': n for result, n in sorted(self._attempts.items())}
        return [
            *family(
                "smsstatus_forward_attempts_total",
                "counter",
                "Attempts to forward a change, by result.",
                attempts,
            ),
            *self.forward_delays.lines(
                "smsstatus_forward_delay_seconds", "Seconds until a received change was taken."
            ),
        ]

    def commit_lines(self) -> list[str]:
        return [
            *self.batch_jobs.lines("smsstatus_commit_batch_size", "Writes sharing one commit."),
            *self.commit_seconds.lines("smsstatus_commit_seconds", "Seconds a commit took."),
        ]


def _labelled(counter: Counter[tuple[int, str]]) -> dict[str, int]:
    return {
        f'answer="{answer}",reason="{reason}"': count
        for (answer, reason), count in sorted(counter.items())
    }


def family(name: str, kind: str, about: str, values: Mapping[str, float]) -> list[str]:
    """The lines of one metric; the keys are label sets such as `status="sent"`, or empty."""
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in values.items():
        lines.append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
    return lines


def with_label(label: str, lines: Iterable[str]) -> list[str]:
    """The lines with one more label, such as `process="web.1"`, on each value; '' adds none."""
    if not label:
        return list(lines)
    added = []
    for line in lines:
        name, space, value = line.partition(" ")
        if not line.startswith("#"):
            bare, brace, labels = name.partition("{")
            name = f"{bare}{{{label},{labels}" if brace else f"{bare}{{{label}}}"
        added.append(f"{name}{space}{value}")
    return added


def escape(label: str) -> str:
    """A label value as the format requires it."""
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
