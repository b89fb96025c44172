"""The service with one more route, which tells what its own worker does. Served by test_worker."""

from __future__ import annotations

from typing import Any

from smsstatus.worker import Worker
from wsgi import app

_enqueue = Worker.enqueue_req
_seen: dict[str, Any] = {"enqueued": 0}


def _count(worker: Worker, conn: Any) -> None:
    _seen["enqueued"] += 1
    settings = vars(worker.cfg)
    _seen["plain"] = [
        name for name in ("access_log_format", "keepalive", "workers") if name in settings
    ]
    _enqueue(worker, conn)


Worker.enqueue_req = _count  # type: ignore[method-assign]


@app.get("/watched")
def watched() -> dict[str, Any]:
    return _seen
