"""What a sender puts on the callback's address: shown with the message, and found by it."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ..conftest import Deliver
from ..live import API_TOKEN
from ..signed import Plivo
from .conftest import problem

QUERY = "order=42&shop=7&shop=8&note=a%20b%26c&empty=&To=crm&caf%C3%A9=%2B1"
PARAMETERS = {
    "order": "42",
    "shop": ["7", "8"],
    "note": "a b&c",
    "empty": "",
    "To": "crm",
    "caf\u00e9": "+1",
}
PAIRS = ["order=42", "shop=7", "shop=8", "note=a b&c", "empty=", "To=crm", "caf\u00e9=+1"]
LOGIN = ("anyone", API_TOKEN)


@pytest.fixture
def ordered(deliver: Deliver, plivo: Plivo) -> str:
    """A message that was sent for an order; its UUID. There are others."""
    fields = plivo.fields("delivered")
    for query, values in (
        ("order=43&shop=9", plivo.fields("sent")),
        ("", plivo.fields("sent")),
        (QUERY, fields),
        ("order=420&order2=42", plivo.fields("sent")),
    ):
        assert deliver(plivo.post(values, query=query)).status_code == 200
    return fields["MessageUUID"]


def test_the_reference_is_an_object_of_the_addresss_parameters(
    api: FlaskClient, ordered: str
) -> None:
    message = api.get(f"/messages/{ordered}").get_json()
    assert message["reference"] == PARAMETERS
    assert message["recipient_number"] == "+14155550123", "a parameter is no field of Plivo's"
    listed = api.get("/messages").get_json()["messages"]
    assert [message["reference"] for message in listed] == [
        {"order": "420", "order2": "42"},
        PARAMETERS,
        None,
        {"order": "43", "shop": "9"},
    ]


def test_without_parameters_it_is_null(api: FlaskClient, deliver: Deliver, plivo: Plivo) -> None:
    fields = plivo.fields("sent")
    deliver(plivo.get(fields))  # all in the query, and all of it Plivo's
    sent = api.post("/messages", json={"to": "+14155550123", "text": "Hello"}).get_json()
    assert sent["reference"] is None
    for message_uuid in (fields["MessageUUID"], sent["message_uuid"]):
        assert api.get(f"/messages/{message_uuid}").get_json()["reference"] is None


@pytest.mark.parametrize("pair", PAIRS)
def test_a_message_is_found_by_each_of_its_parameters(
    api: FlaskClient, ordered: str, pair: str
) -> None:
    for more in ({}, {"status": "delivered", "to": "14155550123"}):
        answer = api.get("/messages", query_string={"reference": pair, **more})
        assert [found["message_uuid"] for found in answer.get_json()["messages"]] == [ordered]


@pytest.mark.parametrize("pair", ["order=4", "order=42 ", "Order=42", "note=a", "x=42", "order="])
def test_it_is_not_found_by_others(api: FlaskClient, ordered: str, pair: str) -> None:
    answer = api.get("/messages", query_string={"reference": pair})
    assert answer.get_json()["messages"] == []


@pytest.mark.parametrize("text", ["order", "", "42", "a\0=b", "order%3D42"])
def test_what_is_not_name_and_value_is_refused_with_the_form(
    api: FlaskClient, client: FlaskClient, text: str
) -> None:
    answer = api.get("/messages", query_string={"reference": text})
    assert "order%3D42" in problem(answer, 400)["errors"]["reference"]
    if text:
        page = client.get("/ui/messages", query_string={"reference": text}, auth=LOGIN)
        assert page.status_code == 400
        assert 'id="reference-error"' in page.text


def test_csv_has_it_as_it_was_received(api: FlaskClient, ordered: str) -> None:
    answer = api.get("/messages?reference=order%3D42", headers={"Accept": "text/csv"})
    (line,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (line["message_uuid"], line["reference"]) == (ordered, QUERY)
    rest = api.get("/messages?reference=order%3D43", headers={"Accept": "text/csv"})
    (line,) = csv.DictReader(io.StringIO(rest.text, newline=""))
    assert line["reference"] == "order=43&shop=9"


def test_the_page_shows_each_parameter_and_leads_to_those_that_share_it(
    client: FlaskClient, ordered: str
) -> None:
    page = client.get(f"/ui/messages/{ordered}", auth=LOGIN).text
    links = re.findall(
        r'<a href="\.\./\.\./ui/messages\?(reference=[^"]*)"><bdi>([^<]*)</bdi>', page
    )
    assert [unescape(text) for _, text in links] == PAIRS
    for query, text in links:
        listed = client.get(f"/ui/messages?{unescape(query)}", auth=LOGIN).text
        assert re.findall(r'<tr data-key="([^"]*)"', listed) == [ordered]
        assert f'name="reference" type="text" value="{text}"' in listed


def test_a_page_of_a_message_without_one_does_not_speak_of_it(
    client: FlaskClient, deliver: Deliver, plivo: Plivo
) -> None:
    fields = plivo.fields("sent")
    deliver(plivo.post(fields))
    assert "Reference" not in client.get(f"/ui/messages/{fields['MessageUUID']}", auth=LOGIN).text


def test_the_command_finds_and_shows_it(app: Flask, ordered: str) -> None:
    runner = app.test_cli_runner()
    listed = runner.invoke(args=["messages", "--reference", "order=42", "--json"])
    (message,) = json.loads(listed.stdout)
    assert (message["message_uuid"], message["reference"]) == (ordered, PARAMETERS)
    shown = runner.invoke(args=["messages", ordered]).stdout
    assert f"reference {json.dumps(PARAMETERS)}\n" in shown
    refused = runner.invoke(args=["messages", "--reference", "42"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "name=value, for example order=42" in refused.stderr
