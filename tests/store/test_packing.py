"""Parameters in few bytes: exactly as they were, whatever they are, and readable for good."""

from __future__ import annotations

import zlib
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsstatus.plivo.callback import Callback, read_callback
from smsstatus.store.packing import LIMIT, pack, unpack

from ..rounds import examples


class Columns(NamedTuple):
    """What an event's row holds of its parameters."""

    message_uuid: str
    status: str
    status_timestamp: str
    error_code: str | None
    sequence: int


UUID = "83876bdb-4f5c-4d4e-8d3a-0b6f5a1c2e7f"
DELIVERED = Columns(UUID, "delivered", "2026-11-01T00:00:03.250000Z", None, 3)
FAILED = Columns(UUID, "undelivered", "", "30", 0)
BODY = (
    f"Status=delivered&From=14155550100&ParentMessageUUID={UUID}&TotalRate=0.00550&MCC=405"
    f"&PartInfo=1+of+1&ErrorCode=000&To=918553651111&Units=1&TotalAmount=0.00550&MNC=803"
    f"&MessageUUID={UUID}&Type=sms&Sequence=3&MessageTime=2026-11-01+00%3A00%3A00.100000"
    "&QueuedTime=2026-11-01+00%3A00%3A00.125000&SentTime=2026-11-01+00%3A00%3A01.500000"
    "&DeliveryReportTime=2026-11-01+00%3A00%3A03.250000"
)


@pytest.mark.parametrize(
    ("packed", "columns", "parameters"),
    [
        (
            "01bdd1410a00201002c01f8552c6f6ff8f257b8f2222cfe2c159d034ca01813748de4aa706ed9d06"
            "43aa5d749664b968b540fde586429cb9b999f7eedc58843bb709",
            DELIVERED,
            BODY,
        ),
        (
            "021b88f018d4010200148295d97ad50d8398fc37bf9e382b50bbf076765a4e967808f1a1c62b60",
            DELIVERED,
            BODY,
        ),
        ("0068c3a4", FAILED, "hä"),
    ],
)
def test_what_was_packed_once_can_be_read_for_good(
    packed: str, columns: Columns, parameters: str
) -> None:
    """If this fails, the dictionary has changed: files written before would be unreadable."""
    assert unpack(bytes.fromhex(packed), *columns) == parameters


@pytest.mark.parametrize(
    ("columns", "dictionary"),
    [
        (
            DELIVERED,
            "&PowerpackUUID=&requester_ip=&ConversationID=&ConversationOrigin="
            "&ConversationExpirationTimestamp=&Type=whatsapp&Type=mms&ErrorCode=&Status=delivered"
            f"&From=1&ParentMessageUUID={UUID}&TotalRate=0.00&MCC=310&PartInfo=1+of+1&ErrorCode=000"
            f"&To=1&Units=1&TotalAmount=0.00&MNC=0&MessageUUID={UUID}&Type=sms&Sequence=3"
            "&MessageTime=2026-11-01+00%3A00%3A03.250000&QueuedTime=2026-11-01+00%3A00%3A03.250000"
            "&SentTime=2026-11-01+00%3A00%3A03.250000"
            "&DeliveryReportTime=2026-11-01+00%3A00%3A03.250000",
        ),
        (
            FAILED,
            "&PowerpackUUID=&requester_ip=&ConversationID=&ConversationOrigin="
            "&ConversationExpirationTimestamp=&Type=whatsapp&Type=mms&ErrorCode="
            f"&Status=undelivered&From=1&ParentMessageUUID={UUID}&TotalRate=0.00&MCC=310"
            f"&PartInfo=1+of+1&ErrorCode=30&To=1&Units=1&TotalAmount=0.00&MNC=0&MessageUUID={UUID}"
            "&Type=sms&Sequence=0&MessageTime=&QueuedTime=&SentTime=&DeliveryReportTime=",
        ),
    ],
    ids=["with a time", "without"],
)
def test_no_byte_of_the_dictionary_may_ever_change(columns: Columns, dictionary: str) -> None:
    """Every stream that refers to it would inflate to another text; a new one needs a number."""
    stream = zlib.compressobj(
        6, zlib.DEFLATED, -11, 4, zlib.Z_DEFAULT_STRATEGY, dictionary.encode()
    )
    packed = b"\x01" + stream.compress(dictionary.encode()) + stream.flush()
    assert len(packed) < 20  # it refers to all of it
    assert unpack(packed, *columns) == dictionary


def test_no_byte_of_the_form_may_ever_change() -> None:
    form = (
        "&PowerpackUUID=&requester_ip=&ConversationID=&ConversationOrigin="
        "&ConversationExpirationTimestamp=&Type=whatsapp&Type=mms&SentTime=\x03"
        "&DeliveryReportTime=\x05.000000&ErrorCode=00&ErrorCode=&To=00000000000Status=\x02"
        "&From=00000000000&ParentMessageUUID=\x01&TotalRate=0.00000&MCC=000&PartInfo=0+of+0"
        "&ErrorCode=000&To=00000000000&Units=0&TotalAmount=0.00000&MNC=000&MessageUUID=\x01"
        "&Type=sms&Sequence=0&MessageTime=\x0400.000000&QueuedTime=\x0400.000000"
        "&SentTime=\x0400.000000&DeliveryReportTime=\x03"
    )
    stream = zlib.compressobj(6, zlib.DEFLATED, -11, 4, zlib.Z_DEFAULT_STRATEGY, form.encode())
    deflated = stream.compress(form.encode()) + stream.flush()
    assert len(deflated) < 12  # it refers to all of it
    number = bytes((form.count("0") * 10 + 23) // 24)
    expected = form.replace("\x05", "2026-11-01+00%3A").replace("\x04", "2026-11-01+00%3A00%3A")
    expected = expected.replace("\x03", "2026-11-01+00%3A00%3A03.250000")
    expected = expected.replace("\x02", "delivered").replace("\x01", UUID)
    assert unpack(b"\x02" + deflated + number, *DELIVERED) == expected


TEXTS = st.text(st.characters() | st.sampled_from("0123456789%"), max_size=300)
WORDS = st.sampled_from(["delivered", "read", "odd one", "ä" * 200])
COLUMNS = st.builds(
    Columns,
    st.uuids().map(str) | st.text("abc-", min_size=1, max_size=64),
    WORDS,
    st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='microseconds')}Z")
    | st.just(""),
    st.none() | st.integers(0, 9999).map(str) | TEXTS,
    st.integers(0, 10**18),
)


@st.composite
def forms(draw: st.DrawFn, columns: Columns) -> str:
    """What Plivo could send, with fields nobody knows, in any order."""
    fields = {
        "MessageUUID": columns.message_uuid,
        "Status": columns.status,
        "ErrorCode": columns.error_code or "",
        "Sequence": str(columns.sequence),
        "SentTime": columns.status_timestamp,
        **draw(st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=6)),
    }
    return urlencode(draw(st.permutations(list(fields.items()))), errors="replace")


@settings(max_examples=examples(500))
@given(st.data(), COLUMNS)
def test_any_text_comes_back_exactly(data: st.DataObject, columns: Columns) -> None:
    text = data.draw(TEXTS | forms(columns))
    text = (text * data.draw(st.sampled_from([1, 2, 50])))[: 1 << 16]
    packed = pack(text, *columns)
    assert unpack(packed, *columns) == text
    assert len(packed) <= len(text.encode("utf-8", "surrogatepass")) + 1


@pytest.mark.parametrize("size", [0, 1, 1 << 16, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT])
@pytest.mark.parametrize("letter", ["a", "ü", "\ud800", "\0"], ids=ascii)
def test_any_size_comes_back_exactly(size: int, letter: str) -> None:
    text = letter * (size // len(letter.encode("utf-8", "surrogatepass")))
    assert unpack(pack(text, *DELIVERED), *DELIVERED) == text


def test_a_callback_takes_a_tenth_of_its_bytes() -> None:
    callback = Callback("POST", "", BODY, "2026-11-01T00:00:04.000000Z")
    update = read_callback(callback, source="callback")
    columns = Columns(*(getattr(update, name) for name in Columns._fields))
    assert columns == DELIVERED
    assert len(pack(BODY, *columns)) < len(BODY) / 10


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"", "unknown format none"),
        (b"\x03abc", "unknown format 03"),
        (b"\x01", "damaged"),
        (b"\x01\xff\xff\xff", "damaged"),
        (pack(BODY, *DELIVERED)[:-1], "damaged"),
        (pack(BODY, *DELIVERED) + b"\0", "damaged"),
        (b"\x00\xff", "utf-8"),
        (b"\x02", "damaged"),
        (b"\x02" + pack(BODY, *DELIVERED)[2:], "damaged"),
        (b"\x02" + bytes.fromhex("030000"), "damaged"),
    ],
)
def test_what_was_not_packed_here_is_refused(packed: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        unpack(packed, *DELIVERED)


def test_a_stream_that_inflates_without_end_is_cut() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -11)
    bomb = stream.compress(b"a" * 50_000_000) + stream.flush()
    for kind in (b"\x01", b"\x02"):
        with pytest.raises(ValueError, match="damaged"):
            unpack(kind + bomb, *DELIVERED)
