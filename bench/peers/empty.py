"""An empty WSGI app: what gunicorn itself costs, and so the limit of what smsstatus can reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer 200 to everything, as smsstatus does to a callback.

    The body is read: an unread body would make gunicorn close the connection, and the figure
    would then be one of new connections.
    """
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []
