"""The process model, with the reason beside each setting. gunicorn finds this file by itself."""

import contextlib
import logging
import os
import re
from urllib.parse import urlsplit

from dotenv import load_dotenv

from smsstatus.paths import DOTENV

with contextlib.suppress(OSError, ValueError):  # load_app reads it too, and says what is wrong
    load_dotenv(DOTENV)  # for PORT and LOG_LEVEL

# SQLite: one process. It takes one writer at a time: a second process would wait for the first,
# while callbacks that come together in one process share a transaction and its fsync. PostgreSQL
# takes many, so there it is as many as the host asks for. The worker's loop serves callbacks; the
# threads serve everything else, which may wait, for Plivo's API for instance.
on_sqlite = not os.environ.get("DATABASE_URL", "").strip().startswith("postgres")
asked = os.environ.get("WEB_CONCURRENCY", "1")
workers = 1 if on_sqlite or not asked.isdecimal() else max(int(asked), 1)
worker_class = "smsstatus.server.worker.Worker"
threads = 8

# Heroku-style hosts set $PORT. Without it, only this machine is served. A wrong one stops the start
# in load_app, together with everything else that is wrong; until then any port will do.
port = os.environ.get("PORT", "").strip()
bind = [f"0.0.0.0:{port}" if port else "127.0.0.1:8000"]
if port and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
    bind = ["127.0.0.1:0"]

# The application is loaded after the fork, so that no SQLite connection crosses it.
preload_app = False

# On SIGTERM: answer what has arrived, and where the disk is not kept empty the spool, which takes
# 10 s at most. Hosts send SIGKILL after 30 s (Heroku, Render, Dokku).
graceful_timeout = 25
# The main loop must show life within this time. A slow request does not count: threads serve it.
timeout = 30
# Routers in front keep connections, and must be the first to close an idle one: a request that they
# send while this side closes it fails. Heroku's closes after 90 s.
# https://devcenter.heroku.com/articles/http-routing
keepalive = 95
worker_connections = 65_536

# What a stranger may send. Plivo needs about 15 fields of 100 bytes and, for GET, a URL of 1 KB.
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8256

# The signed URL comes from BASE_URL, so nothing that a request says about the address is believed:
# with forwarder_headers set, a client could change SCRIPT_NAME (and so the route); with
# secure_scheme_headers, proxies that contradict one another would get their callbacks a 400.
forwarded_allow_ips = "127.0.0.1"
forwarder_headers = ""
secure_scheme_headers = {}

# gunicorn's control socket is a second way in that nobody here uses.
control_socket_disable = True

# The query of a GET callback holds phone numbers: %(U)s is the path alone. The log itself is off
# unless GUNICORN_CMD_ARGS turns it on, as Heroku's buildpack does.
accesslog = None
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)sms'
loglevel = os.environ.get("LOG_LEVEL", "info").lower() or "info"


def on_starting(server):  # noqa: ANN001, ANN201 - gunicorn's hooks
    """Say once, not in each process, what the command line asked for and should not have."""
    from smsstatus.logs import let_gunicorn_not_wait
    from smsstatus.server.serving import announce, gunicorn_server

    let_gunicorn_not_wait()
    if on_sqlite and asked != "1":
        server.log.info("WEB_CONCURRENCY=%s is not used: one process writes SQLite fastest", asked)
    announce(gunicorn_server(server.cfg), server.log, take_turns=on_sqlite)


def on_reload(server):  # noqa: ANN001, ANN201
    """The log is a new one."""
    from smsstatus.logs import let_gunicorn_not_wait

    let_gunicorn_not_wait()


def pre_fork(server, worker):  # noqa: ANN001, ANN201
    """Tell the worker what only its master knows: LISTEN_FDS is gone from the environment."""
    worker.are_lent = server.systemd


def post_worker_init(worker):  # noqa: ANN001, ANN201
    """Start the background work in the process that serves."""
    from smsstatus.server import serving
    from smsstatus.settings import WEBHOOK_PATH
    from smsstatus.web.current import service_of

    serving.running = serving.gunicorn_server(worker.cfg)
    service = service_of(worker.wsgi)
    service.start()
    worker.loop_paths = {WEBHOOK_PATH, service.settings.prefix + WEBHOOK_PATH}
    _compare_ports(worker, service.settings.base_url)


def _compare_ports(worker, base_url):  # noqa: ANN001, ANN202
    """A BASE_URL of this machine with another port: .env was made for another PORT."""
    named = urlsplit(base_url)
    addresses = [listener.getsockname() for listener in worker.sockets]
    ports = [address[1] for address in addresses if isinstance(address, tuple)]
    if ports and named.hostname in ("127.0.0.1", "localhost") and named.port not in (None, *ports):
        worker.log.warning(
            "BASE_URL is %s, but this listens on port %s: callbacks are checked against BASE_URL",
            base_url,
            ports[0],
        )


def worker_exit(server, worker):  # noqa: ANN001, ANN201
    """Close the store when the process ends, so that SQLite leaves a clean file."""
    from smsstatus.web.current import service_of

    if getattr(worker, "wsgi", None) is not None:
        service_of(worker.wsgi).stop()
        logging.shutdown()
