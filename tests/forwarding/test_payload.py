"""What a receiver is told of a change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.forwarding import payload
from smsstatus.model import PHASES, StatusUpdate, utc_timestamp
from smsstatus.plivo.error_codes import explain
from smsstatus.store.outbox import Change

from ..rounds import examples
from ..store.updates import THEIRS, update_of
from .changes import MESSAGE, change


def told(of: Change) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(payload.body(of))["data"]
    return data


def raw(parameters: str) -> object:
    """Plivo's fields as they are told of a message without a reference."""
    return told(change(parameters=parameters, reference=None))["plivo"]


def test_everything_that_is_known_of_a_change_is_told() -> None:
    assert json.loads(payload.body(change())) == {
        "type": "message.status_changed",
        "timestamp": "2026-11-01T00:00:03.250000Z",
        "data": {
            "message_uuid": MESSAGE,
            "status": "undelivered",
            "previous_status": "sent",
            "is_final": True,
            "status_timestamp": "2026-11-01T00:00:03.250000Z",
            "sender_number": "+14155550100",
            "recipient_number": "+14155550123",
            "reference": {"order": "42"},
            "error": explain("30"),
            "order": "3"
            + "20261101000003250000"
            + "000000000000000003"
            + "4"
            + change().digest.hex(),
            "received_at": "2026-11-01T00:00:03.900112Z",
            "source": "callback",
            "plivo": {
                "MessageUUID": "3d5a",
                "Status": "undelivered",
                "Units": "1",
                "TotalAmount": "0.0055",
            },
        },
    }


def test_the_body_is_compact_and_ascii() -> None:
    body = payload.body(change(sender_number="Caf\u00e9", parameters="Status=\u00fc+%F0%9F%98%80"))
    assert body.isascii()
    assert b": " not in body
    assert raw("A=\u00fc+%F0%9F%98%80") == {"A": "\u00fc \U0001f600"}


def test_what_is_unknown_is_null_and_a_change_without_a_time_has_that_of_its_receipt() -> None:
    bare = change(
        status_timestamp="", previous_status=None, error_code=None, reference=None, parameters="a=b"
    )
    said = json.loads(payload.body(bare))
    assert said["timestamp"] == bare.received_at
    data = said["data"]
    assert [data[name] for name in ("previous_status", "error", "reference")] == [None] * 3
    assert data["plivo"] == {"a": "b"}


def test_a_field_that_plivo_sent_twice_is_a_list() -> None:
    assert raw("A=1&A=2") == {"A": ["1", "2"]}


def test_more_raw_fields_than_16_kib_are_left_out() -> None:
    assert raw("A=" + "a" * 16_382) == {"A": "a" * 16_382}
    assert raw("A=" + "a" * 16_383) is None


def test_fields_that_cannot_be_read_are_null() -> None:
    assert raw("") is None


@pytest.mark.parametrize("query", ["", THEIRS, "order=1", "order=2"])
@pytest.mark.parametrize("reference", ["order=2", THEIRS, "Status=sent"])
def test_no_parameter_of_the_senders_query_is_shown_as_plivos(query: str, reference: str) -> None:
    """Whichever of its queries the message is found by."""
    fields = {"MessageUUID": MESSAGE, "Status": "sent", "Units": "1"}
    made = update_of({**fields, "?": query})
    of_it = change(digest=made.digest, parameters=made.parameters, reference=reference)
    assert told(of_it)["plivo"] == fields


def test_where_it_is_not_known_what_the_senders_query_was_nothing_is_shown_as_plivos() -> None:
    """Version 1.0 had a digest that does not say it."""
    of_it = change(digest=bytes(16), parameters=f"{THEIRS}&Status=sent", reference="order=42")
    assert told(of_it)["plivo"] is None


@pytest.mark.parametrize("name", ["Text", "text", "TEXT"])
def test_the_text_of_a_message_is_never_told(name: str) -> None:
    assert raw(f"{name}=secret&Status=sent") == {"Status": "sent"}


_times = st.one_of(st.just(""), st.datetimes().map(str).map(utc_timestamp))
_updates = st.builds(
    StatusUpdate,
    message_uuid=st.just(MESSAGE),
    status=st.just("sent"),
    status_timestamp=_times.filter(lambda text: not text or text >= "2000"),
    error_code=st.none(),
    is_final=st.just(False),
    sequence=st.integers(0, 10**18 - 1),
    rank=st.sampled_from(sorted(PHASES)),
    digest=st.one_of(st.binary(min_size=16, max_size=16), st.binary(min_size=26, max_size=26)),
    sender_number=st.none(),
    recipient_number=st.none(),
    message_body=st.none(),
    queued_at=st.none(),
    received_at=st.just("2026-11-01T00:00:00.000000Z"),
    source=st.just("callback"),
    parameters=st.just(""),
)


def order_of(update: StatusUpdate) -> str:
    return payload.order(
        change(
            phase=PHASES[update.rank],
            **{n: getattr(update, n) for n in ("status_timestamp", "sequence", "rank", "digest")},
        )
    )


@given(st.lists(_updates, min_size=2, max_size=8))
@hypothesis_settings(max_examples=examples(500))
def test_order_as_text_is_in_the_order_of_the_stores_key(updates: list[StatusUpdate]) -> None:
    by_key = sorted(updates, key=lambda update: update.order_key)
    assert [order_of(update) for update in by_key] == sorted(map(order_of, updates))


@given(_updates)
def test_order_is_digits_and_lower_case_letters_of_fixed_width(update: StatusUpdate) -> None:
    text = order_of(update)
    assert len(text) == 40 + 2 * len(update.digest)
    assert text.isascii()
    assert text.isalnum()
    assert text == text.lower()
