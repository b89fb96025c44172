"""Which store the settings name: the only module that knows which ones there are."""

from __future__ import annotations

from ..settings import Settings
from ..settings.database_url import Database
from .contract import Store
from .groupcommit import Observer
from .moving import Mover
from .outbox import Wanted
from .sqlite.store import SqliteStore


def open_store(settings: Settings, observe: Observer, *, may_create: bool) -> Store:
    """The store that DATABASE_URL names. Nothing is opened before its first use.

    `observe(tickets, seconds)` is called after each commit. Without `may_create`, only
    `Store.prepare` makes a database that is missing.
    """
    wanted = None
    if settings.forward_url is not None:
        wanted = Wanted(settings.forward_statuses, settings.forward_latest_only)
    database = settings.database
    if database.path is not None:
        return SqliteStore(database.path, observe, may_create=may_create, wanted=wanted)
    from .postgres.store import PostgresStore  # with its driver, which costs 11 MB

    return PostgresStore(
        database.url, observe, connections=settings.database_connections, wanted=wanted
    )


def open_mover(database: Database, *, may_create: bool) -> Mover:
    """A store to copy from or to. Nothing is opened before its first use."""
    if database.path is not None:
        from .sqlite.moving import SqliteMover

        return SqliteMover(SqliteStore(database.path, may_create=may_create))
    from .postgres.moving import PostgresMover
    from .postgres.store import PostgresStore

    return PostgresMover(PostgresStore(database.url))
