"""Where a URL's hosts are. libpq would ask for that too, and wait as long as the resolver likes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ... import promise
from ...bounded import Bounded

NAME_SECONDS = 2.0
"""For the addresses of all hosts."""


class Address(NamedTuple):
    """In libpq's words; each can be empty."""

    host: str
    hostaddr: str
    port: str

    def __str__(self) -> str:
        return " ".join(dict.fromkeys(part for part in self if part))


_bounded = Bounded(NAME_SECONDS, "the resolver")


def addresses(url: str) -> list[Address]:
    """Where to try, in this order; nothing if the URL's lists do not match, which libpq says.

    A host that has no address is left out. Raises OperationalError if no host has one.
    """
    asked = conninfo_to_dict(url)
    hosts, given, ports = (str(asked[n]).split(",") if n in asked else [] for n in Address._fields)
    count = max(len(hosts), len(given))
    hosts = hosts or [""] * count
    if len(ports) < 2:
        ports = (ports or [""]) * count
    if not count or {len(hosts), len(given or hosts), len(ports)} != {count}:
        return []
    if given:
        return list(map(Address, hosts, given, ports))
    names = [host for host in hosts if not _is_address(host)]
    told = _bounded.call_all(
        {name: partial(_look_up, name) for name in names},
        max(promise.seconds_left() - promise.CONNECT_SECONDS, 0),
    )
    found: list[Address] = []
    failure = ""
    for host, port in zip(hosts, ports, strict=True):
        try:
            found += [Address(host, each, port) for each in _of(host, told)]
        except OSError as error:  # TimeoutError, or the resolver's
            failure = f"{host}: {error.strerror or error}"
    if not found:
        raise psycopg.OperationalError(f"no address of {failure}")
    return found


def _is_address(host: str) -> bool:
    """Or a folder with a socket."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.startswith("/")
    return True


def _look_up(name: str) -> list[str]:
    found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _of(host: str, told: Mapping[str, Future[list[str]]]) -> list[str]:
    if _is_address(host):
        return [""] if host.startswith("/") else [host]
    if host not in told:
        raise _bounded.too_slow()
    return told[host].result()
