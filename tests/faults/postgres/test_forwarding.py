"""What is forwarded from PostgreSQL arrives, in order, whichever of several processes ends."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ...forwarding.receivers import Answer, Receiver
from ...live import wait_until
from ...postgres import server_folder
from ..conftest import Figure, Promise
from ..disks import filled, small_disk
from ..forwarded import Arrived, count_waiting, forwarding_to, slowly, wait_until_sent
from ..load import Delivery, Load
from ..reconcile import is_ready, look, wait_until_ready, wait_until_spooled
from .conftest import PROCESSES, Target, read_only, running, service_of

SETTLED = 250
"""Seconds by when all has been sent: what a killed process had claimed waits for a minute."""


@contextmanager
def forwarding(folder: Path, there: Receiver, **more: str) -> Iterator[Target]:
    """A server and a service whose processes forward."""
    with running(folder, forwarding_to(there.url, **more)) as target:
        yield target


def test_no_change_is_lost_or_overtaken_by_kill_9_under_load(
    tmp_path: Path, there: Receiver, full: bool, figure: Figure
) -> None:
    rounds = 20 if full else 1
    moments = random.Random(1)
    answered: list[Delivery] = []
    with forwarding(tmp_path, there) as target:
        service = target.service
        for _ in range(rounds):
            with Load(service.port, service.plivo, pause=0.03) as load:
                load.wait_for(50)
                load.go_on(moments.uniform(0.0, 0.5))
                service.kill()
            answered += load.acknowledged
            service.start()
        if not full:
            _forget_claims(target)
        wait_until_sent(service, SETTLED)
        found = Arrived(there)
        missing = found.missing(service)
    figure(
        f"PostgreSQL: kill -9 of {PROCESSES} processes under load, while changes are forwarded",
        f"{rounds} rounds, {len(answered):,} answered 200, stored but never received: {missing}; "
        f"older received first after newer: {found.overtaken}; sent twice: {found.repeated}; "
        f"{len(found.deliveries):,} of {len(there.delivered):,} verified by the official library",
    )
    assert (missing, found.overtaken) == (0, 0)
    assert len(found.deliveries) == len(there.delivered)
    assert found.repeated <= 72 * PROCESSES * rounds


def _forget_claims(target: Target) -> None:
    """As time does, so that nobody waits for it."""
    target.administer("UPDATE forwards SET claimed_until = now() WHERE claimed_until > now()")


@pytest.mark.slow
def test_of_four_processes_none_sends_what_another_has_and_all_take_over_from_one_that_is_killed(
    tmp_path: Path, there: Receiver, figure: Figure, promise: Promise
) -> None:
    """Two services of two processes each. The one that is killed has claimed what it cannot send:
    the receiver holds those until it is gone.
    """
    with forwarding(tmp_path, there) as target:
        first = target.service
        url, address = first.environment["DATABASE_URL"], first.plivo.base_url
        more = {"BASE_URL": address, **forwarding_to(there.url)}
        folder = tmp_path / "second"
        folder.mkdir()
        second = service_of(folder, url, more)
        try:
            second.start()
            slowly(there, 0.02)
            with Load([first.port, second.port], first.plivo, pause=0.01) as load:
                load.wait_for(2000)
            wait_until_sent(second)
            at_rest = Arrived(there)
            with Load([first.port, second.port], first.plivo, pause=0.01) as more_load:
                more_load.wait_for(300)
                first.kill()
                began = time.monotonic()
                more_load.go_on(1)
            claimed = _claimed(target)
            wait_until_sent(second, SETTLED)
            seconds = time.monotonic() - began
        finally:
            second.kill()
        found = Arrived(there)
        missing = found.missing(second)
    figure(
        "PostgreSQL: four processes forward, and two of them are killed",
        f"{len(load.acknowledged) + len(more_load.acknowledged):,} answered 200, one change in "
        f"flight twice: {at_rest.repeated}, missing: {missing}, overtakes: {found.overtaken}; "
        f"{claimed} were claimed at the kill, the last taken over after {seconds:.0f} s",
    )
    assert (at_rest.repeated, missing, found.overtaken) == (0, 0, 0)
    promise(seconds, 60)


def _claimed(target: Target) -> int:
    ((count,),) = look(
        target.service,
        "SELECT count(*) FROM forwards WHERE claimed_until > now() AND due_at IS NOT NULL",
    )
    return int(count)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["read-only", "disk full"])
def test_nothing_is_sent_while_the_database_takes_nothing_and_then_it_goes_on(
    tmp_path: Path, there: Receiver, figure: Figure, promise: Promise, fault: str
) -> None:
    """Many wait when it begins, and the receiver would take them.

    On a full disk rows can be written for as long as their pages have room, and then are: what is
    judged there is only that none is sent again and again.
    """
    with ExitStack() as stack:
        disk = None
        if fault == "disk full":
            disk = stack.enter_context(server_folder())
            stack.enter_context(small_disk(disk, 24))
        more = forwarding_to(there.url)
        target = stack.enter_context(running(tmp_path, more, tablespace=disk))
        service = target.service
        slowly(there, 0.05)
        with Load(service.port, service.plivo, clients=16) as load:
            wait_until(lambda: count_waiting(service) > 150, 120, "many wait")
            with read_only(target) if disk is None else filled(disk):
                wait_until_spooled(service, 1)
                noticed = time.monotonic()
                load.go_on(4)
                wait_until(lambda: not is_ready(service), what="/readyz says so")
                last = max(one.at for one in list(there.delivered))
                waiting = count_waiting(service)
        there.answer = lambda delivered: Answer()
        wait_until_ready(service)
        wait_until_sent(service, SETTLED)
        found = Arrived(there)
        missing, wrong = found.missing(service), found.wrongly_taken(service)
    figure(
        f"PostgreSQL: {fault} while changes are forwarded",
        f"{len(load.acknowledged):,} answered 200; while {waiting:,} waited the last one was sent "
        f"{max(last - noticed, 0):.2f} s after the first callback was spooled; then missing: "
        f"{missing}, overtakes: {found.overtaken}, wrong rows settled: {wrong}, sent twice: "
        f"{found.repeated}",
    )
    assert waiting > 0
    assert (missing, wrong, found.overtaken) == (0, 0, 0)
    assert found.repeated <= 72 * PROCESSES
    if disk is None:
        promise(last - noticed, 1)
