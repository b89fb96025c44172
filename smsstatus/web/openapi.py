"""The OpenAPI 3.1 description of the API."""

from __future__ import annotations

from typing import Any

from ..model import FINAL_STATUSES
from ..query import REFERENCE_PATTERN, STATUS_PATTERN, TEXT_PATTERN, TIME_PATTERN
from ..sending import E164, KEY, SENDER

FINAL = tuple(sorted(FINAL_STATUSES))

Schema = dict[str, Any]

_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_UTC: Schema = {
    "type": "string",
    "description": "UTC, fixed width; empty when Plivo told no time.",
    "examples": ["2026-11-01T00:00:03.250000Z"],
}


def description(base_url: str) -> Schema:
    """The whole document, for the service at `base_url`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "smsstatus",
            "version": "1.0.0",
            "description": "What became of each SMS sent through Plivo.",
        },
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": {
            "/messages": {"post": _send(), "get": _list()},
            "/messages/{message_uuid}": {"get": _show()},
            "/stats": {"get": _stats()},
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
            "schemas": {
                "Message": _message_schema(),
                "Event": _event_schema(),
                "Error": _error_schema(),
                "Problem": _problem_schema(),
            },
        },
    }


def _send() -> Schema:
    body = {
        "type": "object",
        "required": ["to", "text"],
        "additionalProperties": False,
        "properties": {
            "to": {"type": "string", "pattern": E164, "examples": ["+14155550123"]},
            "text": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1600,
                "description": "1600 characters of GSM-7, or 737 UTF-16 units of anything else.",
            },
            "from": {
                "type": "string",
                "pattern": SENDER,
                "description": "Default: PLIVO_SENDER.",
            },
        },
    }
    return {
        "operationId": "sendMessage",
        "summary": "Send one SMS through Plivo",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": _pattern(KEY),
                "description": "Send once: within 24 hours the same fields with the same key get "
                "the first answer again (409 while the first is under way), other fields get 422.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": body},
                "application/x-www-form-urlencoded": {"schema": body},
            },
        },
        "responses": {
            "202": {
                "description": "Plivo accepted it. Location is where to look what becomes of it.",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": _json({"$ref": "#/components/schemas/Message"}),
            },
            **_problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504),
        },
    }


def _list() -> Schema:
    page = {
        "type": "object",
        "required": ["messages", "next_cursor"],
        "properties": {
            "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
            "next_cursor": {**_TEXT_OR_NULL, "description": "Give it as `cursor` to go on."},
        },
    }
    return {
        "operationId": "listMessages",
        "summary": "List messages, newest first",
        "parameters": [
            _query(
                "status",
                {"type": "array", "items": _pattern(STATUS_PATTERN)},
                "Repeat it for any of several.",
            ),
            _query("to", _pattern(TEXT_PATTERN), "Recipient, with or without +."),
            _query("from", _pattern(TEXT_PATTERN), "Sender, with or without +."),
            _query("error_code", _pattern(TEXT_PATTERN), "Plivo's error code."),
            _query(
                "reference",
                _pattern(REFERENCE_PATTERN),
                "A parameter of the callback's address, decoded, as name=value: `order=42`.",
            ),
            *_window(),
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
                "How many. CSV without it: all.",
            ),
            _query("bom", {"enum": ["0", "1"]}, "1: CSV starts with a byte order mark, for Excel."),
            _query("cursor", {"type": "string"}, "next_cursor of an earlier answer; not for CSV."),
        ],
        "responses": {
            "200": {
                "description": "The messages.",
                "content": {**_json(page), "text/csv": {"schema": {"type": "string"}}},
            },
            **_problems(400, 401, 503),
        },
    }


def _show() -> Schema:
    return {
        "operationId": "showMessage",
        "summary": "What happened to one message",
        "parameters": [
            {
                "name": "message_uuid",
                "in": "path",
                "required": True,
                "schema": _pattern(TEXT_PATTERN),
                "description": "As Plivo wrote it: a UUID, if it was Plivo's own.",
            }
        ],
        "responses": {
            "200": {
                "description": "The message and its events.",
                "content": _json(
                    {
                        "allOf": [{"$ref": "#/components/schemas/Message"}],
                        "required": ["events"],
                        "properties": {
                            "events": {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/Event"},
                            }
                        },
                    }
                ),
            },
            **_problems(400, 401, 404, 503),
        },
    }


def _stats() -> Schema:
    seconds = {"type": ["number", "null"], "minimum": 0}
    error = {
        "allOf": [{"$ref": "#/components/schemas/Error"}],
        "required": ["count"],
        "properties": {"count": {"type": "integer", "minimum": 1}},
    }
    properties: Schema = {
        "since": _UTC,
        "until": _UTC,
        "total": {"type": "integer", "minimum": 0},
        "counts": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
        "final": {"type": "integer", "minimum": 0},
        "delivered": {"type": "integer", "minimum": 0, "description": "Including read."},
        "delivery_rate": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "delivered / final; null when nothing is final.",
        },
        "seconds_to_deliver": {
            "type": "object",
            "description": "From queued to delivered, of the newest deliveries of the window.",
            "required": ["p50", "p95", "sample"],
            "properties": {"p50": seconds, "p95": seconds, "sample": {"type": "integer"}},
        },
        "top_errors": {"type": "array", "items": error},
    }
    return {
        "operationId": "showStats",
        "summary": "Counts, delivery rate, time to deliver, top errors",
        "parameters": list(_window()),
        "responses": {
            "200": {
                "description": "Of messages first heard of in the window; default: 24 hours.",
                "content": _json(
                    {"type": "object", "required": list(properties), "properties": properties}
                ),
            },
            **_problems(400, 401, 503),
        },
    }


def _message_schema() -> Schema:
    properties: Schema = {
        "message_uuid": {"type": "string"},
        "sender_number": _TEXT_OR_NULL,
        "recipient_number": _TEXT_OR_NULL,
        "message_body": {**_TEXT_OR_NULL, "description": "Of messages sent from here."},
        "initial_status": {"type": "string"},
        "current_status": {"type": "string", "examples": ["delivered"]},
        "status_timestamp": {**_UTC, "description": "By Plivo's clock; empty: not told."},
        "error_code": _TEXT_OR_NULL,
        "created_at": _UTC,
        "updated_at": _UTC,
        "is_final": {"type": "boolean", "description": f"One of {', '.join(FINAL)}."},
        "reference": {
            "type": ["object", "null"],
            "description": "The parameters that the sender put on the callback's address.",
            "additionalProperties": {"type": ["string", "array"], "items": {"type": "string"}},
            "examples": [{"order": "42"}],
        },
        "error": {"oneOf": [{"$ref": "#/components/schemas/Error"}, {"type": "null"}]},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _event_schema() -> Schema:
    properties: Schema = {
        "status": {"type": "string"},
        "status_timestamp": _UTC,
        "error_code": _TEXT_OR_NULL,
        "sequence": {"type": "integer"},
        "received_at": _UTC,
        "source": {"enum": ["callback", "send", "reconcile", "replay"]},
        "repeats": {"type": "integer", "description": "How often the same callback came again."},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _error_schema() -> Schema:
    return {
        "type": "object",
        "required": ["code", "reason", "meaning", "retry"],
        "properties": {
            "code": {"type": "string"},
            "reason": {"type": "string"},
            "meaning": {"type": "string"},
            "retry": {
                "enum": ["permanent", "transient", "unknown"],
                "description": "Can sending again help? This project's judgement, not Plivo's.",
            },
        },
    }


def _problem_schema() -> Schema:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What to do."},
            "errors": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }


def _window() -> tuple[Schema, Schema]:
    form = "ISO 8601; UTC unless it has an offset."
    return (
        _query("since", _pattern(TIME_PATTERN), f"First heard of at or after this. {form}"),
        _query("until", _pattern(TIME_PATTERN), f"First heard of before this. {form}"),
    )


def _query(name: str, schema: Schema, about: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def _pattern(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _problems(*statuses: int) -> Schema:
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        str(status): {
            "description": "`detail` says what to do.",
            "content": {"application/problem+json": problem},
        }
        for status in statuses
    }
