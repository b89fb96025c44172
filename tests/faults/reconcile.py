"""Where every callback is that was answered 200: in the store, the spool or the log."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from smsstatus.intake.last_resort import read_log
from smsstatus.intake.records import SUFFIXES, NotReadable
from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.store.packing import unpack

from ..live import ROOT, LiveService, environment, wait_until
from ..postgres import ask
from ..rows import PARAMETERS
from .load import Delivery
from .places import is_on_postgres, stored
from .raw import exchange, head


class Kept(NamedTuple):
    """The bodies of callbacks, by the place that holds them."""

    stored: set[str]
    spooled: set[str]
    bad: set[str]
    logged: set[str]

    @property
    def anywhere(self) -> set[str]:
        return self.stored | self.spooled | self.bad | self.logged


def kept(service: LiveService) -> Kept:
    """Look everywhere. The spool comes first: what leaves it meanwhile is in the store by then."""
    spooled, bad = spooled_bodies(service.spool), spooled_bodies(service.spool / "bad")
    logged = [callback.body for callback in logged_callbacks(service)]
    return Kept(bodies_in_store(service), spooled, bad, set(logged))


def missing(deliveries: Iterable[Delivery], service: LiveService) -> list[Delivery]:
    """Those that were answered 200 and are nowhere."""
    anywhere = kept(service).anywhere
    return [d for d in deliveries if d.status == 200 and d.body not in anywhere]


def not_stored(deliveries: Iterable[Delivery], service: LiveService) -> list[Delivery]:
    """Those that were answered 200 and are not in the database."""
    found = bodies_in_store(service)
    return [d for d in deliveries if d.status == 200 and d.body not in found]


def wrong_rows(deliveries: Iterable[Delivery], service: LiveService) -> list[str]:
    """Messages whose row does not say what the greatest of their updates says.

    Only for a load of which every callback was answered 200.
    """
    expected: dict[str, tuple[tuple[bool, str, int, int, bytes], str]] = {}
    for delivery in deliveries:
        update = read_callback(Callback("POST", "", delivery.body, ""), source="callback")
        key = (update.order_key, update.status)
        expected[update.message_uuid] = max(expected.get(update.message_uuid, key), key)
    rows = dict(query(service.database, "SELECT message_uuid, current_status FROM messages"))
    return [uuid for uuid, (_, status) in expected.items() if rows.get(uuid) != status]


def is_ready(service: LiveService) -> bool:
    """What /readyz says."""
    return not reasons(service)


def reasons(service: LiveService) -> list[str]:
    """Why /readyz says that the service is not ready; none if it is."""
    reply = exchange(service.port, head("GET /readyz HTTP/1.1", {"Connection": "close"}))
    assert reply is not None
    found = json.loads(reply.body)
    assert (reply.status, found["ready"]) == ((503, False) if found["reasons"] else (200, True))
    return list(found["reasons"])


def wait_until_told(service: LiveService, says: str) -> None:
    """Wait until /readyz gives this as the store's reason."""
    wait_until(
        lambda: any(why.startswith("store: ") and says in why for why in reasons(service)),
        120,
        f"/readyz says {says}",
    )


def wait_until_ready(service: LiveService) -> None:
    """Wait until /readyz says that the service has recovered by itself."""
    wait_until(lambda: is_ready(service), 120, "ready again")


def gather(service: LiveService) -> None:
    """Have everything in the store that was answered 200: the spool by itself, the log by replay.

    On a busy machine a callback can be in the log where on a quiet one the spool had it in time.
    """
    wait_until_drained(service)
    if logged_callbacks(service):
        replay(service)


def wait_until_drained(service: LiveService) -> None:
    """Wait until nothing is left in the spool."""
    wait_until(lambda: not spooled_bodies(service.spool), 120, "the spool is drained")


def wait_until_spooled(service: LiveService, count: int) -> None:
    """Wait until this many callbacks wait in the spool."""
    wait_until(lambda: len(spooled_bodies(service.spool)) >= count, 120, "callbacks are spooled")


def bodies_in_store(service: LiveService) -> set[str]:
    """The callbacks in the service's database, whichever that is."""
    if is_on_postgres(service):
        return set(stored(service.environment["DATABASE_URL"]))
    return stored_bodies(service.database)


def stored_bodies(database: Path) -> set[str]:
    """The callbacks in the database; none if it cannot be read."""
    try:
        return {row[1] for row in query(database, PARAMETERS)}
    except sqlite3.Error:
        return set()


def spooled_bodies(folder: Path) -> set[str]:
    """The callbacks in a folder of spool files; none if there is no such folder."""
    bodies = set()
    for path in [path for suffix in SUFFIXES for path in folder.glob(f"*{suffix}")]:
        try:
            bodies |= {json.loads(line)["body"] for line in path.read_text().splitlines()}
        except FileNotFoundError:
            continue  # drained meanwhile
    return bodies


def logged_callbacks(service: LiveService) -> list[Callback]:
    """The callbacks in the log's lines of last resort."""
    with open(service.log, encoding="utf-8", errors="replace") as lines:
        found = list(read_log(lines, [service.plivo.token]))
    assert not any(isinstance(callback, NotReadable) for callback in found)
    return [callback for callback in found if isinstance(callback, Callback)]


def integrity(database: Path) -> str:
    """What SQLite's integrity_check says: `ok`, or what is wrong."""
    return "; ".join(str(row[0]) for row in query(database, "PRAGMA integrity_check"))


def look(service: LiveService, sql: str) -> list[tuple[Any, ...]]:
    """Ask the service's database from outside."""
    if is_on_postgres(service):
        return ask(service.environment["DATABASE_URL"], sql)
    return query(service.database, sql)


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the database file from outside the service."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as reader:
        reader.create_function("unpack", 6, unpack)
        return reader.execute(sql).fetchall()


def replay(service: LiveService) -> str:
    """`flask --app wsgi replay -` of the service's log; what it says."""
    names = ("DATABASE_URL", "SPOOL_DIR")
    where = {name: service.environment[name] for name in names if name in service.environment}
    with open(service.log, "rb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", "replay", "-"],
            cwd=ROOT,
            env=environment(service.database.parent, service.plivo.base_url, **where),
            stdin=log,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
