"""What the spool and the log keep, read back: callbacks, and messages that we sent ourselves.

A send is recorded as a callback with the method SEND and the message's Text beside its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from ..model import SEND_RANK, StatusUpdate
from ..plivo.callback import Callback, digest_of, make_update, read_callback
from ..plivo.form import parse_form

_SEND = "SEND"


def sent_update(fields: Mapping[str, str], text: str | None, received_at: str) -> StatusUpdate:
    """The first update of a message that we sent; `fields` carry the callback's names.

    Any callback stands above it. Raises Unusable.
    """
    pairs = sorted(fields.items())
    update = make_update(
        fields,
        digest=digest_of("POST", [], pairs, domain="send"),
        received_at=received_at,
        source="send",
        parameters=urlencode(pairs),
    )
    return update._replace(message_body=text, rank=SEND_RANK)


def send_record(fields: Mapping[str, str], text: str, received_at: str) -> Callback:
    """What `read_record` makes the same `sent_update` of."""
    return Callback(_SEND, "", urlencode({**fields, "Text": text}), received_at)


def read_record(record: Callback) -> StatusUpdate:
    """The update in what was kept earlier. Raises Malformed or Unusable."""
    if record.method != _SEND:
        return read_callback(record, source="replay")
    fields = dict(parse_form(record.body.encode()))
    return sent_update(fields, fields.pop("Text", None), record.received_at)
