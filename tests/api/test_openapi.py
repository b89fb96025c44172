"""The OpenAPI description is true: schemathesis finds nothing in the live service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from smsstatus import sending
from smsstatus.forwarding import payload, signing
from smsstatus.model import FINAL_STATUSES, RANKS
from smsstatus.plivo.error_codes import MEANINGS
from smsstatus.query import (
    COUNTRY_PATTERN,
    DEFAULT_LIMIT,
    FILTERS,
    MAX_LIMIT,
    MAX_WAIT,
    NETWORK_PATTERN,
    REFERENCE_PATTERN,
    STATUS_PATTERN,
    TEXT_PATTERN,
    TIME_PATTERN,
)
from smsstatus.settings import Settings
from smsstatus.store.contract import GROUPS
from smsstatus.web.openapi import DOCUMENT

from .. import rounds
from ..conftest import Receive
from ..forwarding.changes import change
from ..live import API_TOKEN, live_service
from ..plivo_api import AUTH_ID, PlivoApi
from ..signed import send
from .conftest import SENDER

UNTRUE_OF_ANY_SCHEMA = "positive_data_acceptance"
"""A schema cannot say that there is no 30 February, that a cursor must be one of ours, or that
`from` is not `to`; requests that break only such rules are answered 400 or 422."""


def test_schemathesis_finds_nothing(tmp_path: Path, standin: PlivoApi) -> None:
    (tmp_path / "service").mkdir()
    settings = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url, "PLIVO_SENDER": SENDER}
    with live_service(tmp_path / "service", **settings) as service:
        plivo = service.plivo
        for status, code in (("sent", ""), ("delivered", "000"), ("failed", "30"), ("odd", "x")):
            callback = plivo.post(plivo.fields(status, ErrorCode=code))
            assert send(callback, service.address)[0] == 200
        ran = subprocess.run(
            [
                *(f"{Path(sys.executable).parent}/st", "run", f"{service.address}/openapi.json"),
                *("--header", f"Authorization: Bearer {API_TOKEN}", "--no-color"),
                *("--seed", "1", "--generation-database", "none"),
                *("--max-examples", str(rounds.examples(25))),
                *("--exclude-checks", UNTRUE_OF_ANY_SCHEMA),
                *("--suppress-health-check", "all", "--request-timeout", "60"),  # a slow machine
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        log = service.log.read_text()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 selected / 5 total" in ran.stdout
    assert standin.asked, "some of its sends were good"
    assert "Traceback" not in log


def test_every_route_of_the_api_is_described_and_no_other(app: Flask, client: FlaskClient) -> None:
    described = {
        (path, method.upper())
        for path, methods in client.get("/openapi.json").get_json()["paths"].items()
        for method in methods
    }
    routes = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("messages.") and rule.rule != "/openapi.json"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routes


def test_it_is_openapi_3_1_of_this_service(client: FlaskClient, settings: Settings) -> None:
    description = client.get("/openapi.json").get_json()
    assert description["openapi"].startswith("3.1.")
    assert description["servers"] == [{"url": settings.base_url}]
    assert description["security"] == [{"bearer": []}, {"basic": []}]
    retries = description["components"]["schemas"]["Error"]["properties"]["retry"]["enum"]
    assert {meaning.retry for meaning in MEANINGS.values()} <= set(retries)
    assert json.dumps(description).isascii()


def test_its_patterns_limits_and_statuses_are_those_of_the_code() -> None:
    document = json.loads(DOCUMENT.read_text())
    schemas = document["components"]["schemas"]
    asked = {
        parameter["name"]: parameter["schema"]
        for parameter in document["paths"]["/messages"]["get"]["parameters"]
        if "name" in parameter
    } | {
        name: parameter["schema"]
        for name, parameter in document["components"]["parameters"].items()
    }
    assert set(asked) == {*FILTERS, "limit", "bom", "cursor"}
    for name in ("to", "from", "error_code"):
        assert asked[name] == {"$ref": "#/components/schemas/Text"}
    for name in ("since", "until"):
        assert asked[name] == {"$ref": "#/components/schemas/Moment"}
    assert schemas["Text"]["pattern"] == TEXT_PATTERN
    assert schemas["Moment"]["pattern"] == TIME_PATTERN
    assert asked["status"]["items"]["pattern"] == STATUS_PATTERN
    assert asked["reference"]["pattern"] == REFERENCE_PATTERN
    assert asked["country"]["pattern"] == COUNTRY_PATTERN
    assert asked["network"]["pattern"] == NETWORK_PATTERN
    followed = document["paths"]["/changes"]["get"]["parameters"]
    assert [parameter["name"] for parameter in followed] == ["after", "limit", "wait"]
    assert followed[1]["schema"] == asked["limit"]
    assert followed[2]["schema"]["maximum"] == MAX_WAIT
    limit = asked["limit"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, MAX_LIMIT, DEFAULT_LIMIT)

    sent = schemas["Send"]["properties"]
    assert (sent["to"]["pattern"], sent["from"]["pattern"]) == (sending.E164, sending.SENDER)
    assert sent["text"]["maxLength"] == sending.GSM7_LIMIT
    assert f"{sending.UCS2_LIMIT} UTF-16 units" in sent["text"]["description"]
    (key,) = document["paths"]["/messages"]["post"]["parameters"]
    assert key["schema"]["pattern"] == sending.KEY

    message = schemas["Message"]["properties"]
    named = set(re.findall(r"\w+", message["is_final"]["description"]))
    assert {status for status in RANKS if status in named} == FINAL_STATUSES


def test_an_answer_has_the_fields_that_are_described(api: FlaskClient, receive: Receive) -> None:
    schemas = json.loads(DOCUMENT.read_text())["components"]["schemas"]
    message = api.get(f"/messages/{receive('failed', ErrorCode='30')}").get_json()
    (event,) = message.pop("events")
    news = api.get("/changes").get_json()
    answers = {
        "News": news,
        "Change": news["changes"][0],
        "Message": message,
        "Event": event,
        "Error": message["error"],
        "Stats": api.get("/stats").get_json(),
        "Page": api.get("/messages").get_json(),
        "Problem": api.get("/messages?limit=0").get_json(),
    }
    optional = {"Problem": {"errors"}, "Event": {"forwarded"}}
    for by in GROUPS:
        answers["Groups"] = api.get(f"/stats?group_by={by}").get_json()
        (group,) = answers["Groups"]["groups"]
        assert by in group
        answers["Group"] = {**answers.get("Group", {}), **group}
        optional["Group"] = optional.get("Group", set()) | {by, f"{by}_name"} & set(group)
    for name, answer in answers.items():
        described, required = fields_of(schemas, name)
        assert set(answer) | optional.get(name, set()) == described
        assert required == set(answer) - optional.get(name, set())


def fields_of(schemas: dict[str, Any], name: str) -> tuple[set[str], set[str]]:
    """The fields that a schema describes and those that it requires, with those it is made of."""
    described, required = set(schemas[name]["properties"]), set(schemas[name].get("required", ()))
    for part in schemas[name].get("allOf", ()):
        more = fields_of(schemas, part["$ref"].rpartition("/")[2])
        described, required = described | more[0], required | more[1]
    return described, required


def test_what_is_forwarded_is_what_the_webhook_describes() -> None:
    described = json.loads(DOCUMENT.read_text())
    (hook,) = described["webhooks"].values()
    schema = hook["post"]["requestBody"]["content"]["application/json"]["schema"]
    told = payload.payload(change())
    assert set(told) == set(schema["required"]) == set(schema["properties"])
    change_of = described["components"]["schemas"]["Change"]["properties"]
    assert set(told["data"]) == set(change_of["data"]["required"])
    body = payload.body(change())
    sent = signing.headers(signing.message_id(b"a"), datetime.now(UTC), body, [bytes(24)] * 2)
    patterns = {one["name"]: one["schema"]["pattern"] for one in hook["post"]["parameters"]}
    assert sent.keys() == patterns.keys()
    assert all(re.fullmatch(patterns[name], value) for name, value in sent.items())
