"""The road of a callback, from the request to the row."""

from __future__ import annotations

from .conftest import Deliver, Query
from .plivo import Plivo


def test_a_signed_callback_becomes_one_row(deliver: Deliver, plivo: Plivo, query: Query) -> None:
    response = deliver(plivo.post(plivo.fields("delivered", "a-uuid")))
    assert (response.status_code, response.text) == (200, "ok\n")
    (row,) = query("SELECT * FROM messages")
    assert (row["message_uuid"], row["current_status"]) == ("a-uuid", "delivered")
