"""The disk neither takes a write nor refuses it: an fsync that does not end, by strace."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..live import LiveService, live_service, wait_until
from ..signed import Plivo, send
from .conftest import Figure, Promise
from .load import Load, slowest
from .raw import connect, is_readable, read_reply, wire
from .reconcile import (
    integrity,
    is_ready,
    logged_callbacks,
    missing,
    wait_until_drained,
    wait_until_ready,
)
from .tracing import strace, worker_pid
from .workers import Impatient, serve_with

CLIENTS = 48  # more than threads, so that waiting for one counts too
_HANGING = {"the database's": "fdatasync", "every": "fdatasync,fsync"}


@pytest.mark.parametrize("which", _HANGING)
def test_callbacks_are_answered_within_5_seconds_and_kept_while_fsync_hangs(
    service: LiveService, tmp_path: Path, full: bool, figure: Figure, promise: Promise, which: str
) -> None:
    """In the spool, or, if its fsync hangs as well, in the log. strace lets go of it at the end."""
    names = _HANGING[which]
    hang = f"inject={names}:delay_enter={300 * 1_000_000}"
    with Load(service.port, service.plivo, clients=CLIENTS, pause=0.5) as load:
        load.wait_for(CLIENTS)
        with strace(worker_pid(service), tmp_path / "trace", "-e", f"trace={names}", "-e", hang):
            began = time.monotonic()
            wait_until(lambda: _gave_up(service), what="the store has given up waiting")
            load.wait_for(CLIENTS)
            load.go_on(began + 20 - time.monotonic() if full else 0)
            assert not is_ready(service)
            lost = missing(load.acknowledged, service)
            seconds = time.monotonic() - began
        wait_until_ready(service)
        load.wait_for(CLIENTS)
    wait_until_drained(service)
    lost += missing(load.acknowledged, service)
    figure(
        f"{which} fsync hanging for {seconds:.0f} s under load from {CLIENTS} clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        f"missing: {len(lost)}",
    )
    assert load.not_kept_and_not_told(full=full) == []
    assert which != "every" or logged_callbacks(service)
    promise(slowest(load.deliveries))
    assert lost == []
    assert integrity(service.database) == "ok"


def test_callbacks_are_answered_and_stored_while_the_disk_of_the_log_hangs(
    service: LiveService, tmp_path: Path, promise: Promise
) -> None:
    """A forged request makes a log line, which is written in the end."""
    hang = f"inject=write:delay_enter={300 * 1_000_000}"
    forger = Plivo(token="another", base_url=service.plivo.base_url)
    options = ("-P", str(service.log), "-e", "trace=write", "-e", hang)
    with strace(worker_pid(service), tmp_path / "trace", *options):
        assert send(forger.post(forger.fields("sent")), service.address)[0] == 403
        with Load(service.port, service.plivo) as load:
            load.wait_for(20)
        assert "refused with 403" not in service.log.read_text()
        assert missing(load.acknowledged, service) == []
    assert load.others == []
    promise(slowest(load.deliveries))
    wait_until(lambda: "refused with 403" in service.log.read_text(), what="the line is written")


def test_a_connection_is_kept_though_its_answer_took_longer_than_a_client_has_to_send(
    tmp_path: Path,
) -> None:
    """What limits the sending of a request must not end the connection of one that came whole."""
    hang = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=300000000")
    with live_service(tmp_path, **serve_with(Impatient)) as service:
        with connect(service.port) as client, strace(worker_pid(service), tmp_path / "t", *hang):
            client.sendall(wire(service.plivo.post(service.plivo.fields("sent"))))
            assert read_reply(client) == (200, b"", False)
            assert not is_readable(client, 1), "the service has hung up"
            client.sendall(wire(service.plivo.post(service.plivo.fields("delivered"))))
            assert read_reply(client).status == 200
        assert _gave_up(service), "the answer did not take long"


def _gave_up(service: LiveService) -> bool:
    return "no commit within 3 s" in service.log.read_text()
