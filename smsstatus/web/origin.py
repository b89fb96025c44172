"""Was a request made by a page of another site? A browser that remembers the login sends it along.

Nothing is taken from that: the browser itself says where a request comes from, and a program that
says nothing, such as curl, is no browser. A Bearer token is never sent by a browser on its own.
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from .current import current_service

_DEFAULT_PORTS = {"http": 80, "https": 443}


def shows_bearer() -> bool:
    """Does the request show its token as Bearer?"""
    return request.headers.get("Authorization", "").lower().startswith("bearer ")


def is_foreign() -> bool:
    """Does the browser say that a page of another site, or nobody it would name, made it?"""
    if request.headers.get("Sec-Fetch-Site") not in (None, "same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    return origin is not None and not _is_ours(origin)


def is_from_our_page() -> bool:
    """Does the browser say that one of our own pages made it? Without a word it is not believed."""
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin"):
        return False
    origin = request.headers.get("Origin", request.headers.get("Referer"))
    return site == "same-origin" if origin is None else _is_ours(origin)


def _is_ours(address: str) -> bool:
    """Is it at BASE_URL, or where this request was sent to? A proxy in front may have ended TLS."""
    ours = [current_service().settings.base_url]
    ours += [f"{scheme}://{request.host}" for scheme in _DEFAULT_PORTS]
    origin = _origin(address)
    return origin is not None and origin in map(_origin, ours)


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
