"""`make run`: serve on this machine alone, and say what to do next once that listens.

python -m tools.run [PORT]
python -m tools.run --is-taken [PORT]: prints something if another program listens there
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication

from smsstatus.web.current import service_of


class _Local(WSGIApplication):
    """gunicorn with the project's settings, and a word to the person in front of it."""

    def load_config(self) -> None:
        super().load_config()
        start = self.cfg.post_worker_init

        def start_and_greet(worker: Any) -> None:
            start(worker)
            if worker.age == 1:  # not again after a reload
                greet(worker)

        self.cfg.set("post_worker_init", start_and_greet)


def greet(worker: Any) -> None:
    settings = service_of(worker.wsgi).settings
    host, port = worker.sockets[0].getsockname()
    if settings.ui and settings.api_token:
        page = f"http://{host}:{port}{settings.prefix}/"
        print(f"The page: {page} (any user name; the password is API_TOKEN in .env)")
    simulate = f"make simulate PORT={port}" if os.environ.get("PORT") else "make simulate"
    print(f"Next, in another terminal: {simulate}. Ctrl-C stops this one.", flush=True)


def is_taken(port: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
            probe.listen()
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        except (ValueError, OverflowError):  # for the settings to refuse
            return False
    return False


def main(*options: str) -> None:
    port = next((option for option in options if option.isalnum()), "8000")
    if "--is-taken" in options:
        print("yes" if is_taken(port) else "")
        return
    sys.argv = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--log-level=warning", "wsgi:app"]
    _Local().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
