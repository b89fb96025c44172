"""Who may see a page, which POSTs are believed, and the headers that every page carries.

The login is the browser's own (HTTP Basic, the password is API_TOKEN). A browser sends it along
with a POST that another site makes it send, so each POST must come from one of these pages.
Files in static/ need no token: they are public, hold nothing, and dress the login's error page.
"""

from __future__ import annotations

import sqlite3
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Response, render_template, request
from werkzeug.exceptions import HTTPException

from ..problems import Problem, require_token
from ..service import current_service

STATIC = "ui.static"
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",  # frame-ancestors for browsers that do not know it
    "Referrer-Policy": "same-origin",  # no-referrer would make browsers send `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def let_in() -> None:
    """Raises Problem 401, 403 or 503 unless the request may go on."""
    if request.endpoint == STATIC:
        return
    require_token()
    if request.method == "POST" and not _comes_from_here():
        raise Problem(
            403,
            "This form was not sent from a page of this service, as far as the browser says. Open "
            f"{current_service().settings.base_url}/ and try again there.",
        )


def secure(response: Response) -> Response:
    """Security headers for pages; files in static/ are cached, since their address changes."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.endpoint == STATIC and response.status_code in (200, 304):
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers.update(PAGE_HEADERS)
    return response


def problem_page(problem: Problem) -> Response:
    """An error as a page for a person."""
    content = render_template("error.html", title=problem.title, detail=problem.detail)
    response = Response(content, problem.status, mimetype="text/html")
    response.headers.update(problem.headers)
    return response


def http_error_page(error: HTTPException) -> Response:
    """What Flask refuses by itself: a missing file of static/, or our own failure."""
    status = error.code or 500
    return problem_page(Problem(status, error.description or HTTPStatus(status).phrase))


def database_page(error: sqlite3.Error) -> Response:
    """The database cannot be read now; callbacks are still taken, into the spool."""
    return problem_page(
        Problem(
            503,
            f"The database cannot be read ({error}). Callbacks are still taken and kept in the "
            "spool meanwhile; /readyz and the log say more.",
            title="The database cannot be read",
        )
    )


def _comes_from_here() -> bool:
    """What the browser says about where a POST comes from; it says nothing only if it is none.

    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin"):
        return False
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    if origin is None:
        return site == "same-origin"
    came_from = _origin(origin)
    return came_from is not None and came_from in _own_origins()


def _own_origins() -> set[tuple[str, str, int]]:
    """BASE_URL's, and what this request was sent to: a proxy in front may have ended TLS."""
    addresses = [current_service().settings.base_url]
    addresses += [f"{scheme}://{request.host}" for scheme in _DEFAULT_PORTS]
    return {origin for origin in map(_origin, addresses) if origin is not None}


def _origin(address: str) -> tuple[str, str, int] | None:
    """Scheme, host and port (RFC 6454), or None if it has none (`null`, nonsense)."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]
