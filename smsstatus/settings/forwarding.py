"""The settings of forwarding, which begin with FORWARD_."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..model import FAILURES, FINAL_STATUSES, RANKS
from .variables import read_number, read_seconds, read_switch, read_value, refusal, url_parts

_STATUSES = {"all": None, "final": FINAL_STATUSES, "failures": FAILURES}


def _forward_url(environ: Mapping[str, str]) -> str | None:
    """It may have a query. Its user name and password would have to be a header: see below."""
    name = "FORWARD_URL"
    value = read_value(environ, name)
    if not value:
        return None
    if url_parts(name, value).username is not None:
        raise refusal(name, "must have no user name: put those into FORWARD_AUTHORIZATION")
    if not re.fullmatch(r"[!-~]+", value) or "#" in value:
        raise refusal(name, "must be plain ASCII without spaces or fragment")
    return value


def _is_under(url: str, base_url: str) -> bool:
    """Would the service at `base_url` be the one that gets what is sent to `url`?"""
    ours, theirs = urlsplit(base_url), urlsplit(url)
    hosts = [(parts.hostname or "").rstrip(".") for parts in (ours, theirs)]
    ports = [{443: 80}.get(p := parts.port or 80, p) for parts in (ours, theirs)]
    path = theirs.path or "/"
    return hosts[0] == hosts[1] and ports[0] == ports[1] and f"{path}/".startswith(f"{ours.path}/")


def _forward_secrets(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    name = "FORWARD_SECRET"
    value = read_value(environ, name)
    if not value:
        return ()
    from ..forwarding.signing import NotASecret, read_secret  # not imported where it is off

    try:
        return tuple([read_secret(secret.strip()) for secret in value.split(",")])
    except NotASecret as error:
        raise refusal(name, str(error)) from None


def _forward_statuses(environ: Mapping[str, str]) -> frozenset[str] | None:
    name = "FORWARD_STATUSES"
    words = [word.strip().lower() for word in (read_value(environ, name) or "all").split(",")]
    if len(words) == 1 and words[0] in _STATUSES:
        return _STATUSES[words[0]]
    if not RANKS.keys() >= set(words):
        raise refusal(name, f"must be all, final, failures, or some of {', '.join(RANKS)}")
    return frozenset(words)


def _forward_authorization(environ: Mapping[str, str]) -> str | None:
    value = read_value(environ, "FORWARD_AUTHORIZATION")
    if not re.fullmatch(r"[ -~]*", value) or re.search(r"\s#", value):
        raise refusal(
            "FORWARD_AUTHORIZATION",
            "must be what the header Authorization says, in plain ASCII, with no comment behind it",
        )
    return value or None


def _forward_timeout(environ: Mapping[str, str]) -> float:
    return read_seconds(environ, "FORWARD_TIMEOUT", "15s", ("1s", "30s"))


def _forward_max_age(environ: Mapping[str, str]) -> float:
    return read_seconds(environ, "FORWARD_MAX_AGE", "3d", ("1m", "90d"))


def contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """What is right by itself, and not together."""
    if values.get("forward_url") and values.get("forward_secrets") == ():
        yield str(refusal("FORWARD_SECRET", "is not set, and FORWARD_URL is"))
    base_url = values.get("base_url")
    if base_url and values.get("forward_url") and _is_under(values["forward_url"], base_url):
        yield str(
            refusal("FORWARD_URL", "is this service's own address: name one of your system's")
        )


READERS = {
    "forward_url": _forward_url,
    "forward_secrets": _forward_secrets,
    "forward_statuses": _forward_statuses,
    "forward_latest_only": lambda environ: read_switch(environ, "FORWARD_LATEST_ONLY", "false"),
    "forward_authorization": _forward_authorization,
    "forward_timeout": _forward_timeout,
    "forward_concurrency": lambda environ: read_number(environ, "FORWARD_CONCURRENCY", 8, (1, 64)),
    "forward_max_age": _forward_max_age,
}
