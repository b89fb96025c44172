"""What becomes of files that somebody deletes just while the writer looks at them."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.sqlite import watch
from smsstatus.store.sqlite.committer import Committer

LOOKS = 6
"""At three files before a transaction, and at three after it."""


@pytest.mark.parametrize("looks", range(1, LOOKS + 1))
def test_files_that_are_all_deleted_during_a_look_are_put_back_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    path = tmp_path / "sms.db"
    committer = Committer(path)
    keep(committer, 1)
    look, looked = watch._identity, []

    def look_and_delete(at: Path) -> watch.Identity | None:
        found = look(at)
        looked.append(at)
        if len(looked) == looks:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(watch, "_identity", look_and_delete)
        with suppress(StoreUnavailable):  # what it was sure to keep is what it answered for
            keep(committer, 2)
    keep(committer, 3)
    committer.close()
    with closing(sqlite3.connect(path)) as connection:
        assert {1, 3} <= {number for (number,) in connection.execute("SELECT number FROM kept")}


def keep(committer: Committer, number: int) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number)")
        connection.execute("INSERT INTO kept VALUES (?)", (number,))

    committer.commit([work])
