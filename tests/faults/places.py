"""Where a fault test's service keeps its data: in SQLite's file, or in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.store.contract import Filters
from smsstatus.store.postgres.store import PostgresStore

from ..live import LiveService

Place = Callable[[Path], dict[str, str]]
"""The variables of a service in this folder, whose database is new."""

POSTGRES = "postgres"

on_both = pytest.mark.parametrize("place", ["sqlite", POSTGRES], indirect=True)
on_both_in_full = pytest.mark.parametrize(
    "place", ["sqlite", pytest.param(POSTGRES, marks=pytest.mark.slow)], indirect=True
)
"""On PostgreSQL only by `make faults`."""


def sqlite(folder: Path) -> dict[str, str]:
    """A file of that folder's, as without any variable."""
    return {}


def postgres(folder: Path, url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "SPOOL_DIR": str(folder / "sms.db-spool")}


def is_on_postgres(service: LiveService) -> bool:
    return service.environment["DATABASE_URL"].startswith("postgres")


def stored(url: str) -> dict[str, str]:
    """The callbacks in a database of PostgreSQL's, and the current_status of each one's message."""
    bodies = {}
    with closing(PostgresStore(url)) as store:
        for message in store.walk(Filters()):
            found = store.find(message.message_uuid)
            assert found is not None
            bodies |= {event.parameters: found.current_status for event in found.events or ()}
    return bodies
