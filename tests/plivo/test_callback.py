"""What a callback says, without Flask and without a database."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsstatus.model import FINAL_STATUSES, TEXT_DIGEST_SIZE, StatusUpdate, utc_now, utc_timestamp
from smsstatus.plivo import callback as callbacks
from smsstatus.plivo.callback import (
    Callback,
    Facts,
    Unusable,
    digest_of,
    facts_of,
    read_callback,
    status_update,
)
from smsstatus.plivo.form import Malformed, Pairs, parse_form

from ..rounds import examples

NOW = "2026-11-01T12:00:00.000000Z"
DAY = "2026-11-01"


def update(fields: dict[str, str] | None = None, **more: str) -> StatusUpdate:
    """A status update of message `a`, of status sent unless said otherwise."""
    pairs = {"MessageUUID": "a", "Status": "sent", **(fields or {}), **more}
    return status_update([], list(pairs.items()), Callback("POST", "", "", NOW))


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", []),
        (b"a=1&a=1&a=2", [("a", "1"), ("a", "1"), ("a", "2")]),
        (b"a=&b&=c", [("", "c"), ("a", ""), ("b", "")]),
        (b"a=x+y%2B%26", [("a", "x y+&")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
        (b"a=%C3%BC", [("a", "\u00fc")]),
        (b"a=\xc3\xbc", [("a", "\u00fc")]),
        (b"a=%2500", [("a", "%00")]),
        (b"a=b=c", [("a", "b=c")]),
    ],
)
def test_a_form_is_read_whole(raw: bytes, pairs: list[tuple[str, str]]) -> None:
    assert parse_form(raw) == pairs


@pytest.mark.parametrize(
    "raw", [b"a=%00", b"a=\0", b"%00=a", b"a=%ED%A0%80", b"a=\xed\xa0\x80", b"a=%FF", b"\xff"]
)
def test_nul_lone_surrogates_and_what_is_not_utf8_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_form(raw)


@given(st.binary(max_size=40))
@settings(max_examples=examples(500), deadline=None, derandomize=True)
def test_any_bytes_are_a_form_that_can_be_stored_or_malformed(raw: bytes) -> None:
    try:
        pairs = parse_form(raw)
    except Malformed:
        return
    for text in (text for pair in pairs for text in pair):
        assert "\0" not in text
        text.encode()


@pytest.mark.parametrize("count", [250, 251])
def test_at_most_250_fields_are_read(count: int) -> None:
    raw = b"&".join([b"a=1"] * count)
    if count <= 250:
        assert len(parse_form(raw)) == count
    else:
        with pytest.raises(Malformed, match="250"):
            parse_form(raw)


@pytest.mark.parametrize("status", ["Delivered", "DELIVERED", " delivered "])
def test_a_status_in_another_case_is_the_same_status(status: str) -> None:
    assert update(Status=status).status == "delivered"
    assert update(Status=status).order_key[:4] == update(Status="delivered").order_key[:4]


@pytest.mark.parametrize("code", ["", " ", "000", " 000 "])
def test_a_blank_error_code_and_000_are_no_error(code: str) -> None:
    assert update(ErrorCode=code).error_code is None
    assert update().error_code is None


@pytest.mark.parametrize("code", ["30", "0", "00", "0000", "010", "abc", " 450 "])
def test_another_error_code_is_kept_as_text(code: str) -> None:
    assert update(ErrorCode=code).error_code == code.strip()


def test_final_statuses_are_the_documented_ones() -> None:
    assert {"delivered", "undelivered", "failed", "rejected", "read"} == FINAL_STATUSES


def test_an_unknown_status_is_kept_and_is_not_final() -> None:
    assert update(Status="Teleported")[:2] == ("a", "teleported")
    assert update(Status="teleported").order_key[:4] == (1, "", 0, 0)


def test_statuses_rank_in_the_order_of_a_life() -> None:
    words = ["teleported", "queued", "sent", "failed", "delivered", "read"]
    ranks = [update(Status=word).rank for word in words]
    assert ranks == sorted(set(ranks))
    assert len({update(Status=word).rank for word in ("failed", "undelivered", "rejected")}) == 1


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-01 00:00:03.250000", "2026-11-01T00:00:03.250000Z"),
        ("2026-11-01T00:00:03Z", "2026-11-01T00:00:03.000000Z"),
        (" 2026-11-01 00:00:03 ", "2026-11-01T00:00:03.000000Z"),
        ("2026-11-01 05:30:03.25+05:30", "2026-11-01T00:00:03.250000Z"),
        ("2026-10-31 23:00:03-01:00", "2026-11-01T00:00:03.000000Z"),
        ("2024-08-21 18:28:51.94772+05:30", "2024-08-21T12:58:51.947720Z"),
        ("0999-01-01 00:00:00", "0999-01-01T00:00:00.000000Z"),
        ("", ""),
        ("soon", ""),
        ("2026-13-01 00:00:00", ""),
        ("0001-01-01 00:00:00+05:30", ""),
        ("9999-12-31 23:59:59-05:30", ""),
        ("1761955203", ""),
    ],
)
def test_times_become_utc_of_fixed_width_or_nothing(text: str, utc: str) -> None:
    assert utc_timestamp(text) == utc


def test_our_own_clock_has_the_same_form() -> None:
    now = utc_now()
    assert utc_timestamp(now) == now
    assert len(now) == len(NOW)


TIMES = {
    "MessageTime": f"{DAY} 00:00:01",
    "QueuedTime": f"{DAY} 00:00:02",
    "SentTime": f"{DAY} 00:00:03",
    "DeliveryReportTime": f"{DAY} 00:00:04",
    "Timestamp": f"{DAY} 00:00:05",
}


@pytest.mark.parametrize(
    ("status", "order"),
    [
        ("queued", ["Timestamp", "QueuedTime", "MessageTime"]),
        ("sent", ["Timestamp", "SentTime", "QueuedTime", "MessageTime"]),
        *(
            (status, ["Timestamp", "DeliveryReportTime", "SentTime", "QueuedTime", "MessageTime"])
            for status in ("delivered", "undelivered", "failed", "rejected", "read", "unknown")
        ),
    ],
)
def test_the_time_of_a_status_is_its_own_field_or_the_one_before(
    status: str, order: list[str]
) -> None:
    times = dict(TIMES)
    for name in order:
        assert update(times, Status=status).status_timestamp == utc_timestamp(times[name])
        times[name] = "not a time"
    assert update(times, Status=status).status_timestamp == ""


def test_queued_at_is_when_plivo_queued_or_received_the_message() -> None:
    assert update(TIMES).queued_at == f"{DAY}T00:00:02.000000Z"
    assert update(MessageTime=TIMES["MessageTime"]).queued_at == f"{DAY}T00:00:01.000000Z"
    assert update().queued_at is None


@pytest.mark.parametrize(
    ("text", "sequence"),
    [("7", 7), ("007", 7), (" 7 ", 7), ("9" * 18, 10**18 - 1)]
    + [
        (text, 0)
        for text in ("", "-1", "1.5", "x", "\u0667", "\u00b2", "1_0", "9" * 19, "9" * 5000)
    ],
)
def test_a_sequence_that_is_no_number_counts_as_absent(text: str, sequence: int) -> None:
    assert update(Sequence=text).sequence == sequence


@pytest.mark.parametrize(("name", "longest"), [("MessageUUID", 64), ("Status", 200)])
def test_what_a_row_needs_must_be_there_and_short(name: str, longest: int) -> None:
    for value in ("", "  ", "x" * (longest + 1)):
        with pytest.raises(Unusable, match=name):
            update({name: value})
    assert update({name: "x" * longest})


@pytest.mark.parametrize("name", ["From", "To", "ErrorCode"])
def test_what_is_too_long_to_be_a_number_or_a_code_counts_as_absent(name: str) -> None:
    assert "x" * 500 in update({name: f" {'x' * 500} "})
    assert update({name: "x" * 501})._replace(digest=b"", parameters="") == update()._replace(
        digest=b"", parameters=""
    )


@pytest.mark.parametrize("uuid", ["a b", "a=b", "a.b", "a&b", "a_b", "\u00e4", "\u0661", "a\n-b"])
def test_a_message_uuid_is_letters_digits_and_hyphens(uuid: str) -> None:
    with pytest.raises(Unusable, match="MessageUUID"):
        update(MessageUUID=uuid)
    assert update(MessageUUID=f" SM-{'0aB' * 20} ").message_uuid == f"SM-{'0aB' * 20}"


@pytest.mark.parametrize(
    "name", ["MessageUUID", "Status", "ErrorCode", "Sequence", "From", "To", *TIMES]
)
def test_a_field_we_act_on_must_not_have_two_values(name: str) -> None:
    pairs = [("MessageUUID", "a"), ("Status", "sent"), (name, "a"), (name, "b")]
    with pytest.raises(Unusable, match=name):
        status_update([], pairs, Callback("POST", "", "", NOW))


def test_a_field_may_be_repeated_with_the_same_value_or_when_nothing_hangs_on_it() -> None:
    pairs = [("MessageUUID", "a"), ("Status", "sent"), ("Status", "sent"), ("x", "1"), ("x", "2")]
    assert status_update([], pairs, Callback("POST", "", "", NOW)).status == "sent"


def test_the_digest_is_of_the_set_of_fields() -> None:
    pairs = [("a", "1"), ("b", "2"), ("a", "0")]
    others = [pairs[:2], [*pairs, ("a", "0")], [("a", "1"), ("b", "2"), ("a0", "")], []]
    for method in ("POST", "GET"):

        def digest(pairs: Pairs, method: str = method) -> bytes:
            query, body = (pairs, []) if method == "GET" else ([], pairs)
            return digest_of(method, query, body, domain="V3")

        assert digest(pairs) == digest(pairs[::-1])
        assert len({digest(other) for other in [pairs, *others]}) == 5


def test_all_cuts_of_one_signed_text_share_the_first_part_of_the_digest_and_no_more() -> None:
    cuts: list[tuple[str, Pairs, Pairs]] = [
        ("POST", [], [("a=1&b=2.c3", "")]),
        ("POST", [], [("a", "=1&b=2.c3")]),
        ("POST", [("a", "1"), ("b", "2")], [("c", "3")]),
        ("POST", [("a", "1"), ("b", "2")], [("c3", "")]),
        ("POST", [("a", "1&b=2")], [("c", "3")]),
        ("POST", [("a", "1"), ("b", "2.c3")], []),
        ("GET", [("a", "1"), ("b", "2.c3")], []),
    ]
    digests = [digest_of(*cut, domain="V3") for cut in cuts]
    assert len(set(digests)) == len(cuts)
    assert len({digest[:TEXT_DIGEST_SIZE] for digest in digests}) == 1
    others = [digest_of(*cuts[0], domain=domain) for domain in ("V2", "send", "reconcile")]
    assert len({digest[:TEXT_DIGEST_SIZE] for digest in [digests[0], *others]}) == 4


def test_parameters_that_swap_places_in_the_same_text_are_another_reading() -> None:
    one = digest_of("POST", [("a", "1.a1")], [("a", "1")], domain="V3")
    other = digest_of("POST", [("a", "1")], [("a", "1.a1")], domain="V3")
    assert one != other


@pytest.mark.parametrize(
    "query", ["To=crm", "Status=sent", "MessageUUID=other", "%53tatus=sent", "Status=sent&Status=x"]
)
def test_of_a_post_the_query_is_the_senders_own(query: str) -> None:
    body = "MessageUUID=u&Status=delivered&To=2"
    kept = read_callback(Callback("POST", query, body, NOW), source="callback")
    alone = read_callback(Callback("POST", "", body, NOW), source="callback")
    told = {"digest": b"", "parameters": "", "reference": None}
    assert kept._replace(**told) == alone._replace(**told)
    assert (kept.reference, alone.reference) == (query, None)
    with pytest.raises(Unusable, match="MessageUUID is missing"):
        read_callback(Callback("POST", f"{body}&{query}", "", NOW), source="callback")


def test_a_get_has_only_its_query_and_no_reference() -> None:
    got = read_callback(Callback("GET", "MessageUUID=u&Status=sent&order=42", "", NOW), source="x")
    assert (got.message_uuid, got.status, got.reference) == ("u", "sent", None)


PLIVOS = "MessageUUID=u&Status=sent&MCC=310&MNC=260&Units=2"
THEIRS = "order=2&MCC=262&Units=9"


@pytest.mark.parametrize("nonce", [None, "a-nonce"])
@pytest.mark.parametrize("reference", [None, "order=1", "order=2", THEIRS, "a=1&b=2&c=3&d=4"])
@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("POST", "", PLIVOS),
        ("POST", "", f"{THEIRS}&{PLIVOS}"),
        ("POST", "order=2", "MessageUUID=u&Status=sent"),
        ("POST", THEIRS, "MessageUUID=u&Status=sent"),
        ("POST", THEIRS, "MessageUUID=u&Status=sent&Units=&TotalAmount=0.0055"),
        ("POST", THEIRS, PLIVOS),
        ("POST", f"&{THEIRS}&&", f"&{PLIVOS}"),
        ("POST", f"{PLIVOS}&{PLIVOS}", f"{PLIVOS}&Units=3"),
        ("POST", "", f"Units=7&{PLIVOS}"),
        ("GET", f"{THEIRS}&{PLIVOS}", ""),
    ],
)
def test_what_is_kept_tells_where_the_message_went_as_the_callback_did(
    method: str, query: str, body: str, reference: str | None, nonce: str | None
) -> None:
    """Whichever of its queries the message is found by; without one no callback has had one."""
    got = read_callback(Callback(method, query, body, NOW, nonce), source="callback")
    found_by = reference or got.reference
    told = Facts(got.network, got.units, got.amount)
    assert facts_of(got.parameters, found_by, got.digest) == told


@pytest.mark.parametrize("domain", ["reconcile", "send"])
def test_that_an_update_had_no_query_is_found_out_at_once_whoever_made_it(
    domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be millions, and each way to cut one costs two digests or more."""
    digest = digest_of("POST", [], [*parse_form(PLIVOS.encode())][::-1], domain=domain)
    tried: list[Pairs] = []

    def noting(method: str, query: Pairs, body: Pairs, **more: str) -> bytes:
        tried.append(query)
        return digest_of(method, query, body, **more)

    monkeypatch.setattr(callbacks, "digest_of", noting)
    assert facts_of(PLIVOS, "order=2", digest) == Facts("310-260", 2, None)
    assert [query for query in tried if query not in ([], tried[0])] == []
    assert tried[-1] == []


def test_where_the_digest_does_not_say_what_was_the_query_it_is_that_of_the_message() -> None:
    """Version 2 of the schema had a digest of all fields together."""
    for digest in (b"of 16 bytes only", bytes(26)):
        assert facts_of(f"{THEIRS}&{PLIVOS}", THEIRS, digest) == Facts("310-260", 2, None)
        assert facts_of(f"{THEIRS}&Status=sent", THEIRS, digest) == Facts(None, None, None)
        assert facts_of(f"{THEIRS}&{PLIVOS}", None, digest) == Facts("310-260", 2, None)


@pytest.mark.parametrize(
    ("text", "received_at", "is_time"),
    [
        ("1999-12-31 23:59:59", NOW, False),
        ("2000-01-01 00:00:00", NOW, True),
        ("0001-01-01 00:00:00", NOW, False),
        ("1970-01-01 00:00:00", "1970-01-01T00:00:09.000000Z", False),
        ("2026-11-02 12:00:00", NOW, True),
        ("2026-11-02 12:00:00.000001", NOW, False),
        ("2099-01-01 00:00:00", NOW, False),
        ("2026-11-01 00:00:00", "1970-01-01T00:00:09.000000Z", True),
        ("2026-11-01 00:00:00", "2024-12-31T23:59:59.999999Z", True),
        ("2026-11-01 00:00:00", "2025-01-01T00:00:00.000000Z", False),
        ("2026-11-01 00:00:00", "2026-never", True),
    ],
)
def test_a_filler_is_no_time_and_none_lies_more_than_a_day_ahead(
    text: str, received_at: str, is_time: bool
) -> None:
    told = {"MessageUUID": "u", "Status": "sent", "SentTime": text, "QueuedTime": text}
    got = status_update([], list(told.items()), Callback("POST", "", "", received_at))
    assert bool(got.status_timestamp) is bool(got.queued_at) is is_time


@pytest.mark.parametrize(
    ("received_at", "kept"),
    [("1970-01-01T00:00:09.000000Z", f"{DAY}T00:00:03.000000Z"), (NOW, NOW)],
)
def test_where_the_clock_was_never_set_plivo_says_when_a_callback_came(
    received_at: str, kept: str
) -> None:
    told = {"MessageUUID": "u", "Status": "sent", "SentTime": f"{DAY} 00:00:03"}
    got = status_update([], list(told.items()), Callback("POST", "", "", received_at))
    assert got.received_at == kept


def test_the_field_behind_a_filler_tells_the_time() -> None:
    times = {"DeliveryReportTime": "0001-01-01 00:00:00", "SentTime": f"{DAY} 00:00:03"}
    assert update(times, Status="delivered").status_timestamp == f"{DAY}T00:00:03.000000Z"


def test_a_kept_callback_reads_as_it_did_the_first_time() -> None:
    callback = Callback("POST", "a=%C3%BC", "MessageUUID=u&Status=sent&From=1&To=+2", NOW, "nonce")
    query, body = parse_form(callback.query.encode()), parse_form(callback.body.encode())
    first = status_update(query, body, callback)
    assert read_callback(callback, source="replay") == first._replace(source="replay")
    assert first.parameters == "a=%C3%BC&MessageUUID=u&Status=sent&From=1&To=+2"
    assert (first.v2_nonce, first.received_at) == ("nonce", NOW)
    assert (first.sender_number, first.recipient_number) == ("1", "2")
    assert first.reference == "a=%C3%BC"
