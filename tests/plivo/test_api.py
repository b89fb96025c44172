"""What a call to Plivo's API leaves behind: nothing."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from smsstatus.plivo.api import check_credentials
from smsstatus.settings import Settings

from ..plivo_api import AUTH_ID

PATIENT = 60.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def test_a_connection_that_plivo_would_keep_is_closed_with_the_call(settings: Settings) -> None:
    """One that lists a day's messages makes thousands of calls."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ThreadPoolExecutor() as callers,
    ):
        listener.settimeout(PATIENT)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        called = callers.submit(
            check_credentials, replace(settings, auth_id=AUTH_ID, plivo_api_url=url)
        )
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENT)
            connection.recv(65_536)
            connection.sendall(ANSWER)
            assert called.result(PATIENT).status == 200
            assert connection.recv(1) == b""
