"""Copying from one database into another, for tests."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from click.testing import CliRunner, Result

from smsstatus.commands.copy import command
from smsstatus.settings.database_url import read_database_url
from smsstatus.store.contract import Filters, Store
from smsstatus.store.opening import open_mover

from ..postgres import ask


def opened(url: str) -> Store:
    return open_mover(read_database_url(url), may_create=True).store


def copy(source: str, target: str, *options: str) -> Result:
    arguments = ["--from", source, "--to", target, *options]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "Traceback" not in done.output
    return done


def content(store: Store) -> list[object]:
    return [store.find(message.message_uuid) for message in store.walk(Filters())]


def change(url: str, statement: str) -> None:
    """What somebody does with the database's own shell. Blobs are x'..' in both."""
    path = read_database_url(url).path
    if path is None:
        ask(url, statement.replace("= x'", "= '\\x"))
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
