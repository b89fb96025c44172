"""What the spool and the log keep, read back: callbacks, and messages that we sent ourselves.

A record is a line of JSON. A file of the spool holds one or more.

A send is recorded as a callback with the method SEND and the message's Text beside its fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

from ..model import SEND_RANK, StatusUpdate
from ..notation import visible
from ..plivo.callback import Callback, digest_of, make_update, read_callback
from ..plivo.form import parse_form

_SEND = "SEND"

SUFFIXES = (".json", ".jsonl")
_SEVERAL = re.compile(r"-[0-9a-f]{12}\.([0-9]{1,4})\.jsonl\Z")


class NotReadable(ValueError):
    """A spool file or a record that cannot be read. The text says which and why."""


class Line(NamedTuple):
    """A record in a spool file: its bytes, what they say, and a name for a file of its own."""

    raw: bytes
    found: Callback | NotReadable
    name: str


def file_name(stamp: str, callbacks: int) -> str:
    """A new name for a file; it says how many callbacks are in it, if there are several.

    Earlier versions, which cannot read several, leave files of that name alone.
    """
    return f"{stamp}-{uuid4().hex[:12]}" + (".json" if callbacks == 1 else f".{callbacks}.jsonl")


def is_file_name(name: str) -> bool:
    """Is it a spool file's name? A log of JSON lines can end in `.jsonl` too."""
    return name.endswith(".json") or _SEVERAL.search(name) is not None


def callbacks_in(name: str) -> int:
    """How many callbacks a file of this name holds."""
    several = _SEVERAL.search(name)
    return int(several[1]) if several else 1


def read_file(path: Path) -> list[Line]:
    """The records in a spool file. Raises OSError."""
    raw = path.read_bytes()
    whole = _line(raw, f"{path.stem}.json")
    lines = [line for line in raw.splitlines() if line.strip()]
    if len(lines) < 2 or isinstance(whole.found, Callback):
        return [whole]
    return [_line(line, f"{path.stem}-{number}.json") for number, line in enumerate(lines, 1)]


def _line(raw: bytes, name: str) -> Line:
    found: Callback | NotReadable
    try:
        found = callback_of(json.loads(raw.decode()))
    except (ValueError, RecursionError) as error:
        found = NotReadable(f"{visible(name)} is not a spool file: {error}")
    return Line(raw, found, name)


def callback_of(content: object) -> Callback:
    """The Callback in what was read from JSON. Raises NotReadable."""
    defaults = Callback._field_defaults
    try:
        fields = {
            name: content.get(name, defaults[name]) if name in defaults else content[name]  # type: ignore[attr-defined, index]
            for name in Callback._fields
        }
    except (AttributeError, KeyError, TypeError):
        raise NotReadable("fields are missing") from None
    if not all(isinstance(v, str) or v is defaults.get(name, "") for name, v in fields.items()):
        raise NotReadable("a field is not text")
    try:
        "".join([value or "" for value in fields.values()]).encode()
    except UnicodeEncodeError:  # JSON can spell half a character
        raise NotReadable("a field is not UTF-8") from None
    return Callback(**fields)


def text_of(callback: Callback, reason: str) -> bytes:
    """The record of a callback, and why it is kept."""
    return json.dumps({"version": 1, "reason": reason, **callback._asdict()}).encode()


def digest_of_fields(callback: Callback) -> bytes:
    """Equal for callbacks whose fields are equal, however they are encoded. Raises Malformed."""
    query, body = parse_form(callback.query.encode()), parse_form(callback.body.encode())
    text = repr((callback.method, query, body, callback.v2_nonce, callback.used_nonce))
    return blake2b(text.encode(), digest_size=16).digest()


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
