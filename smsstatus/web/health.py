"""Blueprint /healthz, /readyz, /metrics: for the host and for monitoring.

No redirect, no dependence on Host, nothing secret in an answer, and a token for /metrics only if
METRICS_TOKEN is set.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime

from flask import Blueprint, Response, jsonify

from .. import log_stream
from ..figures.last_hour import failure_shares
from ..intake.spool import Depth
from ..metrics import escape, family, with_label
from ..readiness import depth_of, failing, lag, outbox_of, readiness, upkeep_of
from ..service import Service
from ..store.contract import StoreUnavailable
from ..upkeep.tasks import why_not_listed
from .access import keep_nowhere, require_metrics_token
from .current import current_service
from .problems import PLAIN_TEXT

blueprint = Blueprint("health", __name__)
blueprint.after_request(keep_nowhere)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return Response("ok\n", content_type=PLAIN_TEXT)


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 if store and spool are writable; 503 with the reasons if not."""
    found = readiness(current_service())
    return jsonify(found), 200 if found["ready"] else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format."""
    require_metrics_token()
    service = current_service()
    process, host = _labels(service)
    counted = [
        *service.metrics.callback_lines(),
        *service.metrics.message_lines(),
        *service.metrics.login_lines(),
        *service.metrics.commit_lines(),
        *(service.metrics.forward_lines() if service.settings.forward_url else []),
        *family(
            "smsstatus_log_lines_left_out_total",
            "counter",
            "Log lines that nobody took.",
            {"": log_stream.left_out()},
        ),
    ]
    lines = [
        *with_label(process, counted),
        *with_label(host, _spool_lines(service)),
        *_row_lines(service),
        *_outbox_lines(service),
        *_upkeep_lines(service),
        *_failure_lines(service),  # last: where it takes too long, no time is left for others
    ]
    return Response("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def _labels(service: Service) -> tuple[str, str]:
    """Of which process the counters are, and of which host's spool: '' where there is one.

    Behind a router each scrape meets another process, and without this their counts would be one
    series that goes up and down.
    """
    if service.settings.database.path is not None:
        return "", ""
    host = escape(service.settings.dyno or socket.gethostname())
    return f'process="{host}:{os.getpid()}"', f'host="{host}"'


def _spool_lines(service: Service) -> list[str]:
    depth = depth_of(service) or Depth(-1, -1, -1, -1)
    return [
        *family(
            "smsstatus_spool_files",
            "gauge",
            "Spooled callbacks; -1: cannot be counted.",
            {
                'kind="waiting"': depth.waiting,
                'kind="bad"': depth.bad,
                'kind="stuck"': depth.stuck,
            },
        ),
        *family(
            "smsstatus_spool_oldest_seconds",
            "gauge",
            "Age of the oldest waiting callback.",
            {"": round(depth.oldest_seconds, 3)},
        ),
    ]


def _row_lines(service: Service) -> list[str]:
    """As they were last counted: that takes 0.1 s for a million, and anybody may ask."""
    counts = service.store.counts
    values = {f'status="{escape(status)}"': count for status, count in counts.items()}
    return family("smsstatus_messages", "gauge", "Messages by current status.", values)


def _failure_lines(service: Service) -> list[str]:
    """Of the last hour, where it has enough messages; nothing where they cannot be counted."""
    try:
        found = {
            f'country="{escape(share.country or "all")}"': share
            for share in failure_shares(service)
        }
    except StoreUnavailable:
        return []
    return [
        *family(
            "smsstatus_failure_share",
            "gauge",
            "Of the last hour's messages, those that failed, where there are 100.",
            {labels: round(share.now, 4) for labels, share in found.items()},
        ),
        *family(
            "smsstatus_failure_share_explained",
            "gauge",
            "The most that the same hours of the last 7 days explain.",
            {labels: round(share.most, 4) for labels, share in found.items()},
        ),
    ]


def _upkeep_lines(service: Service) -> list[str]:
    """The tasks that are on; nothing where the database cannot be read."""
    found = upkeep_of(service)
    if found is None:
        return []
    runs = [(f'task="{task.name}"', task) for task in found.tasks if task.is_on]
    behind = {"": found.seconds_behind(service.clock.now())}
    if why_not_listed(service.settings):  # somebody else's business, or nobody's
        behind = {}
    return [
        *family(
            "smsstatus_upkeep_ok",
            "gauge",
            "1: the task's last run that ended did all that there was to do.",
            {labels: int(task.is_ok) for labels, task in runs},
        ),
        *family(
            "smsstatus_upkeep_overdue_seconds",
            "gauge",
            "For how long the task's next run has been due.",
            {labels: task.overdue(service.clock.now()) for labels, task in runs},
        ),
        *family(
            "smsstatus_upkeep_last_run_timestamp_seconds",
            "gauge",
            "When the task ended last, or began what is under way.",
            {labels: _unix_time(task.last_at) for labels, task in runs if task.last_at},
        ),
        *family(
            "smsstatus_upkeep_next_run_timestamp_seconds",
            "gauge",
            "When the task is due.",
            {labels: _unix_time(task.next_at) for labels, task in runs if task.next_at},
        ),
        *family(
            "smsstatus_unlisted_outage_seconds",
            "gauge",
            "Of outages: the time of which Plivo's messages are not known yet.",
            behind,
        ),
    ]


def _unix_time(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _outbox_lines(service: Service) -> list[str]:
    """Nothing where no changes are forwarded, or the database cannot be read."""
    state = outbox_of(service)
    if state is None:
        return []
    gauges = (
        ("waiting", "Changes that wait to be forwarded; counted up to 10,000.", state.waiting),
        ("dead", "Changes that were given up; counted up to 10,000.", state.dead),
        ("lag_seconds", "For how long the one most behind could be sent.", lag(service, state)),
        ("failing_seconds", "For how long the receiver has taken none.", failing(service, state)),
        ("paused", "1: forwarding is paused.", int(state.paused_at is not None)),
    )
    return [
        line
        for name, about, value in gauges
        for line in family(f"smsstatus_forward_{name}", "gauge", about, {"": value})
    ]
