"""One page of the database is overwritten: what belongs to it waits, and nothing behind it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ..live import LiveService, wait_until
from ..signed import Plivo, send
from .conftest import Figure
from .load import Load
from .reconcile import logged_callbacks, not_stored, replay, spooled_bodies

MESSAGES = 3000


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def filled(database: Path) -> None:
    """Many messages by SQL, all in the file itself, none in the -wal."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        (first,) = connection.execute("SELECT * FROM messages LIMIT 1").fetchall()
        cursor = connection.execute("SELECT * FROM messages LIMIT 0")
        columns = [column[0] for column in cursor.description if column[0] != "id"]
        listed = ", ".join(columns)
        connection.execute("BEGIN")
        for number in range(MESSAGES):
            connection.execute(
                f"INSERT INTO messages ({listed}) SELECT "
                f"{listed.replace('message_uuid', '?', 1)} FROM messages WHERE id = ?",
                (uuid_of(number), first[0]),
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class Page(NamedTuple):
    """Where it is in the file, and what it held."""

    at: int
    content: bytes

    def write(self, database: Path, content: bytes) -> None:
        with open(database, "r+b") as file:
            file.seek(self.at)
            file.write(content)


def page_of_table(database: Path, message_uuid: str) -> Page:
    """The leaf of the table messages that holds this one; a damaged index would be made again.

    A table's leaf begins with 13 (https://www.sqlite.org/fileformat2.html, section 1.6).
    """
    with closing(sqlite3.connect(database)) as connection:
        size: int = connection.execute("PRAGMA page_size").fetchall()[0][0]
    content = database.read_bytes()
    (page,) = [
        at
        for at in range(0, len(content), size)
        if content[at] == 13 and message_uuid.encode() in content[at : at + size]
    ]
    return Page(page, content[page : page + size])


def test_what_belongs_to_an_overwritten_page_is_passed_by_and_goes_once_it_is_put_back(
    tmp_path: Path, figure: Figure
) -> None:
    service = LiveService(tmp_path)
    try:
        service.start()
        assert send(service.plivo.post(service.plivo.fields("sent")), service.address)[0] == 200
        assert service.stop() == 0
        filled(service.database)
        poisoned = uuid_of(MESSAGES // 2)
        page = page_of_table(service.database, poisoned)
        page.write(service.database, b"\xff" * len(page.content))
        service.start()
        _go_on(service, poisoned, page, figure)
    finally:
        service.kill()


def _go_on(service: LiveService, poisoned: str, page: Page, figure: Figure) -> None:
    plivo: Plivo = service.plivo
    request = plivo.post(plivo.fields("delivered", poisoned))
    assert send(request, service.address)[0] == 200
    wait_until(lambda: b'kind="stuck"} 1' in service.get("/metrics")[1], 60, "it is passed by")
    with Load(service.port, plivo, clients=2, pause=0.02) as load:
        load.wait_for(100)
    waiting = {request.body.decode()}
    wait_until(lambda: spooled_bodies(service.spool) == waiting, 60, "all others are applied")
    if logged_callbacks(service):  # the spool took too long for them
        replay(service)
    lost = not_stored(load.acknowledged, service)
    page.write(service.database, page.content)
    # Whoever has the page in its cache gives it up after another's write.
    with closing(sqlite3.connect(service.database, timeout=60)) as other, other:
        other.execute("UPDATE messages SET message_body = 'x' WHERE id = 1")
    wait_until(lambda: not spooled_bodies(service.spool), 60, "it goes as well")
    figure(
        "one page of the messages overwritten, then put back, under load from 2 clients",
        f"{len(load.acknowledged) + 1} answered 200, 1 passed by until then, missing: {len(lost)}",
    )
    assert load.others == []
    assert lost == []
    assert "cannot go now, passed by: SQLITE_CORRUPT" in service.log.read_text()
