"""Forms: the bytes of a body or a query string in, sorted names and values out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

Pairs = Sequence[tuple[str, str]]
"""Names and values, decoded."""

MAX_BODY = 65_536  # bytes; a status callback has about 600
_MAX_FIELDS = 250  # ten times what Plivo sends; bounds what a forged body can cost


class Malformed(ValueError):
    """The bytes are not a UTF-8 form, so there is nothing a signature could vouch for."""


def parse_form(raw: bytes) -> list[tuple[str, str]]:
    """Decode a form body or a query string, sorted: blank values and repeated keys are kept.

    Sorted, because signature and digest are made from sorted fields: sorting again costs little.
    Raises Malformed when it is not UTF-8, before or after percent-decoding, or holds a NUL.
    """
    if not raw:
        return []
    try:
        text = raw.decode("utf-8")
        if "\0" in text or "%00" in text:
            raise ValueError("NUL")
        text = text.replace("+", " ")
        text = text.replace("%3A", ":")  # the colons of times are most of what is escaped
        fields = text.split("&")
        if len(fields) > _MAX_FIELDS:
            raise ValueError("too many")
        pairs = [field.partition("=")[::2] for field in fields if field]
        if "%" in text:  # rarely by now: decoding costs as much as all the rest
            pairs = [(_unquote(name), _unquote(value)) for name, value in pairs]
        return sorted(pairs)
    except ValueError:
        raise Malformed(f"not a UTF-8 form of at most {_MAX_FIELDS} fields without NUL") from None


def _unquote(text: str) -> str:
    return unquote_to_bytes(text).decode() if "%" in text else text
