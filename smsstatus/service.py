"""The parts of the running service, made once by the factory and shared by the blueprints."""

from __future__ import annotations

import logging
import os
import sqlite3
from dataclasses import dataclass, field
from typing import Any, cast

import click
from flask import Flask, current_app

from .clock import Clock
from .logs import RateLimit
from .metrics import Metrics
from .replay import Drainer
from .settings import Settings
from .spool import Spool
from .store import SchemaTooNew, Store

DYNO_DISK = "a Heroku dyno's disk is lost at each restart, daily at least: use a host with one"

_EXTENSION = "smsstatus"

log = logging.getLogger(__name__)


class StartError(Exception):
    """The service must not start like this. The text is one line that says what to do."""


@dataclass
class Service:
    """Settings, store, spool, counters and clock of one application."""

    settings: Settings
    store: Store
    spool: Spool
    metrics: Metrics
    refusals: RateLimit = field(default_factory=RateLimit)
    refused_logins: RateLimit = field(default_factory=RateLimit)
    drainer: Drainer | None = None
    clock: Clock = field(default_factory=Clock)
    readiness: tuple[float, dict[str, Any]] = (0.0, {})
    """When /readyz last looked (clock.monotonic), and what it found."""

    @classmethod
    def make(cls, settings: Settings) -> Service:
        metrics = Metrics()
        store = Store(settings.database_path, metrics.observe_commit)
        return cls(settings, store, Spool(settings.spool_dir), metrics)

    def prepare(self) -> None:
        """Apply the schema and prove that the spool takes files.

        Raises StartError if the spool does not, or if the database is of a later version. Any
        other trouble with the database is logged only: callbacks go to the spool meanwhile. To a
        flask command the spool's trouble is a line of the log too: `doctor` finds out why, and
        `backup` has to work on a disk that has become read-only.
        """
        try:
            self.spool.prepare()
        except OSError as error:
            trouble = (
                f"SPOOL_DIR {self.settings.spool_dir} takes no files ({error.strerror}): is its "
                "disk mounted, writable, not full? example: SPOOL_DIR=/data/smsstatus-spool"
            )
            if not _is_command():
                raise StartError(trouble) from None
            log.error("%s", trouble)
        try:
            self.store.prepare()
        except SchemaTooNew as error:
            raise StartError(f"DATABASE_URL: {error}") from None
        except (sqlite3.Error, OSError) as error:
            log.error("database cannot be opened, callbacks go to the spool: %s", error)

    def start(self) -> None:
        """Start what works in the background. Only a serving process does, after its fork."""
        log.info("callbacks are written to %s", self.settings.database_path)
        if "DYNO" in os.environ:
            log.warning("%s", DYNO_DISK)
        self.drainer = Drainer(self.store, self.spool)
        self.drainer.start()

    def stop(self) -> None:
        """End the background work and close the store."""
        if self.drainer is not None:
            self.drainer.stop()
        self.store.close()

    def install(self, app: Flask) -> None:
        app.extensions[_EXTENSION] = self


def _is_command() -> bool:
    """Is the application made for a flask command that does not serve?"""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name != "run"


def service_of(app: Flask) -> Service:
    """The service of this application."""
    return cast(Service, app.extensions[_EXTENSION])


def current_service() -> Service:
    """The service of the application that handles this request."""
    return service_of(current_app)
