"""The thread that does the upkeep: each task when it is due, one at a time across all processes.

When a task is due stands in the store, so it is the same for all processes and after a restart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from ..logs import without_text
from ..model import timestamp
from ..store.contract import StoreError
from ..store.runs import Run
from .alone import NotAlone, while_alone
from .parts import Parts, Rest, Stopping
from .tasks import SOON, Finding, Task, tasks_of

FIRST_SECONDS = 60.0
"""After the start, which has enough to do."""
LOOK_SECONDS = 15.0
REST_SECONDS = 0.25
"""A longer rest is taken in pieces, so that the service can stop."""
REPORT_SECONDS = 5.0
STOP_SECONDS = 3.0
FARTHEST = timedelta(days=1)
"""Beyond its interval nothing is due later: a clock that was ahead has written it."""

log = logging.getLogger(__name__)


class Timetable:
    """Without a task it does nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.tasks = tasks_of(parts.settings)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_report = 0.0
        self._said = dict[str, int]()

    def start(self) -> None:
        """RuntimeError if the host allows no more threads."""
        if self.tasks:
            self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """What is under way is broken off; the next run goes on there."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        wait = FIRST_SECONDS
        while not self._stop.wait(wait):
            wait = LOOK_SECONDS
            try:
                self.look()
            except Stopping:
                return
            except StoreError as error:
                log.debug("upkeep: %s", error)
            except Exception as error:  # without this thread nothing is looked after any more
                log.error("upkeep: a mistake in the program, %s", without_text(error))

    def look(self) -> None:
        """Do what is due, in turn: what keeps one task from being done keeps no other one waiting.

        Raises Stopping, or StoreError where the store does not even say what is due.
        """
        for task in self.tasks:
            if not self._is_due(task):
                self._said.pop(task.name, None)  # another process may have done it
                continue
            try:
                with self._parts.store.hold(task.name) as still_held:
                    if still_held and self._is_due(task):  # another may have done it just now
                        self._run(task, while_alone(self._rest, still_held, self._parts.clock))
                        self._said.pop(task.name, None)
                    elif not still_held:
                        self._say(task, logging.INFO, "another one is at work")
            except StoreError as error:
                self._say(task, logging.ERROR, str(error))

    def _say(self, task: Task, level: int, why: str) -> None:
        """Why a task that is due is not done; once, until it is, and again where it is worse."""
        if self._said.get(task.name, logging.NOTSET) < level:
            self._said[task.name] = level
            log.log(level, "%s is due: %s", task.name, why)

    def _is_due(self, task: Task) -> bool:
        run = run_of(task.name, self._parts.store.runs.last())
        now = self._parts.clock.now()
        latest = timestamp(now + task.every + FARTHEST)
        return run is None or not timestamp(now) < run.next_at <= latest

    def _run(self, task: Task, rest: Rest) -> None:
        parts = self._parts
        began = parts.clock.now()
        before = run_of(task.name, parts.store.runs.last())
        run = Run(
            task=task.name,
            began_at=timestamp(began),
            ended_at=None,
            next_at=timestamp(began + SOON),  # if this process dies another one takes it up
            is_ok=before is None or before.is_ok,  # one that only begins has fixed nothing
            found="",
        )
        parts.store.runs.note(run)
        try:
            finding = task.work(parts, rest, lambda text: self._report(run, text))
        except Stopping:
            raise
        except NotAlone as error:
            finding = Finding(text=f"stopped: {error}", is_ok=False, again_in=SOON)
        except (StoreError, OSError) as error:
            finding = Finding(text=f"stopped: {error}", is_ok=False)
        except Exception as error:
            log.error("%s: a mistake in the program, %s", task.name, without_text(error))
            finding = Finding(text="stopped: a mistake in the program, see the log", is_ok=False)
        ended = parts.clock.now()
        next_at = (
            ended + min(finding.again_in, FARTHEST) if finding.again_in else began + task.every
        )
        log.log(
            logging.INFO if finding.is_ok else logging.WARNING, "%s: %s", task.name, finding.text
        )
        parts.store.runs.note(
            replace(
                run,
                ended_at=timestamp(ended),
                next_at=timestamp(max(next_at, ended + timedelta(seconds=1))),
                is_ok=finding.is_ok,
                found=finding.text,
            )
        )

    def _rest(self, seconds: float) -> None:
        """Raises Stopping once the service stops."""
        while True:
            if self._stop.is_set():
                raise Stopping
            if seconds <= 0:
                return
            self._parts.clock.sleep(min(seconds, REST_SECONDS))
            seconds -= REST_SECONDS

    def _report(self, run: Run, text: str) -> None:
        """How far it is: for who looks meanwhile, every few seconds."""
        now = self._parts.clock.monotonic()
        if now >= self._next_report:
            self._next_report = now + REPORT_SECONDS
            self._parts.store.runs.note(replace(run, found=text))


def run_of(task: str, runs: Sequence[Run]) -> Run | None:
    """A task's last run."""
    return next((run for run in runs if run.task == task), None)
