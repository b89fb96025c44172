"""Where every callback is that was answered 200, if the store is PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.store.contract import Filters
from smsstatus.store.postgres.store import PostgresStore

from ...live import LiveService
from ..load import Delivery
from ..reconcile import logged_callbacks, spooled_bodies


def stored(url: str) -> dict[str, str]:
    """The callbacks in the database, and the current_status of each one's message."""
    bodies = {}
    with closing(PostgresStore(url)) as store:
        for message in store.walk(Filters()):
            found = store.find(message.message_uuid)
            assert found is not None
            bodies |= {event.parameters: found.current_status for event in found.events or ()}
    return bodies


def missing(deliveries: Iterable[Delivery], service: LiveService, url: str) -> list[Delivery]:
    """Those that were answered 200 and are nowhere. What leaves the spool is stored by then."""
    kept = spooled_bodies(service.spool) | spooled_bodies(service.spool / "bad")
    kept |= {callback.body for callback in logged_callbacks(service)}
    kept |= stored(url).keys()
    return [d for d in deliveries if d.status == 200 and d.body not in kept]


def wrong(deliveries: Iterable[Delivery], url: str) -> list[str]:
    """Bodies that are not stored, or whose message does not say what the greatest update says."""
    bodies = [delivery.body for delivery in deliveries]
    standing: dict[str, tuple[object, str]] = {}
    updates = [read_callback(Callback("POST", "", b, ""), source="callback") for b in bodies]
    for update in updates:
        key = (update.order_key, update.status)
        standing[update.message_uuid] = max(standing.get(update.message_uuid, key), key)
    found = stored(url)
    return [
        body
        for body, update in zip(bodies, updates, strict=True)
        if found.get(body) != standing[update.message_uuid][1]
    ]
