"""DATABASE_URL: which database it names, and what is wrong with it, in words that never repeat it.

A PostgreSQL address is read as libpq reads it, whose own errors quote the password:
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

_WORDS = {
    "channel_binding": "disable|prefer|require",
    "gssencmode": "disable|prefer|require",
    "load_balance_hosts": "disable|random",
    "require_auth": "password|md5|gss|sspi|scram-sha-256|oauth|none",
    "sslcertmode": "disable|allow|require",
    "sslmode": "disable|allow|prefer|require|verify-ca|verify-full",
    "sslnegotiation": "postgres|direct",
    "target_session_attrs": "any|read-write|read-only|primary|standby|prefer-standby",
}
"""What each of these can be. With anything else libpq tries no connection, ever."""
_OPTIONS = (
    "application_name channel_binding client_encoding connect_timeout dbname "
    "fallback_application_name gssencmode host hostaddr keepalives keepalives_count "
    "keepalives_idle keepalives_interval load_balance_hosts options passfile password port "
    "require_auth requirepeer ssl ssl_max_protocol_version ssl_min_protocol_version sslcert "
    "sslcertmode sslcrl sslcrldir sslkey sslmode sslnegotiation sslpassword sslrootcert sslsni "
    "target_session_attrs tcp_user_timeout user"
)
"""What may stand behind the `?` of a PostgreSQL address."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.~%-]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Database:
    """The database that is used. `name` can be shown: there is no user and no password in it."""

    name: str
    path: Path | None = None
    """SQLite's file, absolute. None: `url` names a database of PostgreSQL."""
    url: str = field(default="", repr=False)
    """For libpq. It says whether to use TLS wherever that must not be left to the server."""


def read_database_url(value: str) -> Database:
    """Raises ValueError, whose text says what is wrong."""
    scheme, separator, rest = value.partition("://")
    if separator and scheme in ("postgres", "postgresql"):
        return _postgres(value, rest)
    if separator and scheme == "sqlite":
        return sqlite_file(_path(rest))
    if separator and scheme.startswith("postgres"):
        raise ValueError("must start with postgres:// or postgresql://, and name no driver")
    named = scheme if separator and scheme.isalnum() else "that"
    raise ValueError(f"must start with sqlite:/// or postgres://, {named} is not supported")


def sqlite_file(path: Path) -> Database:
    """The database in this file."""
    return Database(str(path), path)


def _path(rest: str) -> Path:
    """A link is followed: SQLite keeps the -wal beside the real file, so the rest belongs there."""
    path = rest.removeprefix("/")
    if not rest.startswith("/") or path.strip("/") == "" or "?" in path or path == ":memory:":
        raise ValueError("must name a file")
    if path.endswith("/") or os.path.isdir(path):
        raise ValueError("names a folder: add the name of a file in it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("must name a file: what is there is none")
    return Path(os.path.realpath(path) if os.path.islink(path) else path).absolute()


def _postgres(url: str, rest: str) -> Database:
    if not re.fullmatch("[!-~]+", url):
        raise ValueError("must be plain ASCII without spaces: write other characters as %XX")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", rest):
        raise ValueError("has a % that begins no code: write % as %25")
    try:
        unquote_to_bytes(rest).decode()
    except UnicodeDecodeError:
        raise ValueError("has a %XX that is no UTF-8: what was %FC is written %C3%BC") from None
    user, _, place = rest.rpartition("@")
    if "@" in user or "/" in user:
        raise ValueError("has an @ or / in its user name or password: write %40 or %2F")
    where, mark, query = place.partition("?")
    given, _, name = where.partition("/")
    options = _options(query)
    hosts = [_host(host) for host in given.split(",")] if given else []
    if other := options.get("hostaddr") or options.get("host"):
        hosts = other.split(",")
    if not hosts:
        raise ValueError("must name a host")
    says = "sslmode" in options or "ssl" in options or options.get("sslrootcert") == "system"
    if not says and not all(map(_is_local, hosts)):
        url += ("&" if query else "" if mark else "?") + "sslmode=require"
    return Database(f"postgresql://{given or ','.join(hosts)}/{name}", url=url)


def _host(text: str) -> str:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("has a host or a port that cannot be read")
    _check_port(found[2] or "")
    return unquote(found[1]).strip("[]")


def _check_port(text: str) -> None:
    if text and not (re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= 65_535):
        raise ValueError("has a port that is no number from 1 to 65535")


def _is_local(host: str) -> bool:
    """Is there nothing between it and us that could listen?

    A name without a dot is one that only a private network's own resolver knows: another container
    of Docker's or Dokku's, or a database beside the service at Render. Those have no TLS.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.startswith("/")


def _options(query: str) -> dict[str, str]:
    """What is behind the `?`. An unknown name may be a piece of a password: it is not repeated."""
    options = {}
    for option in filter(None, query.split("&")):
        name, separator, value = option.partition("=")
        if name not in _OPTIONS.split() or not separator:
            raise ValueError(
                "has an option behind its ? that PostgreSQL does not know, such as pgbouncer=true: "
                "remove it, and write & in a password as %26"
            )
        options[name] = unquote(value)
    if options.get("ssl", "true") != "true":
        raise ValueError("has another ssl than ssl=true: write sslmode=disable, for instance")
    for name in sorted(_WORDS.keys() & options):
        words = _WORDS[name]
        several = f"({words})(,({words}))*|!({words})(,!({words}))*"
        if not re.fullmatch(several if name == "require_auth" else words, options[name]):
            raise ValueError(f"has another {name} than {words.replace('|', ', ')}")
    for port in options.get("port", "").split(","):
        _check_port(port)
    _check_addresses(options.get("hostaddr", ""))
    _check_certificates(options.get("sslrootcert"))
    return options


def _check_addresses(text: str) -> None:
    for address in filter(None, text.split(",")):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError("has a hostaddr that is no IP address") from None


def _check_certificates(path: str | None) -> None:
    """Without the file sslmode=require would go on and verify nothing."""
    if path == "system":
        if not os.environ.get("SSL_CERT_FILE"):  # the driver's OpenSSL knows no folder of its own
            raise ValueError(
                "has sslrootcert=system, which needs the variable "
                "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
            )
    elif path is not None and not os.path.isfile(path):
        raise ValueError("has an sslrootcert that is no file")
