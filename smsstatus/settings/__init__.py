"""Every environment variable the service reads: name, default, check.

Values that are wrong or missing raise one SettingsError with a line for each, which names the
variable, says what is wrong and gives an example. It never repeats a value that may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from . import forwarding, upkeep
from .database_url import Database, read_database_url
from .hosts import public_address
from .variables import (
    EXAMPLES,
    QUOTES,
    SettingsError,
    read_number,
    read_switch,
    read_token,
    read_url,
    read_value,
    refusal,
)

WEBHOOK_PATH = "/plivo/status"
ROUTES = (
    "plivo",
    "messages",
    "changes",
    "stats",
    "ui",
    "static",
    "healthz",
    "readyz",
    "metrics",
    "openapi.json",
)
"""The first words of the service's own paths."""
LOG_LEVELS = ("debug", "info", "warning", "error")
SENDER = r"^(\+?[1-9][0-9]{2,14}|[A-Za-z0-9][A-Za-z0-9 ]{0,10})$"
"""A number in E.164, a short code, or a sender ID of 1 to 11 letters; match it with re.ASCII."""
SHORT_TOKEN = 16
"""An API_TOKEN with fewer characters than this can be guessed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The checked settings. Build them with `from_environment`, or by keyword in a test."""

    auth_tokens: tuple[str, ...]
    """Tokens that may have signed a callback; the first one also calls Plivo's API."""
    base_url: str
    """The public address that Plivo calls, without a trailing slash."""
    database: Database
    spool_dir: Path
    dyno: str | None = None
    """What Heroku calls the machine that this runs on, such as web.1; None elsewhere."""
    base_url_from: str | None = None
    """The host's variable that told the address; None: BASE_URL did."""
    database_connections: int = 3
    """To PostgreSQL, from each process: one writes, the others read."""
    spool_log: bool = False
    """Is what is spooled written to the log too, because the disk is not kept?"""
    auth_id: str | None = None
    sender: str | None = None
    api_token: str | None = None
    accept_v2: bool = True
    ui: bool = True
    plivo_api_url: str = "https://api.plivo.com"
    log_level: str = "info"
    port: int | None = None
    """Only checked here: gunicorn.conf.py reads it before there are settings."""
    forward_url: str | None = None
    """Where changes are sent; None: forwarding is off, and nothing of it is read or written."""
    forward_secrets: tuple[bytes, ...] = ()
    """The keys that sign what is sent, newest first; at least one where there is an address."""
    forward_statuses: frozenset[str] | None = None
    """What is sent; None: every status, also words that Plivo has not documented."""
    forward_latest_only: bool = False
    """Does a newer change of a message take the place of those that still wait?"""
    forward_authorization: str | None = None
    forward_timeout: float = 15.0
    forward_concurrency: int = 8
    forward_max_age: float = 259_200.0
    reconcile_every: float | None = None
    """Seconds between two runs; None: only the command does it. So of the others."""
    retention: float | None = None
    """Messages are removed once they are older than these seconds; None: never."""
    backup_every: float | None = None
    backup_dir: Path | None = None
    backup_keep: int = 7
    metrics_token: str | None = None
    """What /metrics wants as a bearer token; None: it wants none."""
    plivo_timeouts: tuple[float, float] = (5.0, 5.0)
    """Seconds for connecting to Plivo's API, and for each read from it. No variable sets them."""

    @property
    def database_path(self) -> Path:
        """SQLite's file."""
        assert self.database.path is not None
        return self.database.path

    @property
    def webhook_url(self) -> str:
        """The URL to give to Plivo; its signatures are checked against it."""
        return self.base_url + WEBHOOK_PATH

    @property
    def prefix(self) -> str:
        """BASE_URL's path, under which a proxy serves this: '' or one that starts with a slash."""
        return urlsplit(self.base_url).path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check every variable.

        Raises SettingsError with a line for each that is missing or wrong.
        """
        values: dict[str, Any] = {}
        wrong: list[str] = []
        if not environ.get("BASE_URL", "").strip() and (told := public_address(environ)):
            environ = {**environ, "BASE_URL": told[0]}
            values["base_url_from"] = told[1]
        for field, read in _READERS.items():
            try:
                values[field] = read(environ)
            except SettingsError as error:
                wrong.append(str(error))
        wrong.extend(forwarding.contradictions(values))
        wrong.extend(upkeep.contradictions(values))
        if wrong:
            raise SettingsError("\n".join(wrong))
        if values["spool_dir"] is None:
            path = values["database"].path or Path("smsstatus").absolute()
            values["spool_dir"] = path.with_name(f"{path.name}-spool")
        return cls(**values)


def _auth_tokens(environ: Mapping[str, str]) -> tuple[str, ...]:
    """An empty key would make every signature forgeable, so a blank token never starts.

    With one that Plivo cannot have issued, every callback would be refused.
    """
    name = "PLIVO_AUTH_TOKEN"
    if environ.get(name) is None:
        raise refusal(name, "is not set")
    tokens = tuple(token.strip() for token in read_value(environ, name).split(","))
    if not all(tokens):
        raise refusal(name, "is empty or has an empty entry between commas")
    for token in tokens:
        if any(mark in token for mark in QUOTES):
            raise refusal(name, "has a quotation mark in it: leave it out")
        if re.search(r"\s", token):
            raise refusal(name, "has a space or a line break in it, or a comment behind it")
        if not re.fullmatch(r"[!-~]+", token):
            raise refusal(name, "has a character in it, perhaps invisible, that is not plain ASCII")
    return tokens


def _auth_id(environ: Mapping[str, str]) -> str | None:
    value = read_value(environ, "PLIVO_AUTH_ID")
    if value and not re.fullmatch(r"(MA|SA)[A-Z0-9]{18}", value):
        raise refusal("PLIVO_AUTH_ID", "must be 20 characters starting with MA or SA")
    return value or None


def _sender(environ: Mapping[str, str]) -> str | None:
    value = read_value(environ, "PLIVO_SENDER")
    if value and not re.fullmatch(SENDER, value, re.ASCII):
        raise refusal(
            "PLIVO_SENDER",
            "must be a number in E.164 without spaces, a short code, or 1 to 11 letters",
        )
    return value or None


def _base_url(environ: Mapping[str, str]) -> str:
    url = read_url(environ, "BASE_URL")
    if url.endswith(WEBHOOK_PATH):
        raise refusal("BASE_URL", f"must end before {WEBHOOK_PATH}, which is added to it")
    first = unquote(urlsplit(url).path).removeprefix("/").partition("/")[0]
    if first in ROUTES:  # nobody could say whether the proxy has removed it
        raise refusal("BASE_URL", f"has a path that begins like the service's own /{first}")
    return url


def _database(environ: Mapping[str, str]) -> Database:
    try:
        return read_database_url(read_value(environ, "DATABASE_URL") or "sqlite:///smsstatus.db")
    except ValueError as error:
        raise refusal("DATABASE_URL", str(error)) from None


def _spool_dir(environ: Mapping[str, str]) -> Path | None:
    value = read_value(environ, "SPOOL_DIR")
    return Path(value).absolute() if value else None


def _log_level(environ: Mapping[str, str]) -> str:
    value = read_value(environ, "LOG_LEVEL").lower() or "info"
    if value not in LOG_LEVELS:
        raise refusal("LOG_LEVEL", f"must be one of {', '.join(LOG_LEVELS)}")
    return value


_READERS: dict[str, Callable[[Mapping[str, str]], object]] = {
    "auth_tokens": _auth_tokens,
    "base_url": _base_url,
    "api_token": lambda environ: read_token(environ, "API_TOKEN"),
    "auth_id": _auth_id,
    "sender": _sender,
    "database": _database,
    "spool_dir": _spool_dir,
    "database_connections": lambda environ: read_number(
        environ, "DATABASE_CONNECTIONS", 3, (1, 100)
    ),
    "spool_log": lambda environ: read_switch(
        environ, "SPOOL_LOG", "true" if environ.get("DYNO") else "false"
    ),
    "dyno": lambda environ: environ.get("DYNO") or None,
    "accept_v2": lambda environ: read_switch(environ, "ACCEPT_V2"),
    "ui": lambda environ: read_switch(environ, "UI"),
    "plivo_api_url": lambda environ: read_url(environ, "PLIVO_API_URL", EXAMPLES["PLIVO_API_URL"]),
    "log_level": _log_level,
    "port": lambda environ: read_number(environ, "PORT", None, (1, 65_535)),
    **forwarding.READERS,
    **upkeep.READERS,
    "metrics_token": lambda environ: read_token(environ, "METRICS_TOKEN"),
}
"""In the order in which errors are listed."""
