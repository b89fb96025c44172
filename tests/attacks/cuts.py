"""Other requests that a captured V3 signature fits, since V3 joins fields without separators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from urllib.parse import urlencode

from smsstatus.plivo.signature import signed_text
from smsstatus.settings import WEBHOOK_PATH

from ..signed import Request

Pairs = list[tuple[str, str]]


def cuts(request: Request, query: Pairs, body: Pairs) -> Iterator[Request]:
    """Every way to move one border, to join one or two fields with the next, and to move fields
    between query and body, or to a GET, under the same signature.
    """
    text = signed_text(request.method, query, body)
    seen = {(request.method, *sorted(query), "", *sorted(body))}
    for method, other_query, other_body in _tried(text, sorted(query), sorted(body)):
        key = (method, *sorted(other_query), "", *sorted(other_body))
        if key not in seen and signed_text(method, other_query, other_body) == text:
            seen.add(key)
            target = WEBHOOK_PATH + (f"?{urlencode(other_query)}" if other_query else "")
            yield Request(method, target, request.headers, urlencode(other_body).encode())


def _tried(text: str, query: Pairs, body: Pairs) -> Iterator[tuple[str, Pairs, Pairs]]:
    for other in _moved(body):
        yield "POST", query, other
    signed = text[1:]
    for dot in re.finditer(r"\.", signed):
        for split in _queries(signed[: dot.start()]):
            yield "POST", split, [("", signed[dot.end() :])]
            yield "POST", split, body
            yield "POST", split, _named(signed[dot.end() :])
    for whole in _queries(signed):
        yield "GET", whole, []
        yield "POST", whole, []
    yield "POST", [], [("", signed)]
    yield "POST", [], [(signed, "")]
    yield "POST", [], _named(signed)


def _moved(body: Pairs) -> Iterator[Pairs]:
    flat = [part for pair in body for part in pair]
    for at, by in ((at, by) for at in range(len(flat) - 1) for by in range(-12, 13)):
        left, right = flat[at], flat[at + 1]
        if 0 <= len(left) + by <= len(left + right):
            joined = left + right
            border = len(left) + by
            yield _pairs([*flat[:at], joined[:border], joined[border:], *flat[at + 2 :]])
    for count in (1, 2):
        for chosen in combinations(range(len(body) - 1), count):
            parts = list(body)
            for at in reversed(chosen):
                (name, value), (after, last) = parts[at], parts[at + 1]
                for joined in ((name, value + after + last), (name + value + after, last)):
                    yield [*parts[:at], joined, *parts[at + 2 :]]
                parts[at : at + 2] = [(name, value + after + last)]
            yield parts


def _named(text: str) -> Pairs:
    """Cut where a field's name could begin."""
    name = re.compile(r"(MessageUUID|Status|ErrorCode|From|Sequence|To)(?=.)")
    parts = [part for part in name.split(text) if part]
    return _pairs(parts + [""] * (len(parts) % 2))


def _queries(text: str) -> Iterator[Pairs]:
    """Fields of a query, also with `&` and `=` inside of a value or a name."""
    pieces = text.split("&")
    for start, end in combinations(range(len(pieces) + 1), 2):
        joined = [*pieces[:start], "&".join(pieces[start:end]), *pieces[end:]]
        if all("=" in piece for piece in joined):
            yield [(n, v) for n, _, v in (piece.partition("=") for piece in joined)]
            yield [(n, v) for n, _, v in (piece.rpartition("=") for piece in joined)]


def _pairs(flat: list[str]) -> Pairs:
    return list(zip(flat[::2], flat[1::2], strict=True))
