"""smsstatus without its store: every update counts as written. For `no-store`, see registry."""

from __future__ import annotations

from collections.abc import Callable

from smsstatus.model import StatusUpdate
from smsstatus.store.contract import Outcome
from smsstatus.web.current import service_of
from wsgi import app

__all__ = ["app"]


class _Done:
    """What was written before anybody could wait for it."""

    finished = True
    error = None


def _begin(update: StatusUpdate, wake: Callable[[], None] | None = None) -> _Done:
    return _Done()


def _finish(pending: object) -> Outcome:
    return Outcome.APPLIED


store = service_of(app).store
store.begin, store.finish = _begin, _finish  # type: ignore[method-assign]
