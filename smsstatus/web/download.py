"""Messages as a file to download."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from flask import Response

from ..store.contract import Message
from ..views import csv_lines


def csv_response(messages: Iterable[Message], *, bom: bool) -> Response:
    """The messages as CSV, sent as they are read; with `bom` Excel takes it for UTF-8.

    The first chunk is made at once, so that a database that cannot be read is an error and not an
    answer that breaks off.
    """
    lines = csv_lines(messages)
    return Response(
        chain(["\ufeff" * bom + next(lines)], lines),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="messages.csv"'},
    )
