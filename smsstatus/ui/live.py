"""ETags: an open page that polls gets 304 while nothing has changed.

The tag is made of what a page is about to show (a change marker, a window, warnings) before
anything is counted or rendered. `Cache-Control: no-store` keeps browsers from storing pages,
so live.js holds the tag itself and sends it as If-None-Match (RFC 9110, 13.1.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path

from flask import Response, render_template, request


@cache
def version() -> str:
    """Differs with the templates, the style and the script: part of every tag."""
    folder = Path(__file__).parent
    digest = blake2b(digest_size=8)
    for path in sorted([*folder.glob("templates/*"), *folder.glob("static/*")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def tag_of(*shown: object) -> str:
    """The ETag of a page that shows this."""
    return blake2b(repr((version(), *shown)).encode("utf-8", "replace"), digest_size=12).hexdigest()


def not_modified(etag: str) -> Response | None:
    """304 without content if the browser shows that already."""
    if not request.if_none_match.contains(etag):
        return None
    response = Response(status=304)
    response.set_etag(etag)
    return response


def page(template: str, etag: str, shown: Mapping[str, object], *, status: int = 200) -> Response:
    """A rendered page with its tag, in the header and where live.js finds it."""
    content = render_template(template, etag=etag, **shown)
    response = Response(content, status, mimetype="text/html")
    response.set_etag(etag)
    return response
