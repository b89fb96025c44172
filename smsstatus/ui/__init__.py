"""The pages: is SMS getting through, what fails and why, what happened to this message?

Rendered on the server from the store's queries. Everything works without JavaScript;
`static/live.js` only keeps an open page fresh. Nothing here receives callbacks, speaks SQL or
talks to Plivo directly: the pages use the same functions as the API's routes.

* `access`: who may see a page, which POSTs are accepted, the security headers;
* `live`: ETags, so that an open page that polls costs almost nothing;
* `overview`, `listing`, `message`, `send`: the pages;
* `figures`, `headline`, `chart`, `alarms`, `timeline`: what is on them;
* `words`, `links`, `zone`: numbers, times, statuses and addresses as a page writes them.
"""

from __future__ import annotations

from flask import Blueprint
from flask.blueprints import BlueprintSetupState
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from ..store.contract import StoreUnavailable
from ..web.problems import Problem
from . import access, links, listing, message, overview, send, words

blueprint = Blueprint(
    "ui",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/ui/static",
)

blueprint.add_url_rule("/", "overview", overview.show)
blueprint.add_url_rule("/ui/messages", "messages", listing.show)
blueprint.add_url_rule("/ui/messages.csv", "download", listing.download)
blueprint.add_url_rule("/ui/messages/<path:message_uuid>", "message", message.show)
blueprint.add_url_rule(
    "/ui/messages/<path:message_uuid>", "ask", message.ask_plivo, methods=["POST"]
)
blueprint.add_url_rule("/ui/send", "send", send.show)
blueprint.add_url_rule("/ui/send", "send_now", send.send_now, methods=["POST"])
blueprint.add_url_rule("/ui/<path:elsewhere>", "elsewhere", access.no_page)

blueprint.before_request(access.let_in)
blueprint.before_request(access.look_at_no_date)
blueprint.after_request(access.secure)
blueprint.register_error_handler(Problem, access.problem_page)
blueprint.register_error_handler(HTTPException, access.http_error_page)
blueprint.register_error_handler(StoreUnavailable, access.database_page)


@blueprint.record
def set_up(state: BlueprintSetupState) -> None:
    """What every template may use; a misspelt name is an error, not an empty place."""
    environment = state.app.jinja_env
    environment.globals.update(words=words, link=links.to, static=links.static)
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    overview.install(state.app)
