"""Who is let in: those who show API_TOKEN, or METRICS_TOKEN for /metrics."""

from __future__ import annotations

import hmac
import logging

from flask import Response, request

from .current import current_service
from .origin import is_foreign, shows_bearer
from .problems import Problem

log = logging.getLogger(__name__)


def require_token() -> None:
    """Let only those in who know API_TOKEN: as a Bearer token or as the password of Basic.

    Raises Problem 401 or, if no API_TOKEN is set, 503.
    """
    expected = current_service().settings.api_token
    if expected is None:
        raise Problem(503, "API_TOKEN is not set, so this is closed: set it and restart.")
    if not hmac.compare_digest(_shown_secret(), expected.encode()):
        _note_refused_login()
        raise Problem(
            401,
            "Give API_TOKEN as `Authorization: Bearer TOKEN` or as the password of HTTP Basic.",
            headers={"WWW-Authenticate": 'Basic realm="smsstatus", charset="UTF-8"'},
        )


def require_metrics_token() -> None:
    """Let only those in who know METRICS_TOKEN, if it is set. Raises Problem 401."""
    expected = current_service().settings.metrics_token
    if expected is not None and not hmac.compare_digest(_shown_secret(), expected.encode()):
        _note_refused_login()
        raise Problem(
            401,
            "Give METRICS_TOKEN as `Authorization: Bearer TOKEN`.",
            headers={"WWW-Authenticate": 'Bearer realm="smsstatus"'},
        )


def keep_nowhere(response: Response) -> Response:
    """Have no cache between here and who asked, nor a browser's, keep numbers and counts."""
    response.headers["Cache-Control"] = "no-store"
    return response


def _note_refused_login() -> None:
    """Count and report a wrong token, nothing of its value; a browser's first request shows none.

    There is no lock-out: behind a router all come from one address, and a long token needs none.
    """
    if "Authorization" not in request.headers:
        return
    service = current_service()
    service.metrics.count_refused_login()
    service.refused_logins.log(
        log.warning, "a wrong token was shown; if none of you did that, somebody is guessing"
    )


def require_token_to_change() -> None:
    """As `require_token`, for what changes something: not where another site made the browser ask.

    Raises Problem 401, 403 or 503.
    """
    require_token()
    if not shows_bearer() and is_foreign():
        raise Problem(
            403,
            "A browser sent this for a page of another site. Send it from your own program, with "
            "`Authorization: Bearer TOKEN`.",
        )


def _shown_secret() -> bytes:
    """What the request shows: all that follows `Bearer`, or the password of Basic.

    Bearer is read from the raw header: Werkzeug takes a token with `=` in it for parameters. A
    header's bytes come as Latin-1 (PEP 3333); Basic's are decoded as UTF-8 by Werkzeug.
    """
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("latin-1", "replace")
    try:
        given = request.authorization
    except ValueError:  # of Basic with what is no ASCII
        return b""
    return ((given.password if given else None) or "").encode("utf-8", "replace")
