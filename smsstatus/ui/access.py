"""Who may see a page, which POSTs are accepted, and the headers that every page carries.

The login is the browser's own (HTTP Basic, the password is API_TOKEN). A browser sends it with a
POST that another site triggers too, so each POST must come from one of these pages. Files in
static/ need no token: they are public, hold nothing secret, and style the login's error page.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn

from flask import Response, render_template, request
from werkzeug.exceptions import HTTPException

from ..store.contract import StoreUnavailable
from ..web.access import require_token
from ..web.current import current_service
from ..web.origin import is_from_our_page, shows_bearer
from ..web.problems import Problem

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


def let_in() -> None:
    """Raises Problem 401, 403 or 503 unless the request may go on."""
    if request.endpoint == STATIC:
        return
    require_token()
    if request.method == "POST" and not (shows_bearer() or is_from_our_page()):
        raise Problem(
            403,
            "According to the browser, this form was not sent from a page of this service. Open "
            f"{current_service().settings.base_url}/ and try again there.",
        )


def look_at_no_date() -> None:
    """An ETag alone says whether a browser has a file: at some dates Werkzeug fails.

    Where If-Range is not looked at, no part is sent: it could be one of another file.
    """
    for name in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_RANGE", "HTTP_RANGE"):
        request.environ.pop(name, None)


def secure(response: Response) -> Response:
    """Security headers for pages; files in static/ are cached, since their address changes."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.endpoint == STATIC and response.status_code in (200, 304):
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers.update(PAGE_HEADERS)
    return response


def no_page(elsewhere: str) -> NoReturn:
    """Nothing is at this address. Raises Problem 404."""
    raise Problem(404, "There is no page at this address.")


def problem_page(problem: Problem) -> Response:
    """An error as a page for a person."""
    shown = {"title": problem.title, "detail": problem.detail, "etag": ""}
    content = render_template("error.html", **shown)
    response = Response(content, problem.status, mimetype="text/html")
    response.headers.update(problem.headers)
    return response


def http_error_page(error: HTTPException) -> Response:
    """What Flask refuses by itself: a missing file in static/, or a failure of ours."""
    status = error.code or 500
    return problem_page(Problem(status, error.description or HTTPStatus(status).phrase))


def database_page(error: StoreUnavailable) -> Response:
    """The database cannot be read now; callbacks are still taken, into the spool."""
    return problem_page(
        Problem(
            503,
            f"The database cannot be read ({error}). Callbacks are still accepted, and wait in the "
            "spool; /readyz and the log say more.",
            title="The database cannot be read",
        )
    )
