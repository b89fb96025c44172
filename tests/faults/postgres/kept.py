"""Where every callback is that was answered 200, if the store is PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

from smsstatus.model import utc_now
from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.store.postgres.store import PostgresStore

from ...live import LiveService
from ...postgres import ask
from ..load import Delivery
from ..places import stored
from ..reconcile import logged_callbacks, spooled_bodies


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


def record_alone(deliveries: Iterable[Delivery], url: str) -> None:
    """Write these to an empty database, in their order, as a single process would."""
    callbacks = [Callback("POST", "", delivery.body, utc_now()) for delivery in deliveries]
    with closing(PostgresStore(url)) as store:
        store.prepare()
        for first in range(0, len(callbacks), 100):
            updates = [read_callback(c, source="callback") for c in callbacks[first : first + 100]]
            for pending in [store.begin(update) for update in updates]:
                store.finish(pending)


def rows(url: str) -> tuple[list[Any], list[Any]]:
    """All that is stored of messages and of events, but for ids and the times of our clock."""
    messages, events = ask(
        url,
        """SELECT jsonb_agg(to_jsonb(m) - '{id,created_at,updated_at}'::text[]
               ORDER BY message_uuid) FROM messages AS m
           UNION ALL
           SELECT jsonb_agg(to_jsonb(e) - '{id,message_id,received_at}'::text[]
               || jsonb_build_object('message_uuid', message_uuid) ORDER BY signed_text)
           FROM status_events AS e JOIN messages AS m ON m.id = message_id""",
    )
    return messages[0], events[0]
