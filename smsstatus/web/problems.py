"""Errors as `application/problem+json` (RFC 9457) on the API, as short plain text elsewhere."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from ..logs import without_text
from ..plivo.signature import HEADERS
from ..settings import WEBHOOK_PATH
from .current import current_service

log = logging.getLogger(__name__)

API_PATHS = ("/messages", "/changes", "/stats", "/openapi.json")
PLAIN_TEXT = "text/plain; charset=utf-8"


class Problem(Exception):
    """An answer that is an error. `detail` says what to do; `errors` names each bad field."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        errors: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> Response:
        """The answer as RFC 9457 wants it."""
        content: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = self.errors
        response = Response(
            json.dumps(content) + "\n", self.status, content_type="application/problem+json"
        )
        response.headers.update(self.headers)
        return response


def install(app: Flask) -> None:
    """Answer every HTTP error in the form its reader expects."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http_error)


def note_mistake(error: Exception) -> None:
    """An exception of ours that nothing expected, answered 500. The path may hold a number."""
    current_service().mistakes.log(
        log.error,
        "a mistake in a %s of %s: %s",
        request.method,
        request.endpoint,
        without_text(error),
    )


def _note_lost_callback(status: int, detail: str) -> None:
    """A callback that came to a wrong path, by a wrong method or cut: nothing else reports it."""
    service = current_service()
    service.metrics.count_callback(status, HTTPStatus(status).phrase.lower())
    where = _where(service.settings.webhook_url, detail)
    service.lost.log(log.warning, "answered %s: a %s to %s", status, request.method, where)


def _where(webhook_url: str, detail: str) -> str:
    """Which path it was, and the fault or fix. The path is a stranger's, so it is not shown."""
    if request.path == WEBHOOK_PATH:
        return f"{WEBHOOK_PATH}; {detail}"
    fix = f"the address to give to Plivo is {webhook_url}"
    if request.path.endswith(WEBHOOK_PATH):  # Plivo may well have the right address
        fix = (
            f"it has something before {WEBHOOK_PATH} that BASE_URL has not: let the proxy in front "
            "take that off, or, if it is in the address that Plivo has, put it into BASE_URL"
        )
    return f"another path, with a signature; {fix}"


def _http_error(error: HTTPException) -> Response:
    response = error.get_response()  # carries headers such as Allow
    status = error.code or 500
    detail = error.description or HTTPStatus(status).phrase
    if request.path == WEBHOOK_PATH or any(name in request.headers for name in HEADERS):
        _note_lost_callback(status, detail)
    if request.path.startswith(API_PATHS):
        headers = {"Allow": response.headers["Allow"]} if "Allow" in response.headers else {}
        return Problem(status, detail, headers=headers).response()
    plain = Response(f"{detail}\n", status, content_type=PLAIN_TEXT)
    if "Allow" in response.headers:
        plain.headers["Allow"] = response.headers["Allow"]
    return plain
