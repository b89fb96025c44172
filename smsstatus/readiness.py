"""Can callbacks be kept now, and are changes handed on? For /readyz, /metrics and the overview."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .intake.spool import Depth, SpoolUnavailable
from .model import timestamp
from .server import serving
from .service import Service
from .store.contract import StoreError, StoreUnavailable
from .store.outbox import OutboxState
from .upkeep.state import UpkeepState, state_of

READY_SECONDS = 1.0
"""What was found counts for this long: finding out costs several fsyncs, and anybody may ask."""
OUTBOX_SECONDS = 5.0
"""So does what the outbox and the upkeep say of themselves: some milliseconds."""
OUTAGES = 5
"""The newest ones are looked at."""


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


def outbox_of(service: Service) -> OutboxState | None:
    """How handing on goes; None if nothing is handed on, or it cannot be read."""
    if service.store.outbox.wanted is None:
        return None

    def find_out() -> OutboxState | None:
        try:
            return service.store.outbox.state(timestamp(service.clock.now()))
        except StoreUnavailable:
            return None

    return service.outbox.get(service.clock, find_out, lambda _, age: age < OUTBOX_SECONDS)


def upkeep_of(service: Service) -> UpkeepState | None:
    """What the service does by itself; None if that cannot be read."""

    def find_out() -> UpkeepState | None:
        try:
            return state_of(service, OUTAGES)
        except StoreUnavailable:
            return None

    return service.upkeep.get(service.clock, find_out, lambda _, age: age < OUTBOX_SECONDS)


def lag(service: Service, state: OutboxState) -> float:
    """For how many seconds what is most behind could have been tried."""
    return _seconds_since(service, state.due_since)


def failing(service: Service, state: OutboxState) -> float:
    """For how many seconds the receiver has only failed, while something waits for it.

    What has failed is due later, so `lag` says little of a receiver that fails each one.
    """
    return _seconds_since(service, state.condition.failing_since if state.waiting else None)


def _seconds_since(service: Service, then: str | None) -> float:
    if then is None:
        return 0.0
    gone = service.clock.now() - datetime.fromisoformat(then)
    return max(round(gone.total_seconds(), 1), 0.0)


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
    found = {
        "ready": not reasons,
        "reasons": reasons,
        "spooled": depth.waiting if depth else None,
        "stuck": depth.stuck if depth else None,
        "bad": depth.bad if depth else None,
        "oldest_spooled_seconds": round(depth.oldest_seconds, 1) if depth else None,
        "server": serving.running._asdict() if serving.running else None,
    }
    outbox = outbox_of(service)
    if outbox is not None:  # a receiver that takes nothing keeps no callback from being kept
        found["forwarding"] = forwarding_json(service, outbox)
    return found


def forwarding_json(service: Service, outbox: OutboxState) -> dict[str, Any]:
    """How handing on goes, for programs."""
    return {
        "waiting": outbox.waiting,
        "dead": outbox.dead,
        "lag_seconds": lag(service, outbox),
        "paused_at": outbox.paused_at,
        "failing_since": outbox.condition.failing_since,
        "last_failure": outbox.condition.last_failure or None,
        "last_taken_at": outbox.condition.last_taken_at,
    }
