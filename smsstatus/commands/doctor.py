"""`doctor`: find out why nothing arrives."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext

from .. import disks
from ..disks import MOUNTS
from ..files import closed_to_us
from ..intake.records import NotReadable, read_file
from ..intake.spool import SpoolUnavailable
from ..notation import CLOCK_SECONDS, seconds_apart, visible
from ..paths import DOTENV
from ..plivo import api as plivo_api
from ..plivo.callback import PROBE_ANSWER, PROBE_FIELD
from ..plivo.simulate import NoAnswer, deliver, request
from ..server.serving import Server
from ..service import DYNO_DISK, MOUNTED_ALONE, Service
from ..settings import Settings
from ..store.contract import Engine, StoreError
from ..web.current import current_service
from .terminal import coloured, json_option, show_json

Level = Literal["ok", "warn", "FAIL"]

NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs")
LOOKED_AT = 1000
"""This many waiting files of the spool, the oldest ones, are read to see whether they can be."""
STUCK_AFTER = 60
"""Seconds in which the service has replayed what it can, unless very much waits."""
DAMAGE_SECONDS = 10.0
"""The database is looked through for this long at most."""


class Check(NamedTuple):
    """One line of the doctor's. For warn and FAIL `text` holds the fix."""

    level: Level
    name: str
    text: str


@click.command("doctor")
@json_option
@with_appcontext
def command(as_json: bool) -> None:
    """Find out why nothing arrives: one line for each check, with the fix."""
    found = []
    for check in examine(current_service()):
        found.append(check)
        if not as_json:  # as it is found: some wait for others' answers
            mark = coloured(check.level) + " " * (4 - len(check.level))
            click.echo(f"{mark}  {check.name}: {check.text}")
    if as_json:
        show_json([check._asdict() for check in found])
    if any(check.level == "FAIL" for check in found):
        raise SystemExit(1)


def examine(service: Service, mounts: Path = MOUNTS) -> Iterator[Check]:
    """All checks, in the order in which they should be fixed. `mounts` lists the filesystems."""
    yield _settings(service)
    yield _base_url(service.settings.base_url)
    yield _database(service)
    if service.settings.database.path is not None:
        yield _disk(service.settings, mounts)
    yield _spool(service)
    yield _engine(service)
    yield from _plivo(service)
    yield from _public_road(service)
    if service.settings.forward_url is not None:
        from .receiver import receiver_checks  # not imported where it is off

        yield from starmap(Check, receiver_checks(service))


def _settings(service: Service) -> Check:
    found = list(service.warnings())
    if service.settings.api_token is None:
        closed = "/messages, /changes, /stats and the page"
        found.append(f"API_TOKEN is not set: {closed} answer 503 until it is")
    if DOTENV.is_file() and b"\r\n" in DOTENV.read_bytes():
        found.append(
            ".env has Windows line ends, which `. ./.env` in a shell makes part of the values: run "
            r"`sed -i 's/\r$//' .env`"
        )
    if DOTENV.is_file() and DOTENV.stat().st_mode & 0o077:
        found.append(".env can be read by others on this machine: run `chmod 600 .env`")
    if found:
        return Check("warn", "settings", "; ".join(found))
    return Check("ok", "settings", "all read")


def _base_url(base_url: str) -> Check:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if _is_local(host):
        return Check(
            "warn", "BASE_URL", f"{base_url} is of this machine only: Plivo needs a public address"
        )
    if parts.scheme != "https":
        return Check("warn", "BASE_URL", f"{base_url} is not https: anybody on the way can read it")
    return Check("ok", "BASE_URL", base_url)


def _is_local(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".local", ".localhost", ".internal"))


def _database(service: Service) -> Check:
    name, path = service.settings.database.name, service.settings.database.path
    if path is not None and not path.exists():
        text = f"there is no {name} yet: the service makes it when it starts, or `init-db`"
        return Check("warn", "database", text)
    try:
        service.store.probe()
    except StoreError as error:
        if path is not None and (closed := _closed_file(path)):
            return Check("FAIL", "database", closed)
        advice = (
            "its folder exists, is writable and has space, and that no other program holds the file"
            if path is not None
            else "the server runs, that DATABASE_URL is what the host says now, and, if the server "
            "has no TLS and the network is yours, that it ends with ?sslmode=disable"
        )
        text = f"{name} is not writable ({error}). Check that {advice}"
        return Check("FAIL", "database", text)
    try:
        damage = service.store.find_damage(DAMAGE_SECONDS)
    except StoreError as error:
        damage = str(error)
    if damage:
        advice = service.store.damage_advice
        text = f"{name} is damaged ({damage}). If the service's log says no more of it: {advice}"
        return Check("FAIL", "database", text)
    return Check("ok", "database", f"{name} is writable, and no damage was found in it")


def _closed_file(path: Path) -> str:
    """What to do about the first of the database's files that this user may not write; or empty."""
    for file in [path, *(Path(f"{path}{end}") for end in ("-wal", "-shm", ".lock"))]:
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            return closed_to_us(file)
    return ""


def _disk(settings: Settings, mounts: Path) -> Check:
    """Does the disk survive a restart, as far as can be seen from here?"""
    path = settings.database_path
    kind = disks.filesystem(path, mounts)
    if disks.is_mounted_alone(path, mounts):
        return Check("FAIL", "disk", f"{path} {MOUNTED_ALONE}")
    if kind in NETWORK_FILESYSTEMS:
        text = f"{kind} is a network filesystem: SQLite's WAL needs a local disk"
        return Check("FAIL", "disk", text)
    if settings.dyno:
        return Check("warn", "disk", DYNO_DISK)
    if kind in disks.MEMORY_FILESYSTEMS:
        text = f"{path.parent} is on {kind}, lost at restart: mount a volume, set DATABASE_URL"
        return Check("warn", "disk", text)
    return Check("ok", "disk", f"{path.parent} is on {kind or 'a disk'}")


def _spool(service: Service) -> Check:
    spool = service.spool
    try:
        spool.prepare()
        oldest = spool.list_files(LOOKED_AT)
        depth = spool.depth()
    except (OSError, SpoolUnavailable) as error:
        text = f"{spool.folder} takes no files ({getattr(error, 'strerror', error)}): set SPOOL_DIR"
        return Check("FAIL", "spool", text)
    if unreadable := [name for name in oldest if not _can_be_read(spool.folder / name)]:
        text = (
            f"{len(unreadable)} of the waiting files cannot be read, the oldest is "
            f"{visible(unreadable[0])} in {spool.folder}: see to its permissions, or remove it"
        )
        return Check("warn", "spool", text)
    if depth.bad:
        text = f"{depth.bad} callbacks could not be used: their reasons are in {spool.bad}"
        return Check("warn", "spool", text)
    if depth.waiting and depth.oldest_seconds > STUCK_AFTER:
        text = (
            f"{depth.waiting} callbacks wait, the oldest for {depth.oldest_seconds:.0f} s: if the "
            "service runs and the database is writable, it refuses those; `replay` says why"
        )
        return Check("warn", "spool", text)
    if depth.waiting:
        text = f"{depth.waiting} callbacks wait: the service replays them, or `replay` does"
        return Check("warn", "spool", text)
    logged = "; what it takes is written to the log too" if service.settings.spool_log else ""
    return Check("ok", "spool", f"{spool.folder} is empty and takes files{logged}")


def _can_be_read(path: Path) -> bool:
    try:
        return not any(isinstance(line.found, NotReadable) for line in read_file(path))
    except OSError:
        return not os.path.lexists(path)  # drained meanwhile


def _engine(service: Service) -> Check:
    try:
        return engine_check(service.store.engine())
    except StoreError as error:
        return Check("warn", "database's program", f"unknown: {error}")


def engine_check(engine: Engine) -> Check:
    """Has the version of the database program a fault that is known?"""
    if engine.warning:
        return Check("warn", engine.name, f"{engine.version} {engine.warning}")
    return Check("ok", engine.name, engine.version)


def _plivo(service: Service) -> Iterator[Check]:
    try:
        answer = plivo_api.check_credentials(service.settings)
    except plivo_api.NotConfigured:
        yield Check(
            "warn",
            "Plivo account",
            "skipped: PLIVO_AUTH_ID is not set, so Plivo was not asked whether PLIVO_AUTH_TOKEN is "
            "right, and nothing can be sent or reconciled",
        )
        yield _clock(service, None)
    except plivo_api.PlivoError as error:
        yield Check("FAIL", "Plivo account", f"{error.title}: {error.detail}")
        yield _clock(service, None)
    else:
        yield Check("ok", "Plivo account", "the credentials are accepted")
        yield _clock(service, answer.date)


def _clock(service: Service, plivos: str | None) -> Check:
    """Our clock against Plivo's, or, without one, against common sense."""
    now = service.clock.now()
    told = f"{now:%Y-%m-%dT%H:%M:%SZ}, compared with nothing: see that NTP is on"
    unknown = Check("warn", "clock", told)
    if plivos is None:
        if now.year < 2026:
            return Check("FAIL", "clock", f"it says {now:%Y-%m-%d}: set it")
        return unknown
    apart = seconds_apart(plivos, now)
    if apart is None:
        return unknown
    if apart > CLOCK_SECONDS:
        return Check("warn", "clock", f"{apart:.0f} s apart from Plivo's: turn on NTP")
    return Check("ok", "clock", f"{apart:.0f} s apart from Plivo's")


def _public_road(service: Service) -> Iterator[Check]:
    """A signed probe and a forged one, through whatever tunnel or proxy stands at BASE_URL."""
    base_url = service.settings.base_url
    probe = {PROBE_FIELD: secrets.token_hex(8)}
    try:
        status, body = deliver(probe, base_url, service.settings.auth_tokens[0])
        yield _signed_probe(status, body, base_url)
        forged, _ = deliver(probe, base_url, secrets.token_urlsafe(24))
    except NoAnswer as error:
        yield Check("FAIL", "public road", str(error))
        return
    if forged == 403:
        yield Check("ok", "forgery", "a forged callback is refused with 403")
    else:
        text = f"a forged callback was answered {forged}, not 403: that is not this service"
        yield Check("FAIL", "forgery", text)
    yield _server(service)


def _server(service: Service) -> Check:
    """What the running service says about the server that it runs under."""
    base_url = service.settings.base_url
    try:
        server = Server(**json.loads(request("GET", base_url, "/readyz")[1])["server"])
    except (NoAnswer, ValueError, KeyError, TypeError):
        return Check("warn", "server", f"unknown: {base_url}/readyz does not say what serves there")
    missing = "; ".join(server.warnings(take_turns=service.settings.database.path is not None))
    return Check("warn", "server", missing) if missing else Check("ok", "server", server.worker)


def _signed_probe(status: int, body: bytes, base_url: str) -> Check:
    name = "public road"
    if status == 200 and PROBE_ANSWER.encode() in body:
        return Check("ok", name, f"a signed callback to {base_url} is accepted")
    if status == 200:
        return Check("FAIL", name, f"another program answers at {base_url}: correct BASE_URL")
    if status == 403:
        text = "refused with 403: the service there has another BASE_URL or PLIVO_AUTH_TOKEN"
    elif 300 <= status < 400:
        text = f"redirected ({status}): write BASE_URL as it is redirected to, https most often"
    elif status == 404:
        text = "404: another program answers, or BASE_URL's path prefix is wrong"
    else:
        text = f"answered {status}: look at the tunnel or proxy at {base_url}"
    return Check("FAIL", name, text)
