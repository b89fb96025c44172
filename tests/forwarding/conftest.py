"""What the tests of forwarding share: a receiver, and a service that forwards to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from smsstatus.service import Service
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from .receivers import Receiver, receiver

KEYS = (bytes(range(32)), bytes(range(24)))
"""The newer secret and the older one."""


@pytest.fixture
def there() -> Iterator[Receiver]:
    """A system that takes everything."""
    with receiver() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, there: Receiver) -> Settings:
    return replace(settings, forward_url=there.url, forward_secrets=KEYS)


@pytest.fixture
def service(app: Flask) -> Service:
    """It forwards once it is started."""
    return service_of(app)
