"""What is attacked, and the harm that was done to it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from uuid import uuid4

from smsstatus.intake.last_resort import read_log
from smsstatus.plivo.callback import Callback

from ..faults.load import Load
from ..faults.raw import Reply, exchange, wire
from ..faults.reconcile import query, stored_bodies, wait_until_drained, wrong_rows
from ..live import LiveService
from ..plivo_api import PlivoApi
from ..signed import Request

TOKEN = "a:token:with:colons:0123"

_ROWS = {
    "messages": "SELECT message_uuid, * FROM messages",
    "status_events": """SELECT message_uuid, e.digest, status, e.status_timestamp, e.error_code,
        e.sequence, e.rank, e.is_final, received_at, source, parameters
        FROM status_events AS e JOIN messages AS m ON m.id = message_id ORDER BY e.id""",
    "message_facts": """SELECT message_uuid, filed_at, country, network, units, amount, told_rank
        FROM message_facts JOIN messages AS m ON m.id = message_id""",
    "message_references": """SELECT message_uuid, query, filed_at
        FROM message_references JOIN messages AS m ON m.id = message_id""",
    "reference_pairs": """SELECT message_uuid, pair, filed_at
        FROM reference_pairs JOIN messages AS m ON m.id = message_id ORDER BY pair""",
}
"""All that is stored of a message, but for how often its callbacks were repeated."""

Cells = Mapping[str, Mapping[tuple[str, int, int], Any]]


class Harm(NamedTuple):
    """All that must be 0."""

    forged_rows: int
    changed_columns: int
    sent_sms: int
    missing: int

    def __str__(self) -> str:
        return (
            f"forged rows {self.forged_rows}, changed columns {self.changed_columns}, "
            f"sent SMS {self.sent_sms}, answered 200 and missing {self.missing}"
        )


class Attack:
    """Sends requests, each on a connection of its own, and counts the answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._answers = Counter[int | None]()
        self._began = time.monotonic()

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._began) / 60

    @property
    def total(self) -> int:
        return self._answers.total()

    def counted(self) -> list[tuple[int | None, int]]:
        return sorted(self._answers.items(), key=str)

    def send(self, data: bytes | Request) -> Reply | None:
        raw = data if isinstance(data, bytes) else wire(data, keep_alive=False)
        reply = exchange(self._port, raw, half_close=True)
        self._answers[reply.status if reply else None] += 1
        return reply

    def status(self, data: bytes | Request) -> int | None:
        reply = self.send(data)
        return reply.status if reply else None


class Target:
    """A service, and the requests to it that somebody has captured."""

    def __init__(self, service: LiveService, api: PlivoApi) -> None:
        self.service = service
        self.api = api
        self._uuids: set[str] = set()

    def capture(self, **more: str) -> dict[str, str]:
        """The fields of a message that the attacker will know about."""
        message_uuid = str(uuid4())
        self._uuids.add(message_uuid)
        fields = {**_TIMES, "Sequence": "3", "ErrorCode": "30", **more}
        return self.service.plivo.fields("undelivered", message_uuid, **fields)

    def arrive(self, request: Request) -> Request:
        """The genuine request arrives, as it was sent."""
        with_close = wire(request, keep_alive=False)
        reply = exchange(self.service.port, with_close)
        assert reply is not None
        assert reply.status == 200
        return request

    def sent_sms(self) -> int:
        """How many the service has sent. What it asks Plivo by itself is none."""
        return sum(asked.method == "POST" for asked in self.api.asked)

    def count(self, table: str) -> int:
        ((count,),) = query(self.service.database, f"SELECT count(*) FROM {table}")
        return int(count)

    def cells(self) -> Cells:
        """Each stored column of each message by its UUID."""
        found: dict[str, dict[tuple[str, int, int], Any]] = {}
        rows = Counter[tuple[str, str]]()
        for table, sql in _ROWS.items():
            for uuid, *values in query(self.service.database, sql):
                row = rows[uuid, table]
                rows[uuid, table] += 1
                cells = {(table, row, column): value for column, value in enumerate(values)}
                found.setdefault(uuid, {}).update(cells)
        return found

    def harm(self, before: Cells, sent: int, genuine: Load) -> Harm:
        """What the attack did, beside which `genuine` went on. Those are known from now on."""
        wait_until_drained(self.service)
        after = self.cells()
        self._uuids |= {parse_qs(d.body)["MessageUUID"][0] for d in genuine.deliveries}
        stored, logged = stored_bodies(self.service.database), self._logged()
        answered = genuine.acknowledged
        changed = [
            cell
            for uuid, cells in before.items()
            for cell in cells.keys() | after.get(uuid, {}).keys()
            if cells.get(cell) != after.get(uuid, {}).get(cell)
        ]
        return Harm(
            forged_rows=len(after.keys() - self._uuids - before.keys()),
            changed_columns=len(changed)
            + len(wrong_rows([d for d in answered if d.body in stored], self.service)),
            sent_sms=self.sent_sms() - sent,
            missing=sum(d.body not in stored | logged for d in answered),
        )

    def _logged(self) -> set[str]:
        """What is in the log's lines of last resort, among which may be made-up ones."""
        with open(self.service.log, encoding="utf-8", errors="replace") as lines:
            found = read_log(lines, [self.service.plivo.token])
            return {callback.body for callback in found if isinstance(callback, Callback)}


_TIMES = {
    "QueuedTime": "2026-11-01 00:00:01.250000",
    "SentTime": "2026-11-01 00:00:02.250000",
    "DeliveryReportTime": "2026-11-01 00:00:03.250000",
}
