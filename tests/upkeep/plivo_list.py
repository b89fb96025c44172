"""Plivo's list of messages and its limits, played on a test's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from smsstatus.model import utc_timestamp

from ..clock import HandClock
from ..plivo_api import Asked, PlivoApi, Reply

INDIA = timezone(timedelta(hours=5, minutes=30))
"""The account's clock."""

Tamper = Callable[[int, list[dict[str, Any]]], Reply | None]
"""What a list answers for its n-th request in the place of these rows, which it may change."""


class PlivoList:
    """Answers as Plivo does: newest first, 20 at a time, 20 requests a minute, then 429."""

    def __init__(self, standin: PlivoApi, clock: HandClock) -> None:
        self.clock = clock
        self.messages = standin.messages
        self.pages = self.refused = self.offset = 0
        self.counted_too = 0  # more than it lists
        self.gets: list[float] = []
        self.tamper: Tamper = lambda number, rows: None
        self._times: deque[float] = deque()
        standin.reply = self._reply

    def send(
        self, number: int, sent_at: datetime, state: str = "delivered", *, inbound: bool = False
    ) -> str:
        """Somebody sends a message, and no callback comes; its UUID."""
        message_uuid = f"{number:08x}-0000-4000-8000-000000000000"
        local = sent_at.astimezone(INDIA)
        self.messages[message_uuid] = {
            "message_uuid": message_uuid,
            "message_direction": "inbound" if inbound else "outbound",
            "message_state": state,
            "error_code": "30" if state == "undelivered" else "000",
            "from_number": "14155550100",
            "to_number": f"1415555{number % 10_000:04d}",
            "message_time": str(local),
            "message_sent_time": str(local + timedelta(seconds=1)),
            "message_updated_time": str(local + timedelta(seconds=2)),
            "units": 1,
            "total_amount": "0.00750",
        }
        return message_uuid

    def _reply(self, asked: Asked) -> Reply | None:
        parts = urlsplit(asked.path)
        if asked.method != "GET" or not parts.path.endswith("/Message/"):
            self.gets.append(self.clock.elapsed)
            return None
        now = self.clock.elapsed
        while self._times and self._times[0] <= now - 60:
            self._times.popleft()
        if len(self._times) == 20:
            self.refused += 1
            return Reply(429, {"error": "too many requests"}, {"Retry-After": "60"})
        self._times.append(now)
        self.pages += 1
        return self._page({name: values[0] for name, values in parse_qs(parts.query).items()})

    def _page(self, asked: dict[str, str]) -> Reply:
        since, until = (
            utc_timestamp(asked[name]) for name in ("message_time__gte", "message_time__lt")
        )
        assert since >= utc_timestamp(str(self.clock.now() - timedelta(days=90)))
        rows = sorted(
            (
                row
                for row in self.messages.values()
                if since <= utc_timestamp(row["message_time"]) < until
                and row["message_direction"] == asked["message_direction"]
            ),
            key=lambda row: (utc_timestamp(row["message_time"]), row["message_uuid"]),
            reverse=True,
        )
        self.offset = offset = int(asked["offset"])
        instead = self.tamper(self.pages, rows)
        if instead is not None:
            return instead
        limit = int(asked["limit"])
        assert 0 < limit <= 20
        meta = {"limit": limit, "offset": offset, "total_count": len(rows) + self.counted_too}
        return Reply(200, {"meta": meta, "objects": rows[offset : offset + limit]})


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)
