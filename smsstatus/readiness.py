"""Can callbacks be kept now? For /readyz, and for the warnings on the overview."""

from __future__ import annotations

from typing import Any

from .intake.spool import Depth, SpoolUnavailable
from .server import serving
from .service import Service
from .store.contract import StoreError

READY_SECONDS = 1.0
"""What was found counts for this long: finding out costs several fsyncs, and anybody may ask."""


def readiness(service: Service) -> dict[str, Any]:
    """What /readyz says, as a dict: ready, reasons, the spool's depth, and what serves.

    While one thread finds out, others get what was found before: on a disk that hangs they would
    hold all threads.
    """
    return service.readiness.get(
        service.clock, lambda: _find_out(service), lambda _, age: age < READY_SECONDS
    )


def depth_of(service: Service) -> Depth | None:
    """How much is in the spool; None if it cannot be read."""
    try:
        return service.spool.depth()
    except SpoolUnavailable:
        return None


def _find_out(service: Service) -> dict[str, Any]:
    reasons = []
    try:
        service.store.probe()
    except StoreError as error:
        reasons.append(f"store: {error}")
    if service.store.damage:
        reasons.append(f"store: {service.store.damage}")
    depth = depth_of(service)
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
