"""The promise: a genuine callback goes to the store, else the spool, else the log, else nowhere.

Each of the three is bounded in time, and each returns only when what it took is safe there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol

from .. import promise
from ..logs import without_text
from ..model import StatusUpdate
from ..plivo.callback import Callback, Unusable, digest_of, domain_of, parameters_of
from ..plivo.form import Malformed, parse_form
from ..settings import Settings
from ..store.contract import Outcome, Pending, Store, StoreUnavailable, WorkRefused
from .last_resort import SPOOLED, LastResort
from .spool import Spool, SpoolUnavailable

log = logging.getLogger(__name__)


class Place(StrEnum):
    """Where a callback is, or what became of it; the values are the words for /metrics.

    The first six are the store's answers, see `Outcome`.
    """

    APPLIED = "applied"
    OLDER = "older"
    DUPLICATE = "duplicate"
    PRUNED = "pruned"
    NONCE_TAKEN = "nonce_taken"
    TEXT_TAKEN = "text_taken"
    BAD = "bad"
    """It says nothing that can be stored; in the spool's bad/, once `keep` has returned."""
    NOT_NOW = "not now"
    """The store takes nothing, or not this one; it can help to try again later."""
    REFUSED = "refused"
    """The store will never take it."""
    SPOOLED = "spooled"
    LOGGED = "logged"
    NOWHERE = "kept nowhere"


class Kept(NamedTuple):
    """What became of a callback. `reason` says why the store does not have it, else it is empty."""

    place: Place
    reason: str = ""


class Places(Protocol):
    """What `keep` needs of the running service."""

    @property
    def store(self) -> Store: ...
    @property
    def spool(self) -> Spool: ...
    @property
    def last_resort(self) -> LastResort: ...
    @property
    def settings(self) -> Settings: ...


_ANSWERED = {outcome: Kept(Place(outcome.value)) for outcome in Outcome} | {
    Outcome.NONCE_TAKEN: Kept(Place.NONCE_TAKEN, "its V2 nonce came with another body before"),
    Outcome.TEXT_TAKEN: Kept(Place.TEXT_TAKEN, "what Plivo signed was read as other fields before"),
}


def put_in_store(store: Store, read: Callable[[], StatusUpdate]) -> Kept:
    """Write what `read` returns to the store: its answer, or BAD, NOT_NOW or REFUSED.

    Raises only what is a mistake in the program.
    """
    return _answer(lambda: store.record(read()))


def _answer(ask: Callable[[], Outcome]) -> Kept:
    try:
        return _ANSWERED[ask()]
    except (Malformed, Unusable) as error:
        return Kept(Place.BAD, str(error))
    except StoreUnavailable as error:
        return Kept(Place.NOT_NOW, str(error))
    except WorkRefused as error:
        return Kept(Place.REFUSED, str(error))


class Keeping:
    """A callback on its way to where it is safe: `hand_in` does not wait, `end` may.

    Whoever has several calls `hand_on` for those that the store did not take, before the first
    `end`: so they share a file of the spool, and none waits while another one does.
    """

    __slots__ = (
        "_began",
        "_callback",
        "_error",
        "_kept",
        "_pending",
        "_places",
        "_spooled",
        "_update",
        "_wake",
    )

    def __init__(
        self,
        places: Places,
        callback: Callback,
        read: Callable[[], StatusUpdate],
        wake: Callable[[], None] | None = None,
    ) -> None:
        """What `read` returns is for the store; `wake` is called once that has answered."""
        self._places = places
        self._callback = callback
        self._wake = wake
        self._update: StatusUpdate | None = None
        self._pending: Pending | None = None
        self._error: Exception | None = None
        self._kept: Kept | None = None
        """The store's answer."""
        self._spooled: Callable[[], None] | None = None
        """Waits for the spool, and raises what that met."""
        self._began = time.monotonic()
        try:
            self._update = read()
        except Exception as error:  # `end` says what it means
            self._error = error

    def hand_in(self) -> None:
        """Have the store begin to write it, if it has not."""
        update, self._update = self._update, None
        if update is None:
            return
        try:
            self._pending = self._places.store.begin(update, self._wake)
        except Exception as error:
            self._error = error

    @property
    def is_ready(self) -> bool:
        """Has the store answered what was handed in, so that `end` does not wait for it?"""
        return self._pending is None or self._pending.finished

    @property
    def is_stored(self) -> bool:
        """Has the store taken it, so that `end` does not wait for anything?"""
        return self._pending is not None and self._pending.error is None

    def hand_on(self) -> None:
        """Have the spool begin to write it, if the store does not. Waits for the store alone."""
        self._after_the_store()

    def end(self) -> Kept:
        """See it safe. Never raises. Returns any place but NOT_NOW and REFUSED.

        Where it is NONCE_TAKEN or TEXT_TAKEN the callback is a forgery and kept nowhere.
        """
        places, callback, kept = self._places, self._callback, self._after_the_store()
        if not kept.reason:
            return kept
        try:
            if kept.place is Place.BAD:
                return _keep_bad(places, callback, kept, self._began)
            if self._spooled is not None:
                self._spooled()
                if places.settings.spool_log:
                    keep_in_log_too(places, callback)
                return Kept(Place.SPOOLED, kept.reason)
        except Exception as error:
            why = str(error) if isinstance(error, SpoolUnavailable) else without_text(error)
            return _keep_in_log(places, callback, f"{kept.reason}; {why}")
        return kept

    def _after_the_store(self) -> Kept:
        if self._kept is not None:
            return self._kept
        self.hand_in()
        try:
            kept = _answer(self._ask)
        except Exception as error:  # a mistake of ours must not cost the callback
            kept = Kept(Place.REFUSED, without_text(error))
            log.error("a mistake in the program, callback goes to the spool: %s", kept.reason)
        self._kept = kept
        if kept.place is Place.NOT_NOW or kept.place is Place.REFUSED:
            try:
                self._spooled = self._places.spool.begin(self._callback, kept.reason)
            except Exception as error:
                self._spooled = partial(_raise, error)
        return kept

    def _ask(self) -> Outcome:
        if self._pending is None:
            assert self._error is not None
            raise self._error
        return self._places.store.finish(self._pending)


def _raise(error: Exception) -> None:
    raise error


def keep(places: Places, callback: Callback, read: Callable[[], StatusUpdate]) -> Kept:
    """Put a callback, which `read` makes an update of, where it is safe; see Keeping.end."""
    return Keeping(places, callback, read).end()


def _keep_bad(places: Places, callback: Callback, kept: Kept, began: float) -> Kept:
    """A captured one can come again and again: it has one file, and few lines.

    Many of them wait for one another, and each has its time from when it `began`.
    """
    if taken := _taken(places.store, callback, began):
        return _ANSWERED[taken]
    if time.monotonic() - began > promise.STORE_SECONDS + promise.SPARE_SECONDS:
        raise SpoolUnavailable("no time is left for the disk")
    if places.spool.keep_bad(callback, kept.reason):
        places.spool.lines.log(
            log.error, "genuine callback cannot be used, kept in the spool's bad/: %s", kept.reason
        )
    return kept


def _keep_in_log(places: Places, callback: Callback, reasons: str) -> Kept:
    try:
        places.last_resort.keep(callback, places.settings.auth_tokens[0])
        place, what = Place.LOGGED, "the callback is in lines of the log, for `replay`"
    except Exception as error:
        place, what = Place.NOWHERE, f"it is kept nowhere, the log fails too: {without_text(error)}"
    places.last_resort.lines.log(log.error, "store and spool both failed (%s): %s", reasons, what)
    return Kept(place, reasons)


def keep_in_log_too(places: Places, callback: Callback) -> bool:
    """It is in the spool, on a disk that is not kept, so a log that fails changes no answer."""
    try:
        places.last_resort.keep(callback, places.settings.auth_tokens[0], SPOOLED)
    except Exception as error:
        text = "a spooled callback is not in the log, and its disk is not kept: %s"
        places.last_resort.lines.log(log.error, text, without_text(error))
        return False
    return True


def _taken(store: Store, callback: Callback, began: float) -> Outcome | None:
    """What of a callback that says nothing we can store belongs to another one: its nonce or text.

    A V2 nonce belongs to the first body, so this one takes it if nobody has. The store is asked
    only while there is time to wait for it.
    """
    if time.monotonic() - began > promise.SPARE_SECONDS:
        return None
    query, body = parse_form(callback.query.encode()), parse_form(callback.body.encode())
    digest = digest_of(callback.method, query, body, domain=domain_of(callback))
    nonce = callback.v2_nonce or callback.used_nonce
    try:
        owns = nonce is None or store.claim_nonce(nonce, digest, parameters_of(callback))
        if callback.v2_nonce is not None:
            return None if owns else Outcome.NONCE_TAKEN
        if time.monotonic() - began > promise.SPARE_SECONDS:  # there is no time for a second wait
            return None
        return Outcome.TEXT_TAKEN if store.knows_text(digest) else None
    except (StoreUnavailable, WorkRefused):
        return None  # kept as bad in any case, and never applied by itself
