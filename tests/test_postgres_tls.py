"""TLS to a PostgreSQL server that takes nothing else, with a certificate of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.settings.database_url import read_database_url
from smsstatus.store.contract import StoreUnavailable
from smsstatus.store.postgres.store import PostgresStore

from .live import LiveService, wait_until
from .postgres import PostgresServer, ask, programs, server_folder
from .signed import send
from .test_on_postgres import PASSWORD, on_postgres


def programs_with_tls() -> Path:
    """The folder with the programs of a PostgreSQL that was built with OpenSSL.

    The wheel's was not, so it is one that is installed; none: a skip.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for found in filter(None, [programs(), *installed]):
        config = shutil.which("pg_config", path=found)
        if config is None or not (found / "initdb").exists():
            continue  # a client's
        told = subprocess.run([config, "--configure"], capture_output=True, text=True)
        if "openssl" in told.stdout:
            return found
    pytest.skip("NOT CHECKED: no PostgreSQL with TLS here (apt-get install postgresql)")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A running one, which lets the role `sms` in through TLS alone."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("NOT CHECKED: openssl is not installed here (apt-get install openssl)")
    found = programs_with_tls()
    with server_folder() as folder:
        server = PostgresServer(folder)
        server.programs = found
        server.initialise()
        key, certificate = (str(server.data / f"server.{end}") for end in ("key", "crt"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        server.run(
            openssl,
            *("req", "-x509", "-subj", "/CN=db.example.com", *curve),
            *("-keyout", key, "-out", certificate),
        )
        with open(server.data / "postgresql.conf", "a") as settings:
            settings.write("ssl = on\n")
        (server.data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhostssl all sms 127.0.0.1/32 scram-sha-256\n"
        )
        try:
            server.start()
            server.ask(f"CREATE ROLE sms LOGIN PASSWORD '{PASSWORD}'")
            server.ask("CREATE DATABASE sms OWNER sms")
            yield server
        finally:
            server.stop()


def address(server: PostgresServer) -> str:
    """One that does not say that the server is on this machine, where it is: 0.0.0.0 leads here."""
    return server.url("sms", f"sms:{PASSWORD}").replace("127.0.0.1", "0.0.0.0")


def kept(service: LiveService, message_uuid: str) -> bool:
    request = service.plivo.post(service.plivo.fields("sent", message_uuid))
    return send(request, service.address)[0] == 200


def test_a_server_elsewhere_is_written_to_through_tls_without_being_told(
    server: PostgresServer, tmp_path: Path
) -> None:
    assert read_database_url(address(server)).url.endswith("?sslmode=require")
    service = on_postgres(tmp_path, address(server))
    try:
        service.start()
        assert kept(service, "a-uuid")
        assert ask(server.url("sms"), "SELECT message_uuid FROM messages") == [("a-uuid",)]
        used = server.ask(
            "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE usename = 'sms'"
        )
        assert used == [(True,)]
        assert service.get("/readyz")[0] == 200
    finally:
        service.kill()


def test_a_server_elsewhere_that_has_no_tls_is_not_told_the_password(
    server: PostgresServer,
) -> None:
    server.ask("ALTER SYSTEM SET ssl = off")
    server.ask("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: server.ask("SHOW ssl") == [("off",)], what="it has none")
        with (
            closing(PostgresStore(read_database_url(address(server)).url)) as store,
            pytest.raises(StoreUnavailable, match="server does not support SSL"),
        ):
            store.prepare()
    finally:
        server.ask("ALTER SYSTEM RESET ssl")
        server.ask("SELECT pg_reload_conf()")
        wait_until(lambda: server.ask("SHOW ssl") == [("on",)], what="it has TLS again")


def test_without_tls_the_server_refuses_and_the_reason_is_told_without_the_password(
    server: PostgresServer, tmp_path: Path
) -> None:
    service = on_postgres(tmp_path, f"{address(server)}?sslmode=disable")
    try:
        service.start()
        assert kept(service, "another-uuid")
        status, body = service.get("/readyz")
        log = service.log.read_text()
    finally:
        service.kill()
    assert status == 503
    assert len(list(service.spool.glob("*.json"))) == 1
    for told in (body.decode().replace('\\"', '"'), log):
        assert 'no pg_hba.conf entry for host "127.0.0.1", user "sms"' in told
        assert "no encryption" in told
        assert PASSWORD not in told
