"""Long lists become JSON in pieces, and what comes of it is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.json.provider import DefaultJSONProvider
from flask.testing import FlaskClient

from smsstatus.web.long_json import ITEMS

from ..conftest import Receive


@pytest.mark.parametrize("count", [0, 1, ITEMS, ITEMS + 1, 2 * ITEMS, 3 * ITEMS - 1])
def test_a_list_of_any_length_is_the_same_as_when_it_is_encoded_at_once(
    api: FlaskClient, count: int
) -> None:
    items: list[Any] = [{"name": f"],[\u20ac{number}", "list": [number]} for number in range(count)]
    for shown in ({"first": None, "items": items, "last": [1.5, "]"]}, items, {}):
        for how in ({"separators": (",", ":")}, {"indent": 2}):
            assert json.loads(api.application.json.dumps(shown, **how)) == shown
        as_sent = json.dumps(shown, separators=(",", ":"))
        assert api.application.json.response(shown).get_data(as_text=True) == f"{as_sent}\n"


def test_no_answer_encodes_more_of_a_list_at_once(
    api: FlaskClient, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(ITEMS + 1):
        receive("sent", f"m-{number}")
    at_once = []
    dumps = DefaultJSONProvider.dumps

    def counting(provider: DefaultJSONProvider, shown: Any, **how: Any) -> str:
        at_once.append(len(shown) if isinstance(shown, list) else 1)
        return dumps(provider, shown, **how)

    monkeypatch.setattr(DefaultJSONProvider, "dumps", counting)
    assert len(api.get("/messages?limit=200").get_json()["messages"]) == ITEMS + 1
    assert max(at_once) == ITEMS
