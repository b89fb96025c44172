"""Every environment variable the service reads: name, default, check.

A wrong or missing value raises SettingsError with one line that names the variable, says what
is wrong and gives an example. The line never repeats a value that may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

WEBHOOK_PATH = "/plivo/status"
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A setting is missing or wrong. The text is one line for the person who starts the service."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The checked settings. Build them with `from_environment`, or by keyword in a test."""

    auth_tokens: tuple[str, ...]
    """Tokens that may have signed a callback; the first one also calls Plivo's API."""
    base_url: str
    """The public address Plivo was told, without a trailing slash."""
    database_path: Path
    spool_dir: Path
    auth_id: str | None = None
    sender: str | None = None
    api_token: str | None = None
    accept_v2: bool = True
    ui: bool = True
    plivo_api_url: str = "https://api.plivo.com"
    log_level: str = "info"
    plivo_timeouts: tuple[float, float] = (5.0, 5.0)
    """Seconds for connecting to Plivo's API, and for each read from it. No variable sets them."""

    @property
    def webhook_url(self) -> str:
        """The URL to give to Plivo, and the one its signatures are checked against."""
        return self.base_url + WEBHOOK_PATH

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check every variable.

        Raises SettingsError for the first one that is missing or wrong.
        """
        database_path = _database_path(environ)
        spool_dir = environ.get("SPOOL_DIR", "").strip()
        return cls(
            auth_tokens=_auth_tokens(environ),
            base_url=_base_url(environ),
            database_path=database_path,
            spool_dir=Path(spool_dir or f"{database_path}-spool").absolute(),
            auth_id=_auth_id(environ),
            sender=_optional(environ, "PLIVO_SENDER"),
            api_token=_optional(environ, "API_TOKEN"),
            accept_v2=_switch(environ, "ACCEPT_V2"),
            ui=_switch(environ, "UI"),
            plivo_api_url=_url(
                environ,
                "PLIVO_API_URL",
                example="https://api.plivo.com",
                default="https://api.plivo.com",
            ),
            log_level=_log_level(environ),
        )


def _optional(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None


def _auth_tokens(environ: Mapping[str, str]) -> tuple[str, ...]:
    """An empty key would make every signature forgeable, so a blank token never starts."""
    value = environ.get("PLIVO_AUTH_TOKEN")
    hint = "example: PLIVO_AUTH_TOKEN=<the Auth Token on your Plivo console's overview page>"
    if value is None:
        raise SettingsError(f"PLIVO_AUTH_TOKEN is not set; {hint}")
    tokens = tuple(token.strip() for token in value.split(","))
    if not all(tokens):
        raise SettingsError(
            f"PLIVO_AUTH_TOKEN is empty or has an empty entry between commas; {hint}"
        )
    return tokens


def _auth_id(environ: Mapping[str, str]) -> str | None:
    value = _optional(environ, "PLIVO_AUTH_ID")
    if value is not None and not re.fullmatch(r"(MA|SA)[A-Z0-9]{18}", value):
        raise SettingsError(
            "PLIVO_AUTH_ID must be 20 characters starting with MA or SA; "
            "example: PLIVO_AUTH_ID=MAXXXXXXXXXXXXXXXXXX"
        )
    return value


def _base_url(environ: Mapping[str, str]) -> str:
    example = "https://sms.example.com"
    url = _url(environ, "BASE_URL", example=example)
    if url.endswith(WEBHOOK_PATH):
        raise SettingsError(
            f"BASE_URL must end before {WEBHOOK_PATH}, which is added to it; "
            f"example: BASE_URL={example}"
        )
    return url


def _url(environ: Mapping[str, str], name: str, *, example: str, default: str | None = None) -> str:
    """An http(s) address without query, fragment or user info; the trailing slash is dropped."""
    value = environ.get(name, "").strip() or default
    if value is None:
        raise SettingsError(f"{name} is not set; example: {name}={example}")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError when the port is not a number
    except ValueError:
        raise SettingsError(f"{name} is not a valid URL; example: {name}={example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"{name} must start with http:// or https:// and name a host; example: {name}={example}"
        )
    if not re.fullmatch(r"[!-~]+", value) or any(mark in value for mark in "?#@"):
        raise SettingsError(
            f"{name} must be plain ASCII without spaces, query, fragment or user name; "
            f"example: {name}={example}"
        )
    return value.rstrip("/")


def _database_path(environ: Mapping[str, str]) -> Path:
    """Only SQLite: a postgres:// URL that a host sets by itself must not be taken for one."""
    value = environ.get("DATABASE_URL", "").strip() or "sqlite:///smsstatus.db"
    example = "example: DATABASE_URL=sqlite:///smsstatus.db or sqlite:////data/smsstatus.db"
    scheme, separator, rest = value.partition("://")
    if not separator or scheme != "sqlite":
        named = scheme if separator and scheme.isalnum() else "that"
        raise SettingsError(
            f"DATABASE_URL must start with sqlite:///, {named} is not supported; {example}"
        )
    path = rest.removeprefix("/")
    if (
        not rest.startswith("/")
        or path.strip("/") == ""
        or path.endswith("/")
        or "?" in path
        or path == ":memory:"
    ):
        raise SettingsError(f"DATABASE_URL must name a file; {example}")
    return Path(path).absolute()


def _switch(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower() or "true"
    if value in ("true", "on", "yes", "1"):
        return True
    if value in ("false", "off", "no", "0"):
        return False
    raise SettingsError(f"{name} must be true or false; example: {name}=true")


def _log_level(environ: Mapping[str, str]) -> str:
    value = environ.get("LOG_LEVEL", "").strip().lower() or "info"
    if value not in LOG_LEVELS:
        raise SettingsError(
            f"LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}; example: LOG_LEVEL=info"
        )
    return value
