"""A service to attack, and the frame in which each attack is judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import pytest

from ..faults.conftest import Figure, Promise, figure, full, promise
from ..faults.load import Load
from ..live import live_service
from ..plivo_api import AUTH_ID, plivo_api
from ..signed import Plivo
from .target import TOKEN, Attack, Target

__all__ = ("figure", "full", "promise")  # fixtures of these tests too


class Attacked(Protocol):
    """`with attacked("what is tried") as attack`: what must hold is judged at the end."""

    def __call__(self, what: str) -> AbstractContextManager[Attack]: ...


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A service with all its doors: it may send, shows its pages, writes every log it has."""
    more = {
        "BASE_URL": Plivo.base_url,
        "API_TOKEN": TOKEN,
        "PLIVO_AUTH_ID": AUTH_ID,
        "PLIVO_SENDER": "+14155550100",
        "GUNICORN_CMD_ARGS": "--access-logfile -",
    }
    folder = tmp_path_factory.mktemp("attacked")
    with plivo_api() as api, live_service(folder, PLIVO_API_URL=api.url, **more) as service:
        yield Target(service, api)


@pytest.fixture
def attacked(target: Target, full: bool, figure: Figure, promise: Promise) -> Attacked:
    """Genuine callbacks keep coming meanwhile, and are measured."""

    @contextmanager
    def frame(what: str) -> Iterator[Attack]:
        before, sent = target.cells(), target.sent_sms()
        attack = Attack(target.service.port)
        service = target.service
        with Load(service.port, service.plivo, clients=2, pause=0.01) as genuine:
            yield attack
            genuine.wait_for(500 if full else 30)
        harm = target.harm(before, sent, genuine)
        p99 = sorted(d.seconds for d in genuine.deliveries)[int(len(genuine.deliveries) * 0.99)]
        answers = ", ".join(f"{status or 'none'}: {n:,}" for status, n in attack.counted())
        figure(
            what, f"{attack.total:,} requests ({answers}); {harm}; genuine p99 {p99 * 1e3:.0f} ms"
        )
        assert attack.total > 0
        assert not any(harm)
        assert genuine.others == []
        assert "Traceback" not in service.log.read_text(errors="replace")
        promise(p99)

    return frame
