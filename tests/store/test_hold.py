"""One at a time: who holds a name, in this process or another, and that nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.sqlite.store import SqliteStore

HOLD = """
import sys
from pathlib import Path
from smsstatus.store.sqlite.store import SqliteStore

with SqliteStore(Path(sys.argv[1])).hold("prune") as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


def test_one_holds_a_name_until_its_block_ends(tmp_path: Path) -> None:
    one, other = (SqliteStore(tmp_path / "sms.db") for _ in range(2))
    with one.hold("prune") as first:
        with other.hold("prune") as second, one.hold("prune") as third, one.hold("reconcile") as of:
            assert (first, second, third, of) == (True, False, False, True)
        with other.hold("prune") as still:
            assert not still
    with other.hold("prune") as next_one:
        assert next_one


def test_what_a_dead_process_held_is_free(tmp_path: Path) -> None:
    path = tmp_path / "sms.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with SqliteStore(path).hold("prune") as is_ours:
            assert not is_ours
        holder.kill()
    with SqliteStore(path).hold("prune") as is_ours:
        assert is_ours


def test_a_store_that_cannot_say_who_holds_it_is_unavailable(tmp_path: Path) -> None:
    missing = SqliteStore(tmp_path / "no such folder" / "sms.db")
    with pytest.raises(StoreUnavailable), missing.hold("prune"):
        pass
