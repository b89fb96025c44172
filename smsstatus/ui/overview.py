"""The overview at `/`: is SMS getting through, what fails and why, what is newest?

It is shown even when the database cannot be read: that is when somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, cast

from flask import Response, current_app, request
from flask.sansio.app import App

from ..cache import Cache
from ..readiness import upkeep_of
from ..service import Service
from ..store.contract import Filters, StoreUnavailable
from ..upkeep.state import UpkeepState
from ..upkeep.tasks import why_not_listed
from ..views import message_json
from ..web.current import current_service
from ..web.problems import Problem
from . import live
from .alarms import FRESH_SECONDS, Alarm, find
from .figures import DEFAULT_WINDOW, WINDOWS, Figures, Window, figures_of
from .zone import current

NEWEST = 12
MOST_KEPT = 32
"""Windows and zones of which figures and pages are kept."""
_EXTENSION = "smsstatus-overview"


@dataclass
class Kept:
    """What requests for one window share. `rendered`: tag and content of the page."""

    figures: Cache[Figures] = field(default_factory=Cache)
    rendered: Cache[tuple[str, bytes]] = field(default_factory=Cache)


@dataclass
class State:
    """What requests share: nothing that could not be determined again."""

    alarms: Cache[list[Alarm]] = field(default_factory=Cache)
    _windows: dict[tuple[str, str], Kept] = field(default_factory=dict)

    def of(self, window: Window, zone: tzinfo) -> Kept:
        """Of a window, and of a zone where its days are those of the zone. The oldest goes."""
        key = (window.name, str(zone) if window.is_local else "")
        if len(self._windows) > MOST_KEPT:
            self._windows.pop(next(iter(self._windows)), None)
        return self._windows.setdefault(key, Kept())


def install(app: App) -> None:
    """Give the application an empty state."""
    app.extensions[_EXTENSION] = State()


def show() -> Response:
    """The page; where nothing has changed, from what is known already."""
    window = _window(request.args.get("window", DEFAULT_WINDOW))
    service = current_service()
    state = cast(State, current_app.extensions[_EXTENSION])
    zone = current()
    kept = state.of(window, zone)
    alarms = _alarms(service, state)  # first: a count that takes too long leaves no time for them
    upkeep = upkeep_of(service)
    marker, figures = _counted(service, kept, window, zone)
    days = _days(window)
    counted = figures.key if figures else None
    etag = live.tag_of(window.name, days, marker, counted, alarms, upkeep)
    return live.not_modified(etag) or _page(service, kept, window, etag, figures, alarms, upkeep)


def _days(window: Window) -> str:
    """Whose days the bars are; empty: they are not days."""
    return str(current()) if window.is_local else ""


def _window(name: str) -> Window:
    if name not in WINDOWS:
        raise Problem(400, f"window must be one of {', '.join(WINDOWS)}.")
    return WINDOWS[name]


def _counted(
    service: Service, kept: Kept, window: Window, zone: tzinfo
) -> tuple[str, Figures | None]:
    """The change marker, and the figures; none if the database cannot be read."""
    try:
        marker = service.store.change_marker()
        return marker, figures_of(kept.figures, service, window, marker, zone)
    except StoreUnavailable:
        return "", None


def _alarms(service: Service, state: State) -> list[Alarm]:
    return state.alarms.get(
        service.clock, lambda: find(service), lambda _, age: age < FRESH_SECONDS
    )


def _page(
    service: Service,
    kept: Kept,
    window: Window,
    etag: str,
    figures: Figures | None,
    alarms: list[Alarm],
    upkeep: UpkeepState | None,
) -> Response:
    """All who look at the same window get the same bytes."""

    def render() -> tuple[str, bytes]:
        shown = {
            "window": window,
            "days": _days(window),
            "windows": WINDOWS.values(),
            "alarms": alarms,
            "figures": figures,
            "newest": _newest(service) if figures else [],
            "upkeep": upkeep,
            "not_listed": why_not_listed(service.settings),
            "webhook_url": service.settings.webhook_url,
        }
        return etag, live.page("overview.html", etag, shown).get_data()

    shown_etag, content = kept.rendered.get(service.clock, render, lambda page, _: page[0] == etag)
    response = Response(content, mimetype="text/html")
    response.set_etag(shown_etag)
    return response


def _newest(service: Service) -> list[dict[str, Any]]:
    try:
        return [message_json(message) for message in service.store.list(Filters(), NEWEST).messages]
    except StoreUnavailable:
        return []
