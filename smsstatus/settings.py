"""Every environment variable the service reads: name, default, check.

Values that are wrong or missing raise one SettingsError with a line for each, which names the
variable, says what is wrong and gives an example. It never repeats a value that may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from .database_url import Database, read_database_url
from .durations import read_duration
from .hosts import public_address
from .model import FAILURES, FINAL_STATUSES, RANKS

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

_QUOTES = "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"
_EXAMPLES = {
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
_STATUSES = {"all": None, "final": FINAL_STATUSES, "failures": FAILURES}


class SettingsError(Exception):
    """Settings are missing or wrong. The text has one line for each, for whoever starts this."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The checked settings. Build them with `from_environment`, or by keyword in a test."""

    auth_tokens: tuple[str, ...]
    """Tokens that may have signed a callback; the first one also calls Plivo's API."""
    base_url: str
    """The public address that Plivo calls, without a trailing slash."""
    database: Database
    spool_dir: Path
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
        wrong.extend(_contradictions(values))
        if wrong:
            raise SettingsError("\n".join(wrong))
        if values["forward_url"] and _is_under(values["forward_url"], values["base_url"]):
            raise _wrong("FORWARD_URL", "is this service's own address: name one of your system's")
        if values["spool_dir"] is None:
            path = values["database"].path or Path("smsstatus").absolute()
            values["spool_dir"] = path.with_name(f"{path.name}-spool")
        return cls(**values)


def _wrong(name: str, what: str) -> SettingsError:
    return SettingsError(f"{name} {what}; example: {name}={_EXAMPLES[name]}")


def _value(environ: Mapping[str, str], name: str) -> str:
    """What is set, or '' for nothing.

    A shell and `.env` remove quotes; `docker run --env-file` and some hosts' forms do not.
    """
    value = environ.get(name, "").strip()
    if value and (value[0] in _QUOTES or value[-1] in _QUOTES):
        raise _wrong(name, "begins or ends with a quotation mark: leave them out")
    return value


def _auth_tokens(environ: Mapping[str, str]) -> tuple[str, ...]:
    """An empty key would make every signature forgeable, so a blank token never starts.

    With one that Plivo cannot have issued, every callback would be refused.
    """
    name = "PLIVO_AUTH_TOKEN"
    if environ.get(name) is None:
        raise _wrong(name, "is not set")
    tokens = tuple(token.strip() for token in _value(environ, name).split(","))
    if not all(tokens):
        raise _wrong(name, "is empty or has an empty entry between commas")
    for token in tokens:
        if any(mark in token for mark in _QUOTES):
            raise _wrong(name, "has a quotation mark in it: leave it out")
        if re.search(r"\s", token):
            raise _wrong(name, "has a space or a line break in it, or a comment behind it")
        if not re.fullmatch(r"[!-~]+", token):
            raise _wrong(name, "has a character in it, perhaps invisible, that is not plain ASCII")
    return tokens


def _token(environ: Mapping[str, str], name: str) -> str | None:
    value = _value(environ, name)
    if not value.isprintable():
        raise _wrong(name, "has an invisible character in it")
    if re.search(r"\s#", value):
        raise _wrong(name, "has a comment behind it")
    return value or None


def _auth_id(environ: Mapping[str, str]) -> str | None:
    value = _value(environ, "PLIVO_AUTH_ID")
    if value and not re.fullmatch(r"(MA|SA)[A-Z0-9]{18}", value):
        raise _wrong("PLIVO_AUTH_ID", "must be 20 characters starting with MA or SA")
    return value or None


def _sender(environ: Mapping[str, str]) -> str | None:
    value = _value(environ, "PLIVO_SENDER")
    if value and not re.fullmatch(SENDER, value, re.ASCII):
        raise _wrong(
            "PLIVO_SENDER",
            "must be a number in E.164 without spaces, a short code, or 1 to 11 letters",
        )
    return value or None


def _base_url(environ: Mapping[str, str]) -> str:
    url = _url(environ, "BASE_URL")
    if url.endswith(WEBHOOK_PATH):
        raise _wrong("BASE_URL", f"must end before {WEBHOOK_PATH}, which is added to it")
    first = unquote(urlsplit(url).path).removeprefix("/").partition("/")[0]
    if first in ROUTES:  # nobody could say whether the proxy has removed it
        raise _wrong("BASE_URL", f"has a path that begins like the service's own /{first}")
    return url


def _url(environ: Mapping[str, str], name: str, default: str | None = None) -> str:
    """An http(s) address without query, fragment or user info; the trailing slash is dropped."""
    value = _value(environ, name) or default
    if value is None:
        raise _wrong(name, "is not set")
    _parts(name, value)
    if not re.fullmatch(r"[!-~]+", value) or any(mark in value for mark in "?#@"):
        raise _wrong(name, "must be plain ASCII without spaces, query, fragment or user name")
    return value.rstrip("/")


def _parts(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError when the port is not a number
    except ValueError:
        raise _wrong(name, "is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _wrong(name, "must start with http:// or https:// and name a host")
    return parts


def _forward_url(environ: Mapping[str, str]) -> str | None:
    """It may have a query. Its user name and password would have to be a header: see below."""
    name = "FORWARD_URL"
    value = _value(environ, name)
    if not value:
        return None
    if _parts(name, value).username is not None:
        raise _wrong(name, "must have no user name: put those into FORWARD_AUTHORIZATION")
    if not re.fullmatch(r"[!-~]+", value) or "#" in value:
        raise _wrong(name, "must be plain ASCII without spaces or fragment")
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
    value = _value(environ, name)
    if not value:
        return ()
    from .forwarding.signing import NotASecret, read_secret  # not imported where it is off

    try:
        return tuple([read_secret(secret.strip()) for secret in value.split(",")])
    except NotASecret as error:
        raise _wrong(name, str(error)) from None


def _forward_statuses(environ: Mapping[str, str]) -> frozenset[str] | None:
    name = "FORWARD_STATUSES"
    words = [word.strip().lower() for word in (_value(environ, name) or "all").split(",")]
    if len(words) == 1 and words[0] in _STATUSES:
        return _STATUSES[words[0]]
    if not RANKS.keys() >= set(words):
        raise _wrong(name, f"must be all, final, failures, or some of {', '.join(RANKS)}")
    return frozenset(words)


def _forward_authorization(environ: Mapping[str, str]) -> str | None:
    value = _value(environ, "FORWARD_AUTHORIZATION")
    if not re.fullmatch(r"[ -~]*", value) or re.search(r"\s#", value):
        raise _wrong(
            "FORWARD_AUTHORIZATION",
            "must be what the header Authorization says, in plain ASCII, with no comment behind it",
        )
    return value or None


def _forward_timeout(environ: Mapping[str, str]) -> float:
    return _seconds(environ, "FORWARD_TIMEOUT", "15s", ("1s", "30s"))


def _forward_max_age(environ: Mapping[str, str]) -> float:
    return _seconds(environ, "FORWARD_MAX_AGE", "3d", ("1m", "90d"))


def _seconds(environ: Mapping[str, str], name: str, default: str, bounds: tuple[str, str]) -> float:
    """A time span in seconds; a number without a unit is of seconds."""
    value = _value(environ, name) or default
    found, least, most = [
        read_duration(f"{text}s" if text.isdecimal() else text) for text in (value, *bounds)
    ]
    assert least is not None
    assert most is not None
    if found is None or not least <= found <= most:
        raise _wrong(name, f"must be a time span of {bounds[0]} to {bounds[1]}")
    return found.total_seconds()


def _seconds_or_off(
    environ: Mapping[str, str], name: str, default: str, bounds: tuple[str, str]
) -> float | None:
    if (_value(environ, name) or default).lower() == "off":
        return None
    try:
        return _seconds(environ, name, default, bounds)
    except SettingsError:
        raise _wrong(name, f"must be off, or a time span of {bounds[0]} to {bounds[1]}") from None


def _reconcile_every(environ: Mapping[str, str]) -> float | None:
    name = "RECONCILE_EVERY"
    can_ask = bool(_value(environ, "PLIVO_AUTH_ID"))
    every = _seconds_or_off(environ, name, "15m" if can_ask else "off", ("1m", "1d"))
    if every is not None and not can_ask:
        raise _wrong("PLIVO_AUTH_ID", f"is not set, and {name} is")
    return every


def _backup_dir(environ: Mapping[str, str]) -> Path | None:
    value = _value(environ, "BACKUP_DIR")
    return Path(value).absolute() if value else None


def _backup_keep(environ: Mapping[str, str]) -> int:
    value = _value(environ, "BACKUP_KEEP") or "7"
    if not (re.fullmatch("[0-9]{1,4}", value, re.ASCII) and int(value)):
        raise _wrong("BACKUP_KEEP", "must be 1 to 9999")
    return int(value)


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """What is right by itself, and not together."""
    if values.get("forward_url") and values.get("forward_secrets") == ():
        yield str(_wrong("FORWARD_SECRET", "is not set, and FORWARD_URL is"))
    if values.get("backup_every"):
        database = values.get("database")
        if database is not None and database.path is None:
            yield str(_wrong("BACKUP_EVERY", "is for SQLite: PostgreSQL's host makes backups"))
        elif values.get("backup_dir", "") is None:
            yield str(_wrong("BACKUP_DIR", "is not set, and BACKUP_EVERY is"))


def _forward_concurrency(environ: Mapping[str, str]) -> int:
    value = _value(environ, "FORWARD_CONCURRENCY") or "8"
    if not (re.fullmatch("[0-9]{1,2}", value, re.ASCII) and 1 <= int(value) <= 64):
        raise _wrong("FORWARD_CONCURRENCY", "must be 1 to 64")
    return int(value)


def _database(environ: Mapping[str, str]) -> Database:
    try:
        return read_database_url(_value(environ, "DATABASE_URL") or "sqlite:///smsstatus.db")
    except ValueError as error:
        raise _wrong("DATABASE_URL", str(error)) from None


def _database_connections(environ: Mapping[str, str]) -> int:
    value = _value(environ, "DATABASE_CONNECTIONS") or "3"
    if not (re.fullmatch("[0-9]{1,3}", value) and 1 <= int(value) <= 100):
        raise _wrong("DATABASE_CONNECTIONS", "must be 1 to 100: one writes, the others read")
    return int(value)


def _spool_dir(environ: Mapping[str, str]) -> Path | None:
    value = _value(environ, "SPOOL_DIR")
    return Path(value).absolute() if value else None


def _switch(environ: Mapping[str, str], name: str, default: str = "true") -> bool:
    value = _value(environ, name).lower() or default
    if value in ("true", "on", "yes", "1"):
        return True
    if value in ("false", "off", "no", "0"):
        return False
    raise _wrong(name, "must be true or false")


def _log_level(environ: Mapping[str, str]) -> str:
    value = _value(environ, "LOG_LEVEL").lower() or "info"
    if value not in LOG_LEVELS:
        raise _wrong("LOG_LEVEL", f"must be one of {', '.join(LOG_LEVELS)}")
    return value


def _port(environ: Mapping[str, str]) -> int | None:
    value = _value(environ, "PORT")
    if value and not (re.fullmatch("[0-9]{1,5}", value) and 0 < int(value) < 65536):
        raise _wrong("PORT", "must be 1 to 65535")
    return int(value) if value else None


_READERS: dict[str, Callable[[Mapping[str, str]], object]] = {
    "auth_tokens": _auth_tokens,
    "base_url": _base_url,
    "api_token": lambda environ: _token(environ, "API_TOKEN"),
    "auth_id": _auth_id,
    "sender": _sender,
    "database": _database,
    "spool_dir": _spool_dir,
    "database_connections": _database_connections,
    "spool_log": lambda environ: _switch(
        environ, "SPOOL_LOG", "true" if "DYNO" in environ else "false"
    ),
    "accept_v2": lambda environ: _switch(environ, "ACCEPT_V2"),
    "ui": lambda environ: _switch(environ, "UI"),
    "plivo_api_url": lambda environ: _url(environ, "PLIVO_API_URL", _EXAMPLES["PLIVO_API_URL"]),
    "log_level": _log_level,
    "port": _port,
    "forward_url": _forward_url,
    "forward_secrets": _forward_secrets,
    "forward_statuses": _forward_statuses,
    "forward_latest_only": lambda environ: _switch(environ, "FORWARD_LATEST_ONLY", "false"),
    "forward_authorization": _forward_authorization,
    "forward_timeout": _forward_timeout,
    "forward_concurrency": _forward_concurrency,
    "forward_max_age": _forward_max_age,
    "reconcile_every": _reconcile_every,
    "retention": lambda environ: _seconds_or_off(environ, "RETENTION", "off", ("1d", "9000d")),
    "backup_every": lambda environ: _seconds_or_off(environ, "BACKUP_EVERY", "off", ("1m", "90d")),
    "backup_dir": _backup_dir,
    "backup_keep": _backup_keep,
    "metrics_token": lambda environ: _token(environ, "METRICS_TOKEN"),
}
"""In the order in which errors are listed."""
