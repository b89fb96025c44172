"""The overview at `/`: is SMS getting through, what fails and why, what is newest?

It is shown even when the database cannot be read: that is when somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from flask import Response, current_app, request
from flask.sansio.app import App

from ..cache import Cache
from ..readiness import upkeep_of
from ..service import Service
from ..store.contract import Filters, StoreUnavailable
from ..upkeep.state import State as Upkeep
from ..views import message_json
from ..web.current import current_service
from ..web.problems import Problem
from . import live
from .alarms import FRESH_SECONDS, Alarm, find
from .figures import DEFAULT_WINDOW, WINDOWS, Figures, Window, figures_of

NEWEST = 12
_EXTENSION = "smsstatus-overview"


@dataclass
class State:
    """What requests share: nothing that could not be determined again."""

    alarms: Cache[list[Alarm]] = field(default_factory=Cache)
    figures: dict[str, Cache[Figures]] = field(
        default_factory=lambda: {w: Cache() for w in WINDOWS}
    )
    rendered: dict[str, Cache[tuple[str, bytes]]] = field(
        default_factory=lambda: {w: Cache() for w in WINDOWS}
    )
    """Window -> tag and content of the page that was rendered last."""


def install(app: App) -> None:
    """Give the application an empty state."""
    app.extensions[_EXTENSION] = State()


def show() -> Response:
    """The page; where nothing has changed, from what is known already."""
    window = _window(request.args.get("window", DEFAULT_WINDOW))
    service = current_service()
    state = cast(State, current_app.extensions[_EXTENSION])
    marker, figures = _counted(service, state, window)
    alarms = _alarms(service, state)
    upkeep = upkeep_of(service)
    etag = live.tag_of(window.name, marker, figures.key if figures else None, alarms, upkeep)
    return live.not_modified(etag) or _page(service, state, window, etag, figures, alarms, upkeep)


def _window(name: str) -> Window:
    if name not in WINDOWS:
        raise Problem(400, f"window must be one of {', '.join(WINDOWS)}.")
    return WINDOWS[name]


def _counted(service: Service, state: State, window: Window) -> tuple[str, Figures | None]:
    """The change marker, and the figures; none if the database cannot be read."""
    try:
        marker = service.store.change_marker()
        kept = state.figures[window.name]
        return marker, figures_of(kept, service, window, marker)
    except StoreUnavailable:
        return "", None


def _alarms(service: Service, state: State) -> list[Alarm]:
    return state.alarms.get(
        service.clock, lambda: find(service), lambda _, age: age < FRESH_SECONDS
    )


def _page(
    service: Service,
    state: State,
    window: Window,
    etag: str,
    figures: Figures | None,
    alarms: list[Alarm],
    upkeep: Upkeep | None,
) -> Response:
    """All who look at the same window get the same bytes."""

    def render() -> tuple[str, bytes]:
        shown = {
            "window": window,
            "windows": WINDOWS.values(),
            "alarms": alarms,
            "figures": figures,
            "newest": _newest(service) if figures else [],
            "upkeep": upkeep,
            "webhook_url": service.settings.webhook_url,
        }
        return etag, live.page("overview.html", etag, shown).get_data()

    kept = state.rendered[window.name]
    shown_etag, content = kept.get(service.clock, render, lambda page, _: page[0] == etag)
    response = Response(content, mimetype="text/html")
    response.set_etag(shown_etag)
    return response


def _newest(service: Service) -> list[dict[str, Any]]:
    try:
        return [message_json(message) for message in service.store.list(Filters(), NEWEST).messages]
    except StoreUnavailable:
        return []
