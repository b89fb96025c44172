"""Somebody deletes, replaces, cuts, overwrites or locks away the database file under load.

Two promises differ by the kind of damage, so each test says which it is about:

* `since`: callbacks that came after the damage was done. None that is answered 200 is ever lost.
  (One that is on its way at that moment may have been committed just before it.)
* `all`: those answered 200 before as well, where the open connection still has them.

Callbacks are answered 200 within 5 seconds in every case.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..commands.conftest import run_beside
from ..live import LiveService, live_service, wait_until
from .conftest import Figure, Promise
from .load import Delivery, Load, slowest
from .reconcile import (
    gather,
    integrity,
    is_ready,
    logged_callbacks,
    missing,
    not_stored,
    query,
    spooled_bodies,
    stored_bodies,
    wait_until_ready,
    wait_until_spooled,
)
from .tracing import held, strace, worker_pid

Report = Callable[[str, Load, float, list[Delivery]], None]


@pytest.fixture
def service(tmp_path: Path, limits: dict[str, str]) -> Iterator[LiveService]:
    """With a log that also says when the drainer has tried in vain."""
    with live_service(tmp_path, LOG_LEVEL="debug", **limits) as running:
        yield running


@pytest.fixture
def report(figure: Figure, promise: Promise) -> Report:
    """Report `what` was done, and how many answers since then were given, how fast, and lost."""

    def tell(what: str, load: Load, since: float, lost: list[Delivery]) -> None:
        mattering = len(_answered(load, since))
        scope = "since the damage began" if since else "before and since"
        figure(
            what,
            f"{mattering:,} answered 200 {scope}, slowest {slowest(load.deliveries):.2f} s, "
            f"missing: {len(lost)}",
        )
        promise(slowest(load.deliveries))

    return tell


@pytest.fixture
def load(service: LiveService) -> Iterator[Load]:
    """8 clients that have been at it for a while."""
    with Load(service.port, service.plivo, pause=0.05) as load:
        load.wait_for(150)
        yield load


def test_a_deleted_database_is_put_back_with_everything_from_before_and_since(
    service: LiveService, load: Load, report: Report
) -> None:
    service.database.unlink()
    _goes_on(service, load, report, "database deleted (put back from the open connection)")
    assert "was deleted: putting it back" in service.log.read_text()


def test_a_database_deleted_with_its_wal_and_shm_is_put_back_with_everything(
    service: LiveService, load: Load, report: Report
) -> None:
    for path in (service.database, _beside(service, "-wal"), _beside(service, "-shm")):
        path.unlink()
    _goes_on(service, load, report, "database deleted with -wal and -shm (put back)")
    assert "was deleted: putting it back" in service.log.read_text()


@pytest.mark.parametrize("command", ["messages", "replay", "init-db"])
def test_a_database_that_a_command_finds_deleted_is_put_back_with_everything(
    service: LiveService, load: Load, report: Report, command: str
) -> None:
    """The command comes before the service has noticed. Only `init-db` makes an empty one."""
    with held(worker_pid(service)):
        for path in service.database.parent.glob(service.database.name + "*"):
            if path.is_file():
                path.unlink()
        run_beside(service, command)
        assert service.database.exists() == (command == "init-db")
    _goes_on(service, load, report, f"database deleted, then `{command}` (put back)")
    assert "putting" in service.log.read_text()


def test_a_database_deleted_just_before_a_restart_is_put_back_with_everything(
    service: LiveService, load: Load, report: Report
) -> None:
    """No callback comes between the deletion and SIGTERM."""
    load.stop()
    service.database.unlink()
    assert service.stop() == 0
    service.start()
    lost = not_stored(load.acknowledged, service)
    report("database deleted just before a restart", load, 0.0, lost)
    _check(service, load, lost)


def test_a_deleted_wal_costs_nothing_from_before_and_since(
    service: LiveService, load: Load, report: Report
) -> None:
    _beside(service, "-wal").unlink()
    _goes_on(service, load, report, "-wal deleted (its content is written to the database)")
    assert "-wal was removed" in service.log.read_text()


def test_an_overwritten_header_costs_nothing_from_before_and_since(
    service: LiveService, load: Load, report: Report, promise: Promise
) -> None:
    """Under load page 1 is soon in the WAL again, so that the damage may not even be seen."""
    _overwrite_header(service.database)
    began = time.monotonic()
    wait_until(lambda: stored_bodies(service.database), what="the file can be read by others")
    promise(time.monotonic() - began, 10)
    _goes_on(service, load, report, "header overwritten (written again within 10 s)")


def test_an_overwritten_header_is_noticed_and_written_anew_in_10_seconds_without_any_callback(
    service: LiveService, load: Load, figure: Figure, promise: Promise
) -> None:
    """After a checkpoint, so that nobody else can open the database."""
    load.stop()
    wait_until(lambda: _checkpoint(service.database, "FULL"), what="all is in the database file")
    with held(worker_pid(service)):
        _overwrite_header(service.database)
        with pytest.raises(sqlite3.DatabaseError):
            query(service.database, "SELECT count(*) FROM messages")
    began = time.monotonic()
    wait_until(lambda: stored_bodies(service.database), what="the file can be read by others")
    seconds = time.monotonic() - began
    lost = not_stored(load.acknowledged, service)
    figure(
        "header overwritten while no callbacks come",
        f"written again after {seconds:.1f} s, {len(load.acknowledged):,} answered 200 before, "
        f"missing: {len(lost)}",
    )
    promise(seconds, 10)
    _check(service, load, lost)
    assert "database cannot be read, writing its header again" in service.log.read_text()


def test_a_replaced_database_is_used_and_nothing_answered_since_is_lost(
    service: LiveService, load: Load, tmp_path: Path, report: Report
) -> None:
    """An older backup is moved into place. What it does not have, from before, is gone."""
    in_backup, gone = _older_backup(service, load, tmp_path / "backup.db")
    os.replace(tmp_path / "backup.db", service.database)
    _goes_on(
        service,
        load,
        report,
        "database replaced by an older backup (adopted)",
        time.monotonic(),
    )
    assert "was replaced: using the new one" in service.log.read_text()
    stored = stored_bodies(service.database)
    assert in_backup <= stored
    assert gone
    assert not gone & stored, "the old file's WAL was applied to the new file"


def test_a_database_replaced_just_before_a_restart_is_not_damaged_by_the_old_files_wal(
    service: LiveService, load: Load, tmp_path: Path, figure: Figure
) -> None:
    """What a person does who restores a backup in a hurry: move it into place, then restart."""
    in_backup, gone = _older_backup(service, load, tmp_path / "backup.db")
    load.stop()
    os.replace(tmp_path / "backup.db", service.database)
    assert service.stop() == 0
    service.start()
    stored = stored_bodies(service.database)
    found = integrity(service.database)
    figure("database replaced just before a restart", f"integrity {found}")
    assert found == "ok"
    assert in_backup <= stored
    assert gone
    assert not gone & stored, "the old file's WAL was applied to the new file"


def test_a_dropped_schema_is_created_again_and_nothing_answered_since_is_lost(
    service: LiveService, load: Load, report: Report
) -> None:
    with closing(sqlite3.connect(service.database, timeout=60)) as vandal:
        vandal.executescript(
            "BEGIN IMMEDIATE; DROP TABLE status_events; DROP TABLE messages; DROP TABLE v2_nonces;"
            "COMMIT;"
        )
        began = time.monotonic()
    _goes_on(service, load, report, "schema dropped (created again, empty)", began)


def test_a_truncated_database_is_left_alone_until_it_is_moved_away_and_nothing_since_is_lost(
    service: LiveService, load: Load, report: Report
) -> None:
    """Callbacks stay in the spool, /readyz says 503, the log says what to do. Then it drains."""
    os.truncate(service.database, 0)
    began = time.monotonic()

    def undo() -> None:
        assert service.database.stat().st_size == 0, "the cut file was written to"
        for path in (service.database, _beside(service, "-wal"), _beside(service, "-shm")):
            if path.exists():
                path.rename(path.with_name("cut-" + path.name))

    _waits_in_the_spool(
        service,
        load,
        report,
        "database truncated to 0 (spooled until it is moved away)",
        began,
        undo,
    )
    assert "was truncated: move it and its -wal and -shm away" in service.log.read_text()


def test_an_overwritten_page_of_an_index_is_noticed_and_the_index_made_anew(
    service: LiveService, load: Load, report: Report
) -> None:
    """Callbacks that meet the page are spooled until then."""
    load.stop()
    assert service.stop() == 0  # all is in the database file, and no page in anybody's cache
    ((root,),) = query(
        service.database,
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_messages_1'",
    )
    ((size,),) = query(service.database, "PRAGMA page_size")
    with open(service.database, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(os.urandom(size))
    service.start()
    with Load(service.port, service.plivo, pause=0.02) as after:
        wait_until(lambda: "was rebuilt" in service.log.read_text(), what="it is rebuilt")
        after.wait_for(50)
    gather(service)
    load.deliveries += after.deliveries
    lost = not_stored(load.acknowledged, service)
    report("page of an index overwritten (the index is rebuilt)", load, 0.0, lost)
    wait_until_ready(service)
    _check(service, load, lost)


def test_where_a_table_is_damaged_too_nothing_is_made_anew_and_readyz_says_so(
    service: LiveService, load: Load
) -> None:
    load.stop()
    assert service.stop() == 0
    ((size,),) = query(service.database, "PRAGMA page_size")
    roots = query(
        service.database,
        """SELECT rootpage FROM sqlite_master
           WHERE name IN ('status_events', 'sqlite_autoindex_messages_1')""",
    )
    with open(service.database, "r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * size)
            file.write(os.urandom(size))
    service.start()
    with Load(service.port, service.plivo, pause=0.02) as after:
        wait_until(lambda: "cannot be rebuilt" in service.log.read_text(), what="it was tried")
        after.wait_for(10)
    assert not is_ready(service)
    done = run_beside(service, "doctor")
    assert "is damaged" in done.stdout or "SQLITE_CORRUPT" in done.stdout
    kept_since = missing(after.acknowledged, service)
    assert (kept_since, after.others) == ([], [])


def test_while_the_database_is_immutable_callbacks_are_spooled_and_nothing_is_lost(
    service: LiveService, load: Load, report: Report
) -> None:
    """`chattr +i`: unlike permissions it also stops those who have the file open."""
    files = [service.database, _beside(service, "-wal")]
    _chattr("+i", files)
    try:
        _waits_in_the_spool(
            service,
            load,
            report,
            "database made read-only by chattr +i (spooled meanwhile)",
            0.0,
            lambda: _chattr("-i", files),
        )
    finally:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _chattr("-i", [path for path in files if path.exists()])
    assert "store is not writable" in service.log.read_text()


def test_while_the_file_system_is_read_only_callbacks_are_spooled_and_nothing_is_lost(
    service: LiveService, load: Load, tmp_path: Path, report: Report
) -> None:
    """strace answers each of SQLite's writes with EROFS."""
    with contextlib.ExitStack() as read_only:
        read_only.enter_context(
            strace(
                worker_pid(service),
                tmp_path / "trace",
                "-e",
                "trace=pwrite64",
                "-e",
                "inject=pwrite64:error=EROFS",
            )
        )
        _waits_in_the_spool(
            service,
            load,
            report,
            "file system of the database read-only (spooled meanwhile)",
            0.0,
            read_only.close,
        )
    assert "store is not writable" in service.log.read_text()


def _goes_on(
    service: LiveService,
    load: Load,
    report: Report,
    what: str,
    since: float = 0.0,
) -> None:
    """After damage that the service repairs by itself: all that matters ends in the database."""
    load.wait_for(150)
    wait_until_ready(service)
    load.wait_for(50)
    load.stop()
    gather(service)
    lost = not_stored(_answered(load, since), service)
    report(what, load, since, lost)
    _check(service, load, lost)


def _waits_in_the_spool(
    service: LiveService,
    load: Load,
    report: Report,
    what: str,
    since: float,
    undo: Callable[[], None],
) -> None:
    """Damage that lasts: not ready, spooling, nothing missing; after `undo` all is drained."""
    wait_until_spooled(service, 50)
    assert not is_ready(service)
    in_vain = _drained_in_vain(service)  # the drainer must not take the damage for repaired
    wait_until(lambda: _drained_in_vain(service) > in_vain + 1, what="the drainer has tried twice")
    assert not is_ready(service)
    # The database may be unreadable meanwhile: then what was stored before counts when it is back.
    last = time.monotonic()
    load.wait_for(20)
    during = missing(_answered(load, last), service)
    undo()
    wait_until_ready(service)
    load.wait_for(50)
    load.stop()
    gather(service)
    lost = during + not_stored(_answered(load, since), service)
    report(what, load, since, lost)
    _check(service, load, lost)


def _answered(load: Load, since: float) -> list[Delivery]:
    return [delivery for delivery in load.acknowledged if delivery.began >= since]


def _check(service: LiveService, load: Load, lost: list[Delivery]) -> None:
    assert lost == []
    assert load.others == []
    assert not list((service.spool / "bad").iterdir())
    assert missing(load.acknowledged[-1:], service) == []
    assert integrity(service.database) == "ok"
    # What a restart finds is the same: nothing was true only in the memory of the process.
    found = stored_bodies(service.database)
    service.kill()
    service.start()
    assert found <= stored_bodies(service.database)
    assert integrity(service.database) == "ok"


def _beside(service: LiveService, suffix: str) -> Path:
    return service.database.with_name(service.database.name + suffix)


def _overwrite_header(database: Path) -> None:
    with open(database, "r+b") as file:
        file.write(os.urandom(100))


def _older_backup(service: LiveService, load: Load, target: Path) -> tuple[set[str], set[str]]:
    """Back up, then go on, checkpoint, and go on: the WAL holds a part of what came since.

    The callbacks in the backup, and those that came after it was made: without what is in the
    spool or the log, which goes to whichever file is there when it is drained or replayed.
    """
    with (
        closing(sqlite3.connect(service.database, timeout=60)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        load.wait_for(100)
        wait_until(lambda: _checkpoint(service.database, "TRUNCATE"), what="the WAL is empty")
        load.wait_for(50)
    answered = {delivery.body for delivery in load.acknowledged}
    answered -= spooled_bodies(service.spool)
    answered -= {callback.body for callback in logged_callbacks(service)}
    in_backup = stored_bodies(target)
    return in_backup, (answered & stored_bodies(service.database)) - in_backup


def _checkpoint(database: Path, mode: str) -> bool:
    """Have all of the WAL copied to the database file; False if something kept it from that."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        ((busy, in_wal, copied),) = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    return not busy and bool(in_wal == copied)


def _drained_in_vain(service: LiveService) -> int:
    return service.log.read_text().count("spool not drained")


def _chattr(flag: str, files: list[Path]) -> None:
    program = shutil.which("chattr")
    done = program and subprocess.run([program, flag, *map(str, files)], check=False)
    if not done or done.returncode:
        pytest.skip("NOT CHECKED: chattr cannot be used here (root and ext4 are needed)")
