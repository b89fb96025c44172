"""Blueprint /healthz, /readyz, /metrics: for the host and for monitoring.

No token, no redirect, no dependence on Host, and nothing secret in an answer.
"""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Response, jsonify

from ..intake.spool import Depth, SpoolUnavailable
from ..metrics import escape, family
from ..server import serving
from ..service import Service, current_service
from ..store.contract import StoreError

READY_SECONDS = 1.0
STALE_SECONDS = 10.0

blueprint = Blueprint("health", __name__)
_finding_out = threading.Lock()


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 if the store takes a write and the spool takes files; 503 with the reasons if not."""
    found = readiness(current_service())
    return jsonify(found), 200 if found["ready"] else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format."""
    service = current_service()
    depth = _depth(service) or Depth(-1, -1, -1, -1)
    lines = [
        *service.metrics.callback_lines(),
        *service.metrics.login_lines(),
        *service.metrics.commit_lines(),
        *family(
            *("smsstatus_spool_files", "gauge", "Spooled callbacks; -1: cannot be counted."),
            {
                'kind="waiting"': depth.waiting,
                'kind="bad"': depth.bad,
                'kind="stuck"': depth.stuck,
            },
        ),
        *family(
            *("smsstatus_spool_oldest_seconds", "gauge", "Age of the oldest waiting callback."),
            {"": round(depth.oldest_seconds, 3)},
        ),
        *_row_lines(service),
    ]
    return Response("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def readiness(service: Service) -> dict[str, Any]:
    """What /readyz says, as a dict: ready, reasons, the spool's depth, and what serves.

    At most READY_SECONDS old: finding out costs several fsyncs, and anybody may ask. While somebody
    finds out, others are told what was so before: on a disk that hangs they would hold all threads.
    """
    found_at, found = service.readiness
    age = service.clock.monotonic() - found_at
    if found and age <= READY_SECONDS:
        return found
    if not _finding_out.acquire(blocking=not found or age > STALE_SECONDS):
        return found
    try:
        found_at, found = service.readiness
        if not found or service.clock.monotonic() - found_at > READY_SECONDS:
            found = _find_out(service)
            service.readiness = (service.clock.monotonic(), found)
        return found
    finally:
        _finding_out.release()


def _find_out(service: Service) -> dict[str, Any]:
    reasons = []
    try:
        service.store.probe()
    except StoreError as error:
        reasons.append(f"store: {error}")
    if service.store.damage:
        reasons.append(f"store: {service.store.damage}")
    depth = _depth(service)
    try:
        service.spool.probe()
    except SpoolUnavailable as error:
        reasons.append(f"spool: {error}")
    return {
        "ready": not reasons,
        "reasons": reasons,
        "spooled": depth.waiting if depth else None,
        "stuck": depth.stuck if depth else None,
        "bad": depth.bad if depth else None,
        "oldest_spooled_seconds": round(depth.oldest_seconds, 1) if depth else None,
        "server": serving.running._asdict() if serving.running else None,
    }


def _depth(service: Service) -> Depth | None:
    try:
        return service.spool.depth()
    except SpoolUnavailable:
        return None


def _row_lines(service: Service) -> list[str]:
    """As they were last counted: that takes 0.1 s for a million, and anybody may ask."""
    counts = service.store.counts
    values = {f'status="{escape(status)}"': count for status, count in counts.items()}
    return family("smsstatus_messages", "gauge", "Messages by current status.", values)
