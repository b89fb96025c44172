"""What is answered by reading alone has one bound for all that it reads."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from flask import Flask, Response

from smsstatus import promise


@pytest.mark.parametrize(("method", "is_bounded"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_an_answer_that_only_reads_is_made_in_time_and_sent_as_slowly_as_it_is_read(
    app: Flask, method: str, is_bounded: bool
) -> None:
    left = []

    def lines() -> Iterator[str]:
        left.append(promise.seconds_left())
        yield ""

    def view() -> Response:
        left.append(promise.seconds_left())
        return Response(lines())

    app.add_url_rule("/view", view_func=view, methods=["GET", "POST"])
    app.test_client().open("/view", method=method).get_data()
    assert (0 < left[0] <= promise.READ_SECONDS) is is_bounded
    assert {*left[1:], promise.seconds_left()} == {math.inf}
