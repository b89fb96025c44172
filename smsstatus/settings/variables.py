"""How one environment variable is read, whichever it is.

What is wrong is a SettingsError, which names the variable, says what is wrong and gives an example.
It never repeats a value that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from ..durations import read_duration

QUOTES = "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"
EXAMPLES = {
    "PLIVO_AUTH_TOKEN": "<the Auth Token on your Plivo console's overview page>",
    "BASE_URL": "https://sms.example.com",
    "API_TOKEN": "<what `openssl rand -hex 24` prints>",
    "PLIVO_AUTH_ID": "MAXXXXXXXXXXXXXXXXXX",
    "PLIVO_SENDER": "+14155550100",
    "DATABASE_URL": "sqlite:////data/smsstatus.db or postgres://user:password@host/name",
    "DATABASE_CONNECTIONS": "3",
    "SPOOL_DIR": "/data/smsstatus-spool",
    "SPOOL_LOG": "on",
    "ACCEPT_V2": "true",
    "UI": "true",
    "PLIVO_API_URL": "https://api.plivo.com",
    "LOG_LEVEL": "info",
    "PORT": "8000",
    "FORWARD_URL": "https://shop.example.com/sms-status",
    "FORWARD_SECRET": "<what `smsstatus forward secret` prints>",
    "FORWARD_STATUSES": "failures",
    "FORWARD_LATEST_ONLY": "false",
    "FORWARD_AUTHORIZATION": "Bearer <a token of the receiver's>",
    "FORWARD_TIMEOUT": "15s",
    "FORWARD_CONCURRENCY": "8",
    "FORWARD_MAX_AGE": "3d",
    "RECONCILE_EVERY": "15m",
    "RETENTION": "400d",
    "BACKUP_EVERY": "1d",
    "BACKUP_DIR": "/data/backups",
    "BACKUP_KEEP": "7",
    "METRICS_TOKEN": "<what `openssl rand -hex 24` prints>",
}


class SettingsError(Exception):
    """Settings are missing or wrong. The text has one line for each, for whoever starts this."""


def refusal(name: str, what: str) -> SettingsError:
    return SettingsError(f"{name} {what}; example: {name}={EXAMPLES[name]}")


def read_value(environ: Mapping[str, str], name: str) -> str:
    """What is set, or '' for nothing.

    A shell and `.env` remove quotes; `docker run --env-file` and some hosts' forms do not.
    """
    value = environ.get(name, "").strip()
    if value and (value[0] in QUOTES or value[-1] in QUOTES):
        raise refusal(name, "begins or ends with a quotation mark: leave them out")
    return value


def read_token(environ: Mapping[str, str], name: str) -> str | None:
    value = read_value(environ, name)
    if not value.isprintable():
        raise refusal(name, "has an invisible character in it")
    if re.search(r"\s#", value):
        raise refusal(name, "has a comment behind it")
    return value or None


def read_url(environ: Mapping[str, str], name: str, default: str | None = None) -> str:
    """An http(s) address without query, fragment or user info; the trailing slash is dropped."""
    value = read_value(environ, name) or default
    if value is None:
        raise refusal(name, "is not set")
    url_parts(name, value)
    if not re.fullmatch(r"[!-~]+", value) or any(mark in value for mark in "?#@"):
        raise refusal(name, "must be plain ASCII without spaces, query, fragment or user name")
    return value.rstrip("/")


def url_parts(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError when the port is not a number
    except ValueError:
        raise refusal(name, "is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise refusal(name, "must start with http:// or https:// and name a host")
    return parts


def read_number(
    environ: Mapping[str, str], name: str, default: int | None, bounds: tuple[int, int]
) -> int | None:
    value = read_value(environ, name)
    if not value:
        return default
    least, most = bounds
    if re.fullmatch(f"[0-9]{{1,{len(str(most))}}}", value) and least <= int(value) <= most:
        return int(value)
    raise refusal(name, f"must be {least} to {most}")


def read_seconds(
    environ: Mapping[str, str], name: str, default: str, bounds: tuple[str, str]
) -> float:
    """A time span in seconds; a number without a unit is of seconds."""
    value = read_value(environ, name) or default
    found, least, most = [
        read_duration(f"{text}s" if text.isdecimal() else text) for text in (value, *bounds)
    ]
    assert least is not None
    assert most is not None
    if found is None or not least <= found <= most:
        raise refusal(name, f"must be a time span of {bounds[0]} to {bounds[1]}")
    return found.total_seconds()


def read_seconds_or_off(
    environ: Mapping[str, str], name: str, default: str, bounds: tuple[str, str]
) -> float | None:
    if (read_value(environ, name) or default).lower() == "off":
        return None
    try:
        return read_seconds(environ, name, default, bounds)
    except SettingsError:
        raise refusal(name, f"must be off, or a time span of {bounds[0]} to {bounds[1]}") from None


def read_switch(environ: Mapping[str, str], name: str, default: str = "true") -> bool:
    value = read_value(environ, name).lower() or default
    if value in ("true", "on", "yes", "1"):
        return True
    if value in ("false", "off", "no", "0"):
        return False
    raise refusal(name, "must be true or false")
