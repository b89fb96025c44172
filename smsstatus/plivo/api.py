"""The only module that talks to Plivo: send a message, ask about one, check the credentials.

Everything goes through Plivo's SDK, which is imported on first use so that the service starts fast.
What an answer means is read from the HTTP response itself: the SDK hides the status of many answers
(a 429 and a 503 look alike, Retry-After is lost) and raises TypeError or AttributeError on others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from ..notation import http_date, is_uuid, pause_asked_for, visible
from ..settings import Settings

LONGEST_WAIT = 86_400
"""Seconds: who asks for a longer pause has made a mistake."""
PAGE = 20
"""Plivo lists at most this many messages at a time."""
CREDENTIALS_HINT = "check PLIVO_AUTH_ID and the first token of PLIVO_AUTH_TOKEN"


class NotConfigured(Exception):
    """A setting that calling Plivo needs is not set. The text names it."""


class PlivoError(Exception):
    """Plivo did not do what was asked. `status` is the HTTP status to pass on.

    `retry_after` is in seconds, if Plivo gave it. `may_have_happened`: the request reached Plivo,
    or may have, and its outcome is unknown.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        retry_after: int | None = None,
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.may_have_happened = may_have_happened

    @property
    def advice(self) -> str:
        """The detail, and what to do if the outcome of the request is unknown."""
        if self.may_have_happened:
            return f"{self.detail} Check Plivo's message log before you send it again."
        return self.detail


class RateLimited(PlivoError):
    """Plivo answered 429."""


class AuthenticationFailed(PlivoError):
    """Plivo answered 401."""


class UnknownMessage(PlivoError):
    """Plivo has no such message (any more: it keeps 90 days)."""


@dataclass(frozen=True)
class Answer:
    """Plivo's answer: HTTP status, the decoded JSON object (empty if there was none), headers."""

    status: int
    content: dict[str, Any]
    retry_after: int | None
    date: str | None


@dataclass(frozen=True)
class Listed:
    """A page of Plivo's list, its rows as they came, and how many all pages have."""

    rows: list[Any]
    total: int


def send_message(settings: Settings, *, sender: str, recipient: str, text: str) -> str:
    """Send one SMS whose status callbacks come to this service; its message UUID.

    Never retried: Plivo knows no idempotency key. Raises NotConfigured or PlivoError.
    """
    answer = _call(
        settings,
        lambda client: client.messages.create(
            src=sender, dst=recipient, text=text, url=settings.webhook_url, method="POST"
        ),
    )
    uuids = answer.content.get("message_uuid")
    if isinstance(uuids, list) and uuids and is_uuid(uuids[0]):
        return str(uuids[0])
    if answer.content.get("invalid_number"):
        raise PlivoError(
            422, "Plivo refused the recipient", "Plivo says that the recipient is not valid."
        )
    raise not_understood()


def fetch_message(settings: Settings, message_uuid: str) -> dict[str, Any]:
    """What Plivo's Message API says about a message: message_state, error_code, times, ...

    https://www.plivo.com/docs/messaging/api/message/retrieve-a-message
    Raises NotConfigured or PlivoError.
    """
    if not is_uuid(message_uuid):  # `..` would ask for something else
        raise UnknownMessage(404, "Plivo does not know this", "That is not a UUID.")
    return _call(settings, lambda client: client.messages.get(message_uuid)).content


def list_messages(settings: Settings, *, since: datetime, until: datetime, offset: int) -> Listed:
    """A page of the messages sent from `since` until before `until`, PAGE at most.

    https://www.plivo.com/docs/messaging/api/message/list-all-messages
    Raises NotConfigured or PlivoError.
    """
    times = [moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") for moment in (since, until)]
    content = _call(
        settings,
        lambda client: client.messages.list(
            message_direction="outbound",
            message_time__gte=times[0],
            message_time__lt=times[1],
            limit=PAGE,
            offset=offset,
        ),
    ).content
    rows, meta = content.get("objects"), content.get("meta")
    total = meta.get("total_count") if isinstance(meta, dict) else None
    if not isinstance(rows, list) or not isinstance(total, int):
        raise not_understood()
    return Listed(rows, total)


def check_credentials(settings: Settings) -> Answer:
    """Read the account, which any valid credentials may. Raises NotConfigured or PlivoError."""
    return _call(settings, lambda client: client.account.get())


def _call(settings: Settings, ask: Callable[[Any], object]) -> Answer:
    """Ask with a client of its own; raise unless Plivo answered with a 2xx."""
    if settings.auth_id is None:
        raise NotConfigured("PLIVO_AUTH_ID is not set: it is needed to call Plivo's API.")
    import requests

    failure: Exception | None = None
    with _client(settings, settings.auth_id) as client:  # else its connection stays open
        try:
            ask(client)
        except requests.exceptions.RequestException as error:
            raise _unreachable(error, connected=client.connected) from None
        except Exception as error:  # the SDK's own trouble with an answer, which is judged below
            failure = error
    answer: Answer | None = client.answer
    if answer is None and failure is not None and client.asked and not client.connected:
        raise _unreachable(failure, connected=False)
    if answer is None and client.asked:
        raise not_understood()
    if answer is None:
        raise PlivoError(422, "Plivo's SDK refused the request", str(failure))
    _raise_for(answer)
    return answer


def _client(settings: Settings, auth_id: str) -> Any:
    """An SDK client that keeps the raw answer and calls PLIVO_API_URL, through a proxy if need be.

    The SDK ignores the environment, so requests' own rules are applied: HTTPS_PROXY, HTTP_PROXY,
    ALL_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, and after those SSL_CERT_FILE.
    https://requests.readthedocs.io/en/latest/user/advanced/#proxies
    """
    import plivo
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """Notes when a connection stands, including proxy and TLS: nothing is sent before."""

        def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **options)

            class Connection(pool.ConnectionCls):  # type: ignore[misc, name-defined]
                def connect(self) -> None:
                    super().connect()
                    client.connected = True

            pool.ConnectionCls = Connection
            return pool

    class Client(plivo.RestClient):  # type: ignore[misc]
        answer: Answer | None = None
        asked = False
        connected = False

        @property
        def base_uri(self) -> str:
            return f"{settings.plivo_api_url}/v1/Account"

        @base_uri.setter
        def base_uri(self, value: str) -> None:
            """The SDK sets its own address before each request."""

        def send_request(self, request: Any, **options: Any) -> Any:
            self.asked = True
            found = self.session.merge_environment_settings(request.url, {}, None, None, None)
            self.proxies, verify = found["proxies"], found["verify"]
            if verify is True:
                verify = os.environ.get("SSL_CERT_FILE") or True
            reply = super().send_request(request, allow_redirects=False, verify=verify, **options)
            self.answer = _answer_of(reply)
            return reply

    client = Client(auth_id, settings.auth_tokens[0], timeout=settings.plivo_timeouts)
    for scheme in ("http://", "https://"):
        client.session.mount(scheme, Adapter())
    return client


def _answer_of(response: Any) -> Answer:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        content = None
    date = response.headers.get("Date")
    now = http_date(date or "") or datetime.now(UTC)  # Plivo's clock and ours can differ
    wait = ceil(pause_asked_for(response.headers.get("Retry-After", ""), now))
    return Answer(
        response.status_code,
        content if isinstance(content, dict) else {},
        wait if 0 < wait <= LONGEST_WAIT else None,
        date,
    )


def _raise_for(answer: Answer) -> None:
    """Plivo's refusals in words."""
    words = _words(answer)
    match answer.status:
        case status if 200 <= status < 300:
            return
        case 401:
            raise AuthenticationFailed(
                502, "Plivo refused our credentials", f"{words}: {CREDENTIALS_HINT}."
            )
        case 402:
            raise PlivoError(402, "Not enough credit", f"{words}: add credit to the Plivo account.")
        case 403:
            raise PlivoError(
                403, "Plivo does not allow this", f"{words}: see the console's Geo Permissions."
            )
        case 404:
            raise UnknownMessage(404, "Plivo does not know this", f"{words}.")
        case 407:
            raise PlivoError(502, "The proxy requires a login", f"{words}: check HTTP_PROXY.")
        case 429:
            raise RateLimited(
                429,
                "Plivo's rate limit is reached",
                f"{words}: try again later.",
                retry_after=answer.retry_after or 60,
            )
        case status if status >= 500 or status == 408:
            raise PlivoError(
                502,
                "Plivo has trouble",
                f"{words}. The request may have been carried out.",
                retry_after=answer.retry_after,
                may_have_happened=True,
            )
        case status if status < 400:
            raise PlivoError(502, "Plivo's answer is a redirect", f"{words}: check PLIVO_API_URL.")
        case _:
            raise PlivoError(422, "Plivo refused the request", f"{words}.")


def _words(answer: Answer) -> str:
    said = answer.content.get("error")
    if isinstance(said, dict):
        said = said.get("error") or said.get("message")
    text = f"Plivo answered {answer.status}"
    if not isinstance(said, str):
        return text
    return f"{text}, saying: {visible(said.rstrip('.')[:300])}"  # no store holds half a character


def _unreachable(error: Exception, *, connected: bool) -> PlivoError:
    """The error for a request that broke off in the middle, or failed before anything was sent.

    The error's own text is not passed on: it can hold the password of a proxy's address.
    """
    from requests import exceptions

    late = isinstance(error, exceptions.Timeout)
    status = 504 if late else 502
    if connected:
        title = "Plivo did not answer in time" if late else "The connection to Plivo broke"
        detail = "The request may have been carried out."
        return PlivoError(status, title, detail, may_have_happened=True)
    of_proxies = (exceptions.ProxyError, exceptions.InvalidProxyURL, exceptions.InvalidSchema)
    why = ""
    if late:
        why = ": connecting to Plivo timed out"
    elif isinstance(error, of_proxies) or "Tunnel connection failed" in str(error):
        why = ": check the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"
    elif isinstance(error, exceptions.SSLError):
        why = (
            ": TLS failed. If your network has a certificate authority of its own, name it in "
            "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
        )
    elif type(error) is OSError:  # raised by requests before it connects
        why = ": REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE names a missing file"
    return PlivoError(status, "Plivo cannot be reached", f"Nothing was sent{why}.")


def not_understood() -> PlivoError:
    """For an answer that has no usable content."""
    return PlivoError(
        502,
        "Plivo's answer was not understood",
        "Plivo accepted the request, but its answer had no usable content. The request may have "
        "been carried out.",
        may_have_happened=True,
    )
