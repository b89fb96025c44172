"""Links between the pages, relative to the page that is shown.

A proxy may serve this service under a path prefix that it removes. A link such as `../ui/send` is
right there, and on the service's own address as well.
"""

from __future__ import annotations

from typing import Any

from flask import request, url_for

from . import live


def to(endpoint: str, **values: Any) -> str:
    """The address of one of the pages, relative to this one."""
    return _relative(url_for(f"ui.{endpoint}", **values))


def static(name: str) -> str:
    """The address of a file in static/; it changes with the files, which are cached for good."""
    return _relative(url_for("ui.static", filename=name, v=live.version()))


def _relative(path: str) -> str:
    """An address that starts with `/`, seen from the path of this request."""
    return "../" * (request.path.count("/") - 1) + path[1:] or "./"
