"""What the upkeep needs of the running service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..clock import Clock
from ..metrics import Metrics
from ..settings import Settings
from ..store.contract import Store

Rest = Callable[[float], None]
"""Waits for so many seconds; raises Stopping once the service stops."""


class Stopping(Exception):
    """The service stops: what is left is for the next run."""


class Parts(Protocol):
    """The parts of one service."""

    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def clock(self) -> Clock: ...
