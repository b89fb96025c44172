"""The spool: what a captured request leaves in it, how it is counted, what cannot go now."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient

from smsstatus.intake import bad as bad_folder
from smsstatus.intake import replay as replaying
from smsstatus.intake.bad import REMOVED
from smsstatus.intake.drainer import Drainer
from smsstatus.intake.records import read_file
from smsstatus.intake.replay import Replayed, drain
from smsstatus.intake.spool import Spool, SpoolUnavailable
from smsstatus.plivo.callback import Callback
from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.store.contract import StoreUnavailable
from smsstatus.web.current import service_of

from ..conftest import Deliver, Query
from ..live import wait_until
from ..signed import Plivo

RECEIVED = "2026-11-01T12:00:00.000000Z"


@pytest.fixture
def service(client: FlaskClient) -> Service:
    return service_of(client.application)


@pytest.fixture
def spool(settings: Settings) -> Spool:
    made = Spool(settings.spool_dir)
    made.prepare()
    return made


def callback(message_uuid: str, moment: str = RECEIVED) -> Callback:
    return Callback("POST", "", urlencode(Plivo().fields("sent", message_uuid)), moment)


def unusable(number: int) -> Callback:
    return Callback("POST", "", f"Status=sent&Number={number}", RECEIVED)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.json"))


def test_an_unusable_request_that_comes_again_and_again_makes_one_file_and_one_line(
    deliver: Deliver, plivo: Plivo, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    request = plivo.post({"Status": "sent", "Text": "Hello"})
    assert {deliver(request).status_code for _ in range(30)} == {200}
    assert len(names(settings.spool_dir / "bad")) == 1
    assert caplog.text.count("cannot be used") == 1


@pytest.mark.parametrize("cut", ["Statu=ssent", "Status=se&nt=", "%53tatus=sent", "S=tatussent"])
def test_an_unusable_request_that_is_cut_elsewhere_makes_no_second_file(
    spool: Spool, cut: str
) -> None:
    """V3 signs them alike, so whoever captured one of them has them all."""
    kept = Callback("POST", "", "Status=sent", RECEIVED)
    assert spool.keep_bad(kept, "a reason")
    assert not spool.keep_bad(kept._replace(body=cut), "a reason")
    assert spool.depth().bad == 1


def test_what_the_store_refused_is_set_aside_beside_another_cut_of_its_text(spool: Spool) -> None:
    """One of the two is Plivo's own, and nobody can say here which."""
    spool.keep_bad(Callback("POST", "", "Statu=ssent", RECEIVED), "a reason")
    spool.keep(Callback("POST", "", "Status=sent", RECEIVED), "a reason")
    (line,) = read_file(spool.folder / names(spool.folder)[0])
    spool.set_aside(line, "a reason")
    bodies = {json.loads(path.read_text())["body"] for path in spool.bad.glob("*.json")}
    assert bodies == {"Statu=ssent", "Status=sent"}


def test_a_bad_folder_that_cannot_be_tidied_keeps_nothing_from_being_drained(
    spool: Spool, service: Service
) -> None:
    class Full(Spool):
        def tidy_bad(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    spool.keep(callback("a"), "a reason")
    drainer = Drainer(service.store, Full(spool.folder))
    drainer.start()
    wait_until(lambda: not names(spool.folder))
    drainer.stop()


def test_a_request_that_comes_again_while_the_database_is_down_makes_one_file(
    spool: Spool, service: Service, query: Query
) -> None:
    again = "2026-11-01T12:01:00.000000Z"
    for moment in (RECEIVED, again, again):
        spool.keep(callback("a", moment), "a reason")
    encoded = callback("a").body.replace("sent", quote("sent").replace("s", "%73"))
    spool.keep(callback("a")._replace(body=encoded), "a reason")
    assert len(names(spool.folder)) == spool.depth().waiting == 1
    drain(service.store, spool)
    spool.keep(callback("a", again), "a reason")  # its file is gone, so it gets a new one
    assert len(names(spool.folder)) == 1
    assert query("SELECT created_at FROM messages") == [{"created_at": RECEIVED}]


def test_a_removed_file_does_not_stand_for_its_callback(spool: Spool) -> None:
    for _ in range(2):
        spool.keep(callback("a"), "a reason")
        assert len(names(spool.folder)) == 1
        (spool.folder / names(spool.folder)[0]).unlink()


@pytest.mark.parametrize(("bound", "value"), [("BAD_FILES", 10), ("BAD_BYTES", 2000)])
def test_bad_is_bounded_and_what_was_removed_is_counted_by_reason(
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bound: str,
    value: int,
) -> None:
    monkeypatch.setattr(bad_folder, bound, value)
    for number in range(60):
        spool.keep_bad(unusable(number), f"reason {number % 2}")
    for number, path in enumerate(sorted(spool.bad.glob("*.json"))):
        os.utime(path, (number, number))
    newest = sorted(spool.bad.glob("*.json"))[-5:]
    spool.tidy_bad()
    kept = list(spool.bad.glob("*.json"))
    assert set(newest) <= set(kept)
    assert len(kept) <= 10 if bound == "BAD_FILES" else 200 * len(kept) < 2500
    counts = json.loads((spool.bad / REMOVED).read_text())
    assert set(counts) == {"reason 0", "reason 1"}
    assert sum(counts.values()) + len(kept) == 60
    assert spool.depth().bad == len(kept)
    assert caplog.text.count("bad/ held too much") == 1
    spool.tidy_bad()
    assert sum(json.loads((spool.bad / REMOVED).read_text()).values()) + len(kept) == 60


def test_the_depth_is_known_without_listing_and_a_listing_sees_what_others_added(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.keep(callback("a"), "a reason")
    Spool(spool.folder).keep(callback("b"), "a reason")
    listings: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", listings.append)
        assert spool.depth().waiting == 1
    assert listings == []
    spool.list_files()
    assert spool.depth().waiting == 2


def test_a_spool_that_cannot_be_listed_has_no_depth(spool: Spool) -> None:
    spool.bad.rmdir()
    spool.folder.rmdir()
    with pytest.raises(SpoolUnavailable):
        Spool(spool.folder).depth()


def test_the_oldest_are_listed_first_and_others_files_are_left_out(spool: Spool) -> None:
    for name in ("3.json", "1.json", "2.json", ".4.json", "x.json", "5.txt"):
        (spool.folder / name).write_text("{}")
    assert spool.list_files() == ["1.json", "2.json", "3.json"]
    assert spool.list_files(2) == ["1.json", "2.json"]
    assert spool.depth().waiting == 3


def _folder(path: Path) -> None:
    path.mkdir()


def _broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path)


UNREADABLE: dict[str, Callable[[Path], None]] = {
    "a folder": _folder,
    "a broken link": _broken_link,
    "a link to itself": _loop,
}


@pytest.mark.parametrize(
    "name", ["1.json", os.fsdecode(b"1\xff\n.json")], ids=["a name", "a name in no encoding"]
)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_passed_by_counted_and_tried_again_later(
    spool: Spool, service: Service, query: Query, kind: str, name: str
) -> None:
    UNREADABLE[kind](spool.folder / name)
    for message in ("a", "b"):
        spool.keep(callback(message), "a reason")
    assert drain(service.store, spool) == Replayed(applied=2, stuck=1)
    assert spool.depth()[:2] == (1, 0)
    assert spool.depth().stuck == 1
    assert drain(service.store, spool) == Replayed()  # not yet
    path = spool.folder / name
    path.rmdir() if kind == "a folder" else path.unlink()
    path.write_text(json.dumps(callback("c")._asdict()))
    spool.stuck[name].again_at = 0.0
    assert drain(service.store, spool) == Replayed(applied=1)
    assert spool.depth()[:2] == (0, 0)
    assert spool.depth().stuck == 0
    assert len(query("SELECT * FROM messages")) == 3


def test_a_stuck_file_that_somebody_removed_is_forgotten(spool: Spool, service: Service) -> None:
    (spool.folder / "1.json").mkdir()
    drain(service.store, spool)
    (spool.folder / "1.json").rmdir()
    spool.list_files()
    assert spool.depth().stuck == 0


def test_it_is_tried_again_after_longer_and_longer_pauses(spool: Spool) -> None:
    pauses = []
    for _ in range(10):
        spool.pass_by("1.json", "a reason")
        pauses.append(spool.stuck["1.json"].pause)
    assert pauses[:3] == [5.0, 10.0, 20.0]
    assert pauses[-1] == 600.0


def test_what_is_stuck_shows_in_readyz_and_metrics(client: FlaskClient, service: Service) -> None:
    (service.spool.folder / "1.json").mkdir()
    drain(service.store, service.spool)
    found = client.get("/readyz").get_json()
    assert (found["spooled"], found["stuck"], found["ready"]) == (1, 1, True)
    assert 'smsstatus_spool_files{kind="stuck"} 1' in client.get("/metrics").text


def test_a_store_that_takes_nothing_stops_the_pass_at_the_first_file(
    spool: Spool, service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "TRIAL_SECONDS", 0.0)
    for number in range(3):
        spool.keep(callback(str(number)), "a reason")
    settings.database_path.unlink()
    settings.database_path.mkdir()
    with pytest.raises(StoreUnavailable, match="SQLITE_CANTOPEN"):
        drain(service.store, spool)
    assert spool.depth()[:2] == (3, 0)
    assert spool.depth().stuck == 0
