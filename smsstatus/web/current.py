"""The service that an application serves: for its requests, its pages and its commands."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app

from ..service import Service

_EXTENSION = "smsstatus"


def install(app: Flask, service: Service) -> None:
    """Make it the service of this application."""
    app.extensions[_EXTENSION] = service


def service_of(app: Flask) -> Service:
    """The service of this application."""
    return cast(Service, app.extensions[_EXTENSION])


def current_service() -> Service:
    """The service of the application that handles this request or command."""
    return service_of(current_app)
