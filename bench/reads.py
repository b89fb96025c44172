"""How long each GET takes: one kept connection, one request after another, p50 and p99."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import psycopg

from bench.callbacks import NETWORKS
from bench.peers.registry import API_TOKEN
from bench.postgres import Database
from smsstatus.model import utc_timestamp
from smsstatus.plivo.countries import country_of
from smsstatus.store.contract import GROUPS

REQUESTS = 300
LIST_GOAL_MS, STATS_GOAL_MS, COUNTING_GOAL_MS = 10.0, 200.0, 300.0
"""The last one for a first look at the page and for groups of a month, whatever the store."""
POSTGRES_GOAL_MS = 20.0
"""For all the rest, where the messages are in PostgreSQL."""
DEEP_PAGES = 2000
NOBODY = "19999999999"


@dataclass(frozen=True)
class Latency:
    """How long a kind of request took; one alone has no p99. `note`: why it was not measured."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    goal_ms: float = LIST_GOAL_MS
    note: str = ""

    @property
    def worst_ms(self) -> float | None:
        """What the goal is for."""
        return self.p50_ms if self.p99_ms is None else self.p99_ms


class _Sample(NamedTuple):
    uuid: str
    sender: str
    recipient: str


class _Known(NamedTuple):
    """What a reader may ask for: messages that exist, and the time they span."""

    samples: list[_Sample]
    errors: list[str]
    oldest: datetime
    newest: datetime


class Reader:
    """Asks a running service as its operator would."""

    def __init__(self, port: int, database: Database) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.rng = random.Random(4)
        self.known = _look(database, self.rng)
        self.in_file = isinstance(database, Path)

    def measure_all(self) -> Iterator[tuple[str, Latency]]:
        """Each kind of request with its latency."""
        for name, latency in self._measure_all():
            is_bounded = self.in_file or latency.goal_ms == COUNTING_GOAL_MS
            goal = latency.goal_ms if is_bounded else POSTGRES_GOAL_MS
            yield name, replace(latency, goal_ms=goal)
        self.connection.close()

    def _measure_all(self) -> Iterator[tuple[str, Latency]]:
        for name, path in self._kinds().items():
            yield name, self._measure(path)
        yield "/stats over 24 h", replace(self._measure(self._stats), goal_ms=STATS_GOAL_MS)
        yield f"/messages?limit=50&cursor= ({DEEP_PAGES:,} pages of 200 deep)", self._deep()
        for window in ("1h", "24h", "7d", "30d"):
            yield f"/?window={window} (first look)", self._first_look(f"/?window={window}")
        yield "/ (further looks)", self._measure(lambda: "/")
        for times in ("first time", "again"):
            yield f"/stats?group_by= over 30 d, each of 15 ({times})", self._groups()

    def _first_look(self, path: str) -> Latency:
        """The page counts once and then keeps what it counted, so only the first time tells."""
        status, _, seconds = self._get(path)
        if status != 200:
            return Latency(note=f"answered {status}")
        return Latency(seconds * 1e3, goal_ms=COUNTING_GOAL_MS)

    def _groups(self) -> Latency:
        """Of the newest 30 days, by one or two of GROUPS, each of them once."""
        since = self.known.newest - timedelta(days=30)
        window = {"since": f"{since.isoformat()}Z", "until": f"{self.known.newest.isoformat()}Z"}
        times = []
        for groups in (*GROUPS, *map(",".join, itertools.combinations(GROUPS, 2))):
            status, _, seconds = self._get("/stats?" + urlencode({"group_by": groups, **window}))
            if status != 200:
                return Latency(note=f"answered {status}")
            times.append(seconds * 1e3)
        return replace(_latency(times), goal_ms=COUNTING_GOAL_MS)

    def _kinds(self) -> dict[str, Callable[[], str]]:
        one, error_code = self._any_message, self._any_error
        place = json.loads(self._get("/changes")[1])["next_cursor"]
        return {
            "/messages/<uuid>": lambda: f"/messages/{one().uuid}",
            "/messages": lambda: "/messages",
            "status=delivered (most)": lambda: _list(status="delivered"),
            "status=sent (few)": lambda: _list(status="sent"),
            "status=read (none)": lambda: _list(status="read"),
            "status twice": lambda: _list(status=["failed", "undelivered"]),
            "to": lambda: _list(to=one().recipient),
            "to (unknown)": lambda: _list(to=NOBODY),
            "from": lambda: _list(**{"from": one().sender}),
            "from (unknown)": lambda: _list(**{"from": NOBODY}),
            "from, to (strangers)": lambda: _list(**{"from": one().sender, "to": one().recipient}),
            "error_code": lambda: _list(error_code=error_code()),
            "from, error_code": lambda: _list(**{"from": one().sender, "error_code": error_code()}),
            "country": lambda: _list(country="US"),
            "network": lambda: _list(network=self._any_network()["network"]),
            "from, country, network": lambda: _list(
                **{"from": one().sender}, **self._any_network()
            ),
            "reference (none)": lambda: _list(reference="order=42"),
            "since, until (an hour)": lambda: _list(**self._window(hours=1)),
            "status, from, since, until": lambda: _list(
                status="undelivered", **{"from": one().sender}, **self._window(hours=24)
            ),
            "status=read, since, until (all)": lambda: _list(
                status="read", **self._window(hours=24 * 365)
            ),
            "/changes": lambda: "/changes",
            "/changes?after=": lambda: "/changes?" + urlencode({"after": place}),
            "/ui/messages": lambda: "/ui/messages",
            "/ui/messages?from=": lambda: f"/ui/messages?from={one().sender}",
            "/ui/messages/<uuid>": lambda: f"/ui/messages/{one().uuid}",
            "/ui/messages.csv?to=": lambda: f"/ui/messages.csv?to={one().recipient}",
            "/metrics": lambda: "/metrics",
            "/readyz": lambda: "/readyz",
        }

    def _stats(self) -> str:
        return "/stats?" + urlencode(self._window(hours=24))

    def _any_message(self) -> _Sample:
        return self.rng.choice(self.known.samples)

    def _any_error(self) -> str:
        return self.rng.choice(self.known.errors)

    def _any_network(self) -> dict[str, str | None]:
        network = "-".join(self.rng.choice(NETWORKS))
        return {"network": network, "country": country_of(network, "")}

    def _window(self, hours: float) -> dict[str, str]:
        """A random window of that length within the data, or all of it."""
        span = (self.known.newest - self.known.oldest).total_seconds()
        length = min(hours * 3600, span)
        since = self.known.oldest + timedelta(seconds=self.rng.uniform(0, span - length))
        until = since + timedelta(seconds=length)
        return {"since": since.isoformat() + "Z", "until": until.isoformat() + "Z"}

    def _measure(self, path: Callable[[], str]) -> Latency:
        times = []
        for number in range(REQUESTS + 5):
            status, _, seconds = self._get(path())
            if status != 200:
                return Latency(note=f"answered {status}")
            if number >= 5:  # the first ones warm the service's own caches
                times.append(seconds * 1e3)
        return _latency(times)

    def _deep(self) -> Latency:
        """Walk far down the list, then time the pages there."""
        cursor, times = "", []
        for number in range(DEEP_PAGES + REQUESTS):
            limit = 200 if number < DEEP_PAGES else 50
            query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
            status, body, seconds = self._get("/messages?" + urlencode(query))
            if status != 200:
                return Latency(note=f"answered {status}")
            if number >= DEEP_PAGES:
                times.append(seconds * 1e3)
            cursor = json.loads(body).get("next_cursor")
            if not cursor:
                break
        return _latency(times) if times else Latency(note="not that many")

    def _get(self, path: str) -> tuple[int, bytes, float]:
        started = time.perf_counter()
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {API_TOKEN}"})
        response = self.connection.getresponse()
        body = response.read()
        return response.status, body, time.perf_counter() - started


def _list(**query: object) -> str:
    return "/messages?" + urlencode(query, doseq=True)


def _latency(times: list[float]) -> Latency:
    times.sort()
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    return Latency(statistics.median(times), p99)


def _look(database: Database, rng: random.Random) -> _Known:
    with closing(_open(database)) as connection:
        ((last, oldest, newest),) = connection.execute(
            "SELECT max(id), min(created_at), max(created_at) FROM messages"
        ).fetchall()
        ids = ", ".join([str(rng.randint(1, last)) for _ in range(500)])
        samples = connection.execute(
            "SELECT message_uuid, sender_number, recipient_number FROM messages"
            f" WHERE id IN ({ids})"
        ).fetchall()
        errors = connection.execute(
            "SELECT DISTINCT error_code FROM messages WHERE error_code IS NOT NULL"
        ).fetchall()
    oldest, newest = [
        datetime.fromisoformat(utc_timestamp(str(time)).rstrip("Z")) for time in (oldest, newest)
    ]
    known = [_Sample(*row) for row in samples]
    return _Known(known, [row[0] for row in errors] or ["420"], oldest, newest)


def _open(database: Database) -> Any:
    """For reading. Both kinds of connection know `execute`."""
    if isinstance(database, Path):
        return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    return psycopg.connect(database.url)
