"""smsstatus without its store: every update counts as written. For `no-store`, see registry."""

from __future__ import annotations

from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Outcome
from smsstatus.web.current import service_of
from wsgi import app

__all__ = ["app"]


def _record(update: StatusUpdate) -> Outcome:
    return Outcome.APPLIED


service_of(app).store.record = _record  # type: ignore[method-assign]
