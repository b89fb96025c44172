"""One text that V3 signed, cut into other fields: only the first reading counts.

V3 joins names and values of a body with nothing between them, and those of a query with `=` and
`&`, which can also be in them. So who has captured one genuine request can send others under its
signature.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smsstatus.plivo.signature import V3_NONCE, V3_SIGNATURES, sign, signed_text, signed_v3
from smsstatus.settings import WEBHOOK_PATH

from ..conftest import Deliver, Query
from ..rounds import examples
from ..signed import Plivo, Request

Pairs = list[tuple[str, str]]

UUID, OTHER = "83876bdb-2b0c-11ee-8b1a-0242ac110002", "9f0f6a52-1111-4a4a-9d9d-0242ac11000a"
NAMES = (
    "ErrorCode",
    "MessageUUID",
    "ParentMessageUUID",
    "Status",
    "From",
    "To",
    "Sequence",
    "QueuedTime",
    "SentTime",
    "DeliveryReportTime",
    "MessageTime",
    "Units",
    "MNC",
    "MCC",
)
NAME = re.compile("|".join(NAMES))
TABLES = {
    "messages": "*",
    "status_events": "id, message_id, digest, status, status_timestamp, error_code, sequence, rank,"
    " is_final, received_at, source, parameters",
    "message_references": "*",
    "reference_pairs": "*",
    "signed_texts": "*",
    "v2_nonces": "*",
}


class Cut(NamedTuple):
    """What a request says: the method, and the fields of its query and its body."""

    method: str
    query: Pairs
    body: Pairs

    @property
    def text(self) -> str:
        return signed_text(*self)

    def request(self, headers: dict[str, str]) -> Request:
        target = WEBHOOK_PATH + (f"?{urlencode(self.query)}" if self.query else "")
        return Request(self.method, target, headers, urlencode(self.body).encode())

    def signed(self, nonce: str) -> dict[str, str]:
        message = signed_v3(self.method, Plivo.base_url + WEBHOOK_PATH, *self[1:], nonce)
        return {V3_SIGNATURES[0]: sign(message, Plivo.token), V3_NONCE: nonce}


@pytest.fixture
def rows(query: Query) -> Callable[[], dict[str, Any]]:
    """Every stored column of every table, but for the count of repeats."""

    def read() -> dict[str, Any]:
        return {table: query(f"SELECT {columns} FROM {table}") for table, columns in TABLES.items()}

    return read


FIELDS = {"MessageUUID": UUID, "Status": "undelivered", "ErrorCode": "30", "From": "1", "To": "2"}
TWO_UUIDS = [("From", "1"), ("MessageUUID", UUID), ("ParentMessageUUID", OTHER), ("Status", "sent")]

BY_HAND = {
    "an error code cleared": (
        Cut("POST", [], [*FIELDS.items()]),
        Cut("POST", [], [("ErrorCode3", "0"), *[p for p in FIELDS.items() if p[0] != "ErrorCode"]]),
    ),
    "moved to another message": (
        Cut("POST", [], TWO_UUIDS),
        Cut("POST", [], [("From", f"1MessageUUID{UUID}Parent"), ("MessageUUID", OTHER),
                         ("Status", "sent")]),
    ),
    "of a GET, fields hidden in another": (
        Cut("GET", [*FIELDS.items()], []),
        Cut("GET", [("ErrorCode", "30&From=1"), *[p for p in FIELDS.items() if p[0] not in
                                                 ("ErrorCode", "From")]], []),
    ),
    "what is left says nothing that can be stored": (
        Cut("POST", [], [*FIELDS.items()]),
        Cut("POST", [], [("", signed_text("POST", [], [*FIELDS.items()])[1:])]),
    ),
    "a part of the body taken into the query": (
        Cut("POST", [("a", "1")], [("A.ErrorCode", "30"), *list(FIELDS.items())[:2]]),
        Cut("POST", [("a", "1.A")], [("ErrorCode", "30"), *list(FIELDS.items())[:2]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("genuine", "other"), BY_HAND.values(), ids=BY_HAND)
def test_another_reading_is_refused_and_a_retry_is_not(
    deliver: Deliver,
    client: FlaskClient,
    rows: Callable[[], dict[str, Any]],
    genuine: Cut,
    other: Cut,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert genuine.text == other.text
    headers = genuine.signed("1")
    assert deliver(genuine.request(headers)).status_code == 200
    before = rows()
    assert len(before["messages"]) == 1
    assert deliver(other.request(headers)).status_code == 403
    assert rows() == before
    assert "what V3 signed came as other fields before" in caplog.text
    counted = 'smsstatus_callbacks_total{answer="403",reason="what V3 signed came as other fields'
    assert counted in client.get("/metrics").text
    assert deliver(genuine.request(genuine.signed("2"))).status_code == 200
    assert rows() == before


# For any genuine callback and any cut of its text.

_value = st.sampled_from(
    ["", "0", "30", "3MessageUUID", "a.b", "a=b", "Status=read", "1&To=2", "x.Statusread", "405"]
)
_time = st.sampled_from(["", "2026-11-01 00:00:03.250000", "2026-11-01 00:00:02"])


@st.composite
def _genuine(draw: st.DrawFn) -> Cut:
    uuid = draw(st.uuids(version=4)).hex
    fields = {
        "MessageUUID": uuid,
        "Status": draw(st.sampled_from(["queued", "sent", "delivered", "undelivered", "read"])),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "ParentMessageUUID": st.sampled_from([uuid, OTHER]),
                    "ErrorCode": _value,
                    "From": st.sampled_from(["13342031111", "+1", "My-Shop.co"]),
                    "To": st.sampled_from(["918553651111", "+2"]),
                    "Sequence": st.sampled_from(["1", "23"]),
                    "QueuedTime": _time,
                    "DeliveryReportTime": _time,
                    "TotalRate": st.just("0.0025"),
                    "Units": st.just("1"),
                    "New": _value,
                },
            )
        ),
    }
    if draw(st.booleans()):
        return Cut("GET", [*fields.items()], [])
    query = draw(st.lists(st.tuples(st.sampled_from(["order", "Status", "a"]), _value), max_size=2))
    return Cut("POST", query, [*fields.items()])


@st.composite
def _recut(draw: st.DrawFn, text: str) -> Cut:
    """Some other way to read what is signed: as a GET, or with query and body parted anywhere."""
    method = draw(st.sampled_from(["GET", "POST"]))
    signed = text[1:]
    if method == "GET":
        return Cut("GET", _cut_query(draw, signed), [])
    dots = [match.start() for match in re.finditer(r"\.", signed)]
    dot = draw(st.sampled_from([None, *dots]))
    if dot is None:
        return Cut("POST", [], _cut_body(draw, signed))
    return Cut("POST", _cut_query(draw, signed[:dot]), _cut_body(draw, signed[dot + 1 :]))


def _cut_query(draw: st.DrawFn, text: str) -> Pairs:
    pieces = text.split("&")
    joined = [pieces[0]]
    for piece in pieces[1:]:
        if draw(st.integers(0, 4)):
            joined.append(piece)
        else:
            joined[-1] += f"&{piece}"
    pairs = []
    for piece in joined:
        signs = [match.start() for match in re.finditer("=", piece)]
        assume(signs)
        at = draw(st.sampled_from(signs))
        pairs.append((piece[:at], piece[at + 1 :]))
    return pairs


def _cut_body(draw: st.DrawFn, text: str) -> Pairs:
    """Cut before and after most names of fields, and sometimes a little beside."""
    cuts: set[int] = set()
    for match in NAME.finditer(text):
        if draw(st.integers(0, 4)):
            cuts |= {match.start(), match.end() + draw(st.sampled_from([0, 0, 0, 1, 2, 8]))}
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    parts = [text[start:end] for start, end in pairwise(places)]
    if len(parts) % 2:
        parts.append("")
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_no_cut_of_a_stored_text_changes_any_stored_column(
    deliver: Deliver,
    client: FlaskClient,
    rows: Callable[[], dict[str, Any]],
    pytestconfig: pytest.Config,
) -> None:
    full = pytestconfig.getoption("--fault-rounds") == "full"

    @given(st.data())
    @hypothesis_settings(
        max_examples=1000 if full else examples(300),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    def try_cuts(data: st.DataObject) -> None:
        genuine = data.draw(_genuine())
        headers = genuine.signed("1")
        assert deliver(genuine.request(headers)).status_code == 200
        before = rows()
        cuts = [data.draw(_recut(genuine.text)) for _ in range(6)]
        for cut in cuts:
            if cut.text == genuine.text:  # fields that came out of order sign otherwise
                assert deliver(cut.request(headers)).status_code in (200, 403)
        assert rows() == before

    try_cuts()
    counted = re.search(r'reason="what V3 signed came[^}]*} (\d+)', client.get("/metrics").text)
    assert counted is not None
    assert int(counted[1]) > 10  # so there were cuts that say something
