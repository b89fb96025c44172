"""Changes made up for tests."""

from __future__ import annotations

from typing import Any

from smsstatus.store.outbox import Change

MESSAGE = "3d5a3f6e-6a3c-4b7c-9d52-3f1a5e0c7b11"


def change(**fields: Any) -> Change:
    """An SMS that was not delivered; `fields` replaces some of what is known of it."""
    usual = {
        "event_id": 7,
        "digest": bytes(range(26)),
        "message_uuid": MESSAGE,
        "status": "undelivered",
        "previous_status": "sent",
        "error_code": "30",
        "is_final": True,
        "phase": 3,
        "status_timestamp": "2026-11-01T00:00:03.250000Z",
        "sequence": 3,
        "rank": 3,
        "sender_number": "14155550100",
        "recipient_number": "+14155550123",
        "received_at": "2026-11-01T00:00:03.900112Z",
        "source": "callback",
        "parameters": "order=42&MessageUUID=3d5a&Status=undelivered&Units=1&TotalAmount=0.0055",
        "reference": "order=42",
    }
    return Change(**(usual | fields))
