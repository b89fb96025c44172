"""Counters of this process in Prometheus' text format.

Written by hand because nothing has to be shared between processes, which is the hard part of
prometheus-client: with SQLite one process serves everything, and with PostgreSQL, where several
may, on several machines too, each has a label of its own.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

from .model import StatusUpdate
from .store.contract import Outcome

_STANDS = Outcome.APPLIED
_CODE = re.compile(r"[0-9]{0,5}", re.ASCII)
"""Other codes share a label: there could be any number of them."""

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


class Written(Protocol):
    """What the store's writer did, and what it answered."""

    @property
    def job(self) -> Any: ...
    @property
    def answer(self) -> Any: ...


class Metrics:
    """What this process counts: callbacks, refusals, logins, commits, forwarding, upkeep."""

    def __init__(self) -> None:
        self._callbacks: Counter[tuple[int, str]] = Counter()
        self._refused_logins = 0
        self._refused: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._reconciled: Counter[str] = Counter()
        self._pruned = 0
        self._backup_bytes: dict[str, float] = {}
        self._final: Counter[tuple[str, str]] = Counter()
        self._last_callback = time.monotonic()
        self.delivery_seconds = Histogram(_DELAY_BUCKETS)
        self.forward_delays = Histogram(_DELAY_BUCKETS)
        self.batch_jobs = Histogram(_BATCH_BUCKETS)
        self.commit_seconds = Histogram(_SECONDS_BUCKETS)

    def count_callback(self, answer: int, reason: str) -> None:
        if answer == HTTPStatus.OK:
            self._last_callback = time.monotonic()
        with self._lock:
            self._callbacks[answer, reason] += 1

    def count_refused_login(self) -> None:
        with self._lock:
            self._refused_logins += 1

    def count_refused(self, answer: int, reason: str) -> None:
        """A request that the server refused before the application saw it."""
        with self._lock:
            self._refused[answer, reason] += 1

    def observe_commit(self, written: Sequence[Written], seconds: float) -> None:
        """From the store's writer, after each commit."""
        self.batch_jobs.observe(len(written))
        self.commit_seconds.observe(seconds)
        for each in written:
            update = each.job
            if type(update) is StatusUpdate and update.is_final and each.answer is _STANDS:
                self._observe_final(update)

    def _observe_final(self, update: StatusUpdate) -> None:
        """From a callback or from Plivo's API: a message's status is final now."""
        code = update.error_code or ""
        self._final[update.status, code if _CODE.fullmatch(code) else "other"] += 1
        if update.status == "delivered" and update.queued_at and update.status_timestamp:
            seconds = datetime.fromisoformat(update.status_timestamp) - datetime.fromisoformat(
                update.queued_at
            )
            self.delivery_seconds.observe(max(seconds.total_seconds(), 0.0))

    def count_attempt(self, result: str) -> None:
        """One attempt to forward a change: the answer's code, or what kept it from coming."""
        with self._lock:
            self._attempts[result] += 1

    def observe_taken(self, seconds: float) -> None:
        """A change was taken so long after it was received."""
        self.forward_delays.observe(seconds)

    def count_reconciled(self, result: str, count: int) -> None:
        """Messages that the service looked after by itself: asked, changed, listed, missed, ..."""
        with self._lock:
            self._reconciled[result] += count

    def count_pruned(self, count: int) -> None:
        """Messages that the service removed by itself."""
        self._pruned += count

    def note_backup(self, size: int) -> None:
        """The service has made a backup by itself."""
        self._backup_bytes = {"": size}

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

    def message_lines(self) -> list[str]:
        """What became of messages, and what the service found by itself."""
        with self._lock:
            reconciled = {f'result="{result}"': n for result, n in sorted(self._reconciled.items())}
        final = {
            f'status="{status}",error_code="{code}"': n
            for (status, code), n in sorted(dict(self._final).items())
        }
        silent = round(time.monotonic() - self._last_callback, 1)
        return [
            *family(
                "smsstatus_final_statuses_total",
                "counter",
                "Updates after which a status was final; read after delivered is one more.",
                final,
            ),
            *self.delivery_seconds.lines(
                "smsstatus_delivery_seconds", "Seconds from queued to delivered."
            ),
            *family(
                "smsstatus_seconds_since_callback",
                "gauge",
                "Seconds since the last callback that was answered 200, or since the start.",
                {"": silent},
            ),
            *family(
                "smsstatus_reconciled_total",
                "counter",
                "Messages that Plivo listed or was asked about by the upkeep, by result.",
                reconciled,
            ),
            *family(
                "smsstatus_pruned_total",
                "counter",
                "Messages that the upkeep removed.",
                {"": self._pruned},
            ),
            *family(
                "smsstatus_backup_bytes",
                "gauge",
                "Size of the last backup that the upkeep made since the start.",
                self._backup_bytes,
            ),
        ]

    def login_lines(self) -> list[str]:
        return family(
            "smsstatus_refused_logins_total",
            "counter",
            "Requests with a wrong API_TOKEN or METRICS_TOKEN.",
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
