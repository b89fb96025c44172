"""Status updates for the tests of the stores, made as callbacks make them."""

from __future__ import annotations

from urllib.parse import urlencode

from hypothesis import strategies as st

from smsstatus.model import StatusUpdate
from smsstatus.plivo.callback import Callback, status_update
from smsstatus.plivo.form import parse_form

DAY = "2026-11-01"
EARLIEST, LATEST = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"
NOON = f"{DAY}T12:00:00.000000Z"
Fields = dict[str, str]


def at(status: str, time: str = "", **more: str) -> Fields:
    """Fields of a callback; `time` is of the day above, with its offset if it has one."""
    return {"Status": status, **({"Timestamp": f"{DAY} {time}"} if time else {}), **more}


def second(number: int) -> str:
    """A time after noon of the day above."""
    return f"{DAY}T12:{number // 60:02}:{number % 60:02}.000000Z"


def update_of(fields: Fields, received_at: str = NOON, nonce: str | None = None) -> StatusUpdate:
    """The update these fields make; Body stands for what only a send tells, `?` for the query, and
    Asked for what Plivo told when it was asked.
    """
    query = fields.get("?", "")
    body = [pair for pair in fields.items() if pair[0] != "?"]
    callback = Callback("POST", query, urlencode(body), received_at, v2_nonce=nonce)
    update = status_update(parse_form(query.encode()), body, callback)
    source = "reconcile" if "Asked" in fields else "callback"
    return update._replace(message_body=fields.get("Body"), source=source)


THEIRS = "order=2&MCC=262&MNC=01&Units=9&TotalAmount=9"
"""A query in which the sender uses Plivo's names. A message whose other callback has the query
`order=2` is found by that one.
"""


times = st.sampled_from(
    [
        "",
        "soon",
        "0001-01-01 00:00:00",
        "2099-01-01 00:00:00",
        f"{DAY} 00:00:01",
        f"{DAY} 00:00:02",
        f"{DAY} 05:30:01+05:30",
        f"{DAY} 00:00:01.5",
    ]
)
statuses = st.sampled_from(
    [
        "queued",
        "Sent",
        "sent",
        "delivered",
        "undelivered",
        "failed",
        "rejected",
        "read",
        "lost",
        "found",
    ]
)
updates = st.fixed_dictionaries(
    {"Status": statuses},
    optional={
        "From": st.sampled_from(["1", "2", "+1", ""]),
        "To": st.sampled_from(["3", "4", "+3", "14155550123", "919812345678"]),
        "MCC": st.sampled_from(["310", "311", "404", "998", "x"]),
        "MNC": st.sampled_from(["260", "01", ""]),
        "Units": st.sampled_from(["1", "3", "0", "many"]),
        "TotalAmount": st.sampled_from(["0.00550", "0", "1.2", "free"]),
        "ErrorCode": st.sampled_from(["", "000", "30", "450"]),
        "Sequence": st.sampled_from(["1", "2", "10", "x", "9" * 18]),
        "Timestamp": times,
        "SentTime": times,
        "DeliveryReportTime": times,
        "?": st.sampled_from(["", "order=42", "order=41&To=crm", "Status=read"]),
        "QueuedTime": times,
        "Asked": st.just("Plivo"),
        "MessageTime": times,
    },
)
"""Fields of one callback, some of them without any time."""
