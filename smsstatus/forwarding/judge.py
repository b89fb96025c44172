"""What comes of an answer: for its change, for the receiver, and for people who look."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from ..clock import Clock
from ..logs import RateLimit
from ..metrics import Metrics
from ..model import timestamp
from ..notation import visible
from ..settings import Settings
from ..store.contract import StoreError
from ..store.outbox import Claimed, Condition, Fate, Outbox, Settlement
from .deliver import Answer
from .results import Results
from .schedule import GONE, Brake, asked_for, next_wait
from .workers import Attempt

log = logging.getLogger(__name__)


class Judge:
    """Settles attempts in `results`, and tells `brake`. Used from one thread."""

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
        chance: Callable[[], float],
        results: Results,
    ) -> None:
        self._outbox = outbox
        self._max_age = settings.forward_max_age
        self._host = urlsplit(settings.forward_url or "").hostname
        self._metrics = metrics
        self._clock = clock
        self._chance = chance
        self._results = results
        self._complaints = RateLimit()
        self.brake = Brake(settings.forward_concurrency)
        self.condition = Condition()
        """How it goes with the receiver."""
        self._has_recalled = False

    def judge(self, attempt: Attempt) -> bool:
        """Settle an attempt that is over; is the receiver back that has taken nothing before?"""
        answer, moment = attempt.answer, self._clock.now()
        if answer is None:
            self._settle(attempt.claimed, Fate.DEAD, moment, "unreadable")
            return False
        self._metrics.count_attempt(answer.result)
        self._recall(moment)
        if answer.is_taken:
            return self._note_taken(attempt, answer, moment)
        self._note_failure(attempt, answer, moment)
        return False

    def _recall(self, moment: datetime) -> None:
        """Begin with what an earlier process noted, read late: another may have sent until now."""
        if not self._has_recalled:
            self._has_recalled = True
            with contextlib.suppress(StoreError):
                self.condition = self._outbox.state(timestamp(moment)).condition

    def _note_taken(self, attempt: Attempt, answer: Answer, moment: datetime) -> bool:
        self._settle(attempt.claimed, Fate.TAKEN, moment, answer.result)
        self._metrics.observe_taken(_seconds_since(attempt.claimed.change.received_at, moment))
        self.condition = Condition(None, self.condition.last_failure, timestamp(moment))
        is_back = self.brake.note_taken(attempt.began)
        if is_back:
            log.warning("forwarding: %s takes changes again", self._host)
        return is_back

    def _note_failure(self, attempt: Attempt, answer: Answer, moment: datetime) -> None:
        self._retry_or_give_up(attempt.claimed, answer.result, moment)
        self.condition = Condition(
            self.condition.failing_since or timestamp(moment),
            answer.result,
            self.condition.last_taken_at,
        )
        elsewhere = f", which points to {visible(answer.points_to)}" if answer.points_to else ""
        self._complaints.log(
            log.warning, "forwarding: %s: %s%s", self._host, answer.result, elsewhere
        )
        if self.brake.note_failure(
            attempt.began,
            self._clock.monotonic(),
            self._chance(),
            asked=asked_for(answer.retry_after, moment),
            gone=answer.result == str(GONE),
        ):
            log.warning("forwarding: %s takes nothing, so it is tried once in a while", self._host)

    def _retry_or_give_up(self, claimed: Claimed, result: str, moment: datetime) -> None:
        attempts = claimed.attempts + 1
        failing_for = _seconds_since(claimed.failing_since or timestamp(moment), moment)
        wait = next_wait(attempts, failing_for, self._max_age, self._chance())
        if wait is not None:
            self._settle(claimed, Fate.WAITING, moment, result, moment + timedelta(seconds=wait))
            return
        self._settle(claimed, Fate.DEAD, moment, result)
        log.error(
            "forwarding: message %s, %s, is given up after %d attempts: %s",
            claimed.change.message_uuid,
            claimed.change.status,
            attempts,
            result,
        )

    def _settle(
        self,
        claimed: Claimed,
        fate: Fate,
        moment: datetime,
        answer: str,
        due_at: datetime | None = None,
    ) -> None:
        self._results.add(
            Settlement(
                claimed=claimed,
                fate=fate,
                at=timestamp(moment),
                answer=answer,
                due_at=timestamp(due_at) if due_at else None,
            )
        )


def _seconds_since(then: str, moment: datetime) -> float:
    return max((moment - datetime.fromisoformat(then)).total_seconds(), 0.0)
