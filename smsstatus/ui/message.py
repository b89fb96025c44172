"""One message at `/ui/messages/<uuid>`: what became of it, and asking Plivo about it now."""

from __future__ import annotations

from flask import Response, request

from ..figures.window import is_without_report
from ..model import StatusUpdate
from ..notation import form_pairs, is_uuid
from ..plivo.api import NotConfigured, PlivoError, UnknownMessage
from ..plivo.countries import country_name, network_name
from ..plivo.error_codes import explain
from ..query import find_message
from ..service import Service
from ..store.contract import Message, Outcome, StoreError
from ..upkeep.reconcile import ask_about
from ..views import message_json
from ..web.current import current_service
from ..web.messages import UNKNOWN
from ..web.problems import Problem
from . import live
from .links import to
from .timeline import steps

NOTICES = {
    "changed": "Plivo was asked, and knew more than we did.",
    "same": "Plivo was asked, and knew nothing newer.",
    "sent": "",
}


def show(message_uuid: str) -> Response:
    """The page of a message. One that was just sent may still be on its way into the database."""
    asked = request.args.get("asked", "")
    message = find_message(current_service().store, message_uuid)
    if message is None and asked != "sent":
        return _unknown(message_uuid, 404)
    uuid = message.message_uuid if message else message_uuid
    return _page(uuid, message, notice=NOTICES.get(asked, ""))


def ask_plivo(message_uuid: str) -> Response:
    """Ask Plivo about this message, known here or not, then show it."""
    service = current_service()
    message = find_message(service.store, message_uuid)
    message_uuid = message.message_uuid if message else message_uuid.lower()
    why_not = _why_not(service, message_uuid)
    if why_not:
        raise Problem(422, why_not)
    try:
        told = ask_about(service, message_uuid)
    except UnknownMessage:
        trouble = (404, "Plivo does not know this message (any more: it keeps 90 days).")
    except NotConfigured as error:
        trouble = (503, str(error))
    except PlivoError as error:
        trouble = (error.status, f"{error.title}. {error.detail}")
    except StoreError as error:
        trouble = (503, f"Plivo's answer could not be stored ({error}).")
    else:
        if told.outcome is Outcome.PRUNED:
            return _page(message_uuid, None, removed=told.update)
        asked = "changed" if told.is_changed else "same"
        address = to("message", message_uuid=told.update.message_uuid, asked=asked)
        return Response(status=303, headers={"Location": address})
    if message is None:
        return _unknown(message_uuid, trouble[0], trouble[1])
    return _page(message_uuid, message, status=trouble[0], trouble=trouble[1])


def _unknown(message_uuid: str, status: int, trouble: str = "") -> Response:
    """A page that offers to ask Plivo, where that can know it."""
    if not is_uuid(message_uuid):
        raise Problem(404, UNKNOWN, title="Unknown message")
    return _page(message_uuid, None, status=status, trouble=trouble, unknown=UNKNOWN)


def _page(
    message_uuid: str,
    message: Message | None,
    *,
    status: int = 200,
    notice: str = "",
    trouble: str = "",
    unknown: str = "",
    removed: StatusUpdate | None = None,
) -> Response:
    """`removed`: what Plivo says of a message that is kept here no more."""
    service = current_service()
    without_report = message is not None and is_without_report(service, message)
    etag = live.tag_of(message, notice, unknown, removed, without_report)
    unchanged = live.not_modified(etag) if request.method == "GET" else None
    if unchanged:
        return unchanged
    shown = {
        "message_uuid": message_uuid,
        "message": message_json(message) if message else None,
        "places": (
            country_name(message.country) if message and message.country else "",
            network_name(message.network) if message and message.network else "",
        ),
        "reference": [f"{name}={value}" for name, value in form_pairs(message.reference)]
        if message
        else [],
        "steps": steps(message.events or ()) if message else [],
        "notice": notice,
        "trouble": trouble,
        "unknown": unknown,
        "removed": removed,
        "removed_error": explain(removed.error_code) if removed and removed.error_code else None,
        "without_report": without_report,
        "why_not_ask": _why_not(service, message_uuid),
    }
    return live.page("message.html", etag, shown, status=status)


def _why_not(service: Service, message_uuid: str) -> str:
    """Why Plivo cannot be asked about it, or nothing."""
    if service.settings.auth_id is None:
        return "Plivo cannot be asked: PLIVO_AUTH_ID is not set."
    if not is_uuid(message_uuid):
        return "Plivo cannot be asked: this is not a UUID such as Plivo makes."
    return ""
