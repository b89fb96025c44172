"""What the faults of forwarding share: a receiver that verifies, and what has become of changes."""

from __future__ import annotations

import json
import resource
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

from smsstatus.forwarding.signing import write_secret
from smsstatus.server.worker import Worker

from ..forwarding.receivers import Answer, Delivered, Receiver, receiver
from ..live import LiveService, wait_until
from .places import is_on_postgres
from .reconcile import gather, look
from .tracing import worker_pid
from .workers import Eager, serve_with

KEY = bytes(range(32))
SECRET = write_secret(KEY)


@contextmanager
def verifying_receiver() -> Iterator[Receiver]:
    """It takes only what the official library verifies, and answers 401 to anything else."""
    library = Webhook(SECRET)

    def answer(delivered: Delivered) -> Answer:
        try:
            library.verify(delivered.body, delivered.headers)
        except WebhookVerificationError:
            delivered.was_taken = False
            return Answer(401)
        return Answer()

    with receiver() as running:
        running.answer = answer
        yield running


def slowly(there: Receiver, seconds: float) -> None:
    """Have it take so long for each, that many wait behind those."""
    answer, pause = there.answer, threading.Event()

    def answer_late(delivered: Delivered) -> Answer | None:
        pause.wait(seconds)
        return answer(delivered)

    there.answer = answer_late


def forwarding_to(url: str, worker: type[Worker] = Eager, **more: str) -> dict[str, str]:
    return {**serve_with(worker), "FORWARD_URL": url, "FORWARD_SECRET": SECRET, **more}


def ids(service: LiveService, state: str | None = None) -> set[str]:
    """The ids of all changes that are forwarded, or of those that are in a state."""
    digest = "e.signed_text || e.reading" if is_on_postgres(service) else "e.digest"
    only = f"WHERE f.state = '{state}'" if state else ""
    found = look(
        service,
        f"SELECT {digest} FROM forwards AS f JOIN status_events AS e ON e.id = f.event_id {only}",
    )
    return {f"evt_{bytes(digest).hex()}" for (digest,) in found}


def count_waiting(service: LiveService) -> int:
    ((count,),) = look(service, "SELECT count(*) FROM forwards WHERE due_at IS NOT NULL")
    return int(count)


def wait_until_sent(service: LiveService, seconds: float = 240.0) -> None:
    """Wait until all is stored, and nothing waits to be forwarded."""
    gather(service)
    wait_until(lambda: count_waiting(service) == 0, seconds, "all is forwarded")


class Arrived:
    """What the receiver has taken, in the order of arrival."""

    def __init__(self, there: Receiver) -> None:
        self.deliveries = [one for one in list(there.delivered) if one.was_taken]
        self.times = Counter(one.headers["webhook-id"] for one in self.deliveries)

    def missing(self, service: LiveService) -> int:
        """Changes that were never received, and messages of which something else was told last."""
        told = [json.loads(one.body)["data"] for one in self.deliveries]
        told.sort(key=lambda data: str(data["order"]))
        last = {data["message_uuid"]: data["status"] for data in told}
        standing = look(service, "SELECT message_uuid, current_status FROM messages")
        untold = [uuid for uuid, status in standing if last.get(uuid) != status]
        return len(ids(service) - self.times.keys()) + len(untold)

    def wrongly_taken(self, service: LiveService) -> int:
        """Changes that the database says were taken, and that were not."""
        return len(ids(service, "taken") - self.times.keys())

    @property
    def repeated(self) -> int:
        return sum(self.times.values()) - len(self.times)

    @property
    def overtaken(self) -> int:
        """Changes that came for the first time after a later one of their message."""
        latest: dict[str, str] = {}
        seen: set[str] = set()
        count = 0
        for one in self.deliveries:
            data = json.loads(one.body)["data"]
            if one.headers["webhook-id"] not in seen:
                seen.add(one.headers["webhook-id"])
                count += data["order"] < latest.get(data["message_uuid"], "")
                latest[data["message_uuid"]] = max(
                    data["order"], latest.get(data["message_uuid"], "")
                )
        return count


def memory(service: LiveService) -> int:
    """Bytes of the worker's memory, all of it in use."""
    pages = Path(f"/proc/{worker_pid(service)}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
