"""Where a URL's hosts are. libpq would ask for that too, and wait as long as the resolver likes."""

from __future__ import annotations

import ipaddress
import socket

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ...bounded import Bounded

NAME_SECONDS = 2.0
"""For the address of one host."""

_bounded = Bounded(NAME_SECONDS, "the resolver")


def addresses(url: str) -> dict[str, str]:
    """`hostaddr` beside `host` and `port`, one for each address; empty where there is no name.

    A host that has none is left out. Raises OperationalError if no host has one.
    """
    asked = conninfo_to_dict(url)
    if "hostaddr" in asked or "host" not in asked:
        return {}
    hosts = str(asked["host"]).split(",")
    ports = str(asked.get("port", "")).split(",")
    if all(map(_is_address, hosts)):
        return {}
    if len(ports) == 1:
        ports *= len(hosts)
    found: list[tuple[str, str, str]] = []
    failure = ""
    for host, port in zip(hosts, ports, strict=False):
        try:
            found += [(host, each, port) for each in _of(host)]
        except OSError as error:  # TimeoutError, or the resolver's
            failure = f"{host}: {error.strerror or error}"
    if not found:
        raise psycopg.OperationalError(f"no address of {failure}")
    names = ("host", "hostaddr", "port")
    return {
        name: ",".join(values) for name, values in zip(names, zip(*found, strict=True), strict=True)
    }


def _is_address(host: str) -> bool:
    """Or a folder with a socket."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.startswith("/")
    return True


def _of(host: str) -> list[str]:
    if _is_address(host):
        return [""] if host.startswith("/") else [host]
    found = _bounded.call(host, socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
