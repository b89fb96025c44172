"""smsstatus: receives Plivo's SMS status callbacks and knows what became of each message."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from . import logs, promise
from .commands import Commands, is_command
from .plivo.form import MAX_BODY
from .server.serving import BackgroundStarter, PrefixRemover
from .service import Service, StartError
from .settings import Settings
from .settings.env_file import read_dotenv
from .settings.variables import SettingsError
from .web import current, health, messages, problems, webhook
from .web.long_json import LongJSON

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class _NoSessions(SessionInterface):
    """Flask's cookie sessions are not used, so no request looks for one."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class _Routes(MapAdapter):
    """Finds each route once: nearly all requests are for one of a few paths."""

    match = lru_cache(64)(MapAdapter.match)  # what is not found, each time


_routes = lru_cache(64)(_Routes)


class _App(Flask):
    """Flask, with routes that are found by method and path alone, and no redirects.

    Flask makes a name of the Host header first, and 400 if it cannot; a proxy may write there what
    it likes. A redirect would lose a callback: Plivo is not known to follow one.
    """

    session_interface = _NoSessions()
    json_provider_class = LongJSON

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view here is a coroutine, so none is looked at."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Not with a traceback, which shows texts, and not each time: a stranger may repeat it."""
        problems.note_mistake(exc_info[1])

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Raise the 404 or 405, and leave no request that refers to it, and so to itself."""
        try:
            super().raise_routing_exception(request)
        finally:
            request.routing_exception = None

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Of what is only asked for, all that is read has one bound; not of a body that is sent as
        it is read, nor after Plivo has taken a message, however long that took.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return super().wsgi_app(environ, start_response)
        with promise.answering():
            return super().wsgi_app(environ, start_response)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        return _routes(
            self.url_map,
            "",
            request.root_path or "/",
            "",
            request.scheme,
            request.path,
            request.method,
        )


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application. Without `settings` they are read from the environment.

    Then it is the one to be served, so it starts its background work by itself; of an application
    made with `settings` its maker does that, if at all: `service_of(app).start()`.

    Raises SettingsError or StartError with one line for the person who starts it.
    """
    for_command = is_command()
    to_be_served = settings is None and not for_command
    settings = settings or Settings.from_environment()
    logs.configure(settings.log_level)
    service = Service.make(settings, for_command=for_command)
    logs.keep_requests_out(service.metrics.count_refused)
    service.prepare()

    app = _App(__name__)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.cli = Commands(app.name)
    current.install(app, service)
    problems.install(app)
    app.register_blueprint(webhook.blueprint)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(messages.blueprint)
    if settings.ui:
        from . import ui  # not imported where the pages are off

        app.register_blueprint(ui.blueprint)
    if settings.prefix:
        app.wsgi_app = PrefixRemover(app.wsgi_app, settings.prefix)  # type: ignore[method-assign]
    if to_be_served:
        app.wsgi_app = BackgroundStarter(app.wsgi_app, service)  # type: ignore[method-assign]
    return app


def load_app() -> Flask:
    """Make the application, with `.env` read; what is wrong ends the program, a line for each."""
    try:
        read_dotenv()
        return create_app()
    except (SettingsError, StartError) as error:
        for line in str(error).splitlines():
            print(f"smsstatus cannot start: {line}", file=sys.stderr)
        raise SystemExit(4) from None  # 4 also keeps gunicorn's master from trying again
