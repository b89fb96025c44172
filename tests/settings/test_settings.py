"""Every variable: its default, its forms, and the line that stops the start if it is wrong."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from psycopg.conninfo import conninfo_to_dict

from smsstatus.settings import ROUTES, Settings
from smsstatus.settings.database_url import sqlite_file
from smsstatus.settings.variables import SettingsError

from ..live import ROOT, LiveService, environment, live_service
from ..signed import SECONDS

SECRET = "hunter2-secret"
REQUIRED = {"PLIVO_AUTH_TOKEN": SECRET, "BASE_URL": "https://sms.example.com"}


def read(**variables: str) -> Settings:
    return Settings.from_environment({**REQUIRED, **variables})


def refusal(**variables: str | None) -> str:
    """The line that stops the start; None takes a variable away."""
    environ = {k: v for k, v in {**REQUIRED, **variables}.items() if v is not None}
    with pytest.raises(SettingsError) as stopped:
        Settings.from_environment(environ)
    return str(stopped.value)


def test_two_variables_are_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert read() == Settings(
        auth_tokens=(SECRET,),
        base_url="https://sms.example.com",
        database=sqlite_file(tmp_path / "smsstatus.db"),
        spool_dir=tmp_path / "smsstatus.db-spool",
        auth_id=None,
        sender=None,
        api_token=None,
        accept_v2=True,
        ui=True,
        plivo_api_url="https://api.plivo.com",
        log_level="info",
    )


@pytest.mark.parametrize(
    "name",
    [
        "PLIVO_AUTH_ID",
        "PLIVO_SENDER",
        "API_TOKEN",
        "DATABASE_URL",
        "DATABASE_CONNECTIONS",
        "SPOOL_DIR",
        "SPOOL_LOG",
        "ACCEPT_V2",
        "UI",
        "PLIVO_API_URL",
        "LOG_LEVEL",
        "PORT",
        "FORWARD_URL",
        "FORWARD_SECRET",
        "FORWARD_STATUSES",
        "FORWARD_LATEST_ONLY",
        "FORWARD_AUTHORIZATION",
        "FORWARD_TIMEOUT",
        "FORWARD_CONCURRENCY",
        "FORWARD_MAX_AGE",
        "RECONCILE_EVERY",
        "RETENTION",
        "BACKUP_EVERY",
        "BACKUP_DIR",
        "BACKUP_KEEP",
        "METRICS_TOKEN",
    ],
)
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_is_an_unset_one(name: str, blank: str) -> None:
    assert read(**{name: blank}) == read()


@pytest.mark.parametrize(
    ("value", "tokens"),
    [("one", ("one",)), ("new,old", ("new", "old")), (" new , old ", ("new", "old"))],
)
def test_tokens_are_comma_separated_and_keep_their_order(
    value: str, tokens: tuple[str, ...]
) -> None:
    assert read(PLIVO_AUTH_TOKEN=value).auth_tokens == tokens


@pytest.mark.parametrize(
    ("value", "webhook"),
    [
        ("https://sms.example.com", "https://sms.example.com/plivo/status"),
        ("https://sms.example.com/", "https://sms.example.com/plivo/status"),
        (" http://127.0.0.1:8000 ", "http://127.0.0.1:8000/plivo/status"),
        ("https://example.com:443/sms/", "https://example.com:443/sms/plivo/status"),
        ("https://[::1]:8000", "https://[::1]:8000/plivo/status"),
    ],
)
def test_base_url_keeps_its_port_and_path_and_drops_a_last_slash(value: str, webhook: str) -> None:
    assert read(BASE_URL=value).webhook_url == webhook


TOLD = [
    ("RENDER_EXTERNAL_URL", "https://sms-1a2b.onrender.com", "https://sms-1a2b.onrender.com"),
    (
        "RAILWAY_PUBLIC_DOMAIN",
        "sms-production.up.railway.app",
        "https://sms-production.up.railway.app",
    ),
    ("FLY_APP_NAME", "our-sms", "https://our-sms.fly.dev"),
    ("HEROKU_APP_DEFAULT_DOMAIN_NAME", "a-12ab.herokuapp.com", "https://a-12ab.herokuapp.com"),
]
"""What hosts set, and the address under which they then serve."""


@pytest.mark.parametrize(("name", "value", "address"), TOLD)
def test_base_url_is_what_the_host_tells_unless_it_is_set(
    name: str, value: str, address: str
) -> None:
    for unset in ("", "  "):
        settings = read(BASE_URL=unset, **{name: f" {value} "})
        assert (settings.base_url, settings.base_url_from) == (address, name)
    assert read(**{name: value}) == read()
    assert refusal(BASE_URL=None, **{name: " "}).startswith("BASE_URL is not set")
    assert refusal(BASE_URL=None, **{name: '"a b"'}).startswith("BASE_URL ")


def test_the_start_line_names_the_address_and_the_variable_that_told_it(tmp_path: Path) -> None:
    with live_service(tmp_path, BASE_URL="", FLY_APP_NAME="our-sms") as service:
        line = "BASE_URL is not set, so it is https://our-sms.fly.dev, from FLY_APP_NAME"
        assert line in service.log.read_text()


def test_a_database_is_relative_to_where_the_service_starts_or_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(DATABASE_URL="sqlite:///a/b.db").database_path == tmp_path / "a/b.db"
    absolute = read(DATABASE_URL="sqlite:////data/b.db")
    assert absolute.database_path == Path("/data/b.db")
    assert absolute.spool_dir == Path("/data/b.db-spool")
    assert read(SPOOL_DIR="spool").spool_dir == tmp_path / "spool"


@pytest.mark.parametrize("name", ["ACCEPT_V2", "UI"])
def test_a_switch_is_on_or_off(name: str) -> None:
    field = name.lower()
    assert all(getattr(read(**{name: on}), field) for on in ("true", "On", "YES", "1", " true "))
    assert not any(getattr(read(**{name: off}), field) for off in ("false", "Off", "NO", "0"))


def test_the_other_variables_are_taken_as_they_are() -> None:
    settings = read(
        PLIVO_AUTH_ID="MA0123456789ABCDEFGH",
        PLIVO_SENDER="+14155550100",
        API_TOKEN="token",
        PLIVO_API_URL="http://127.0.0.1:9/",
        LOG_LEVEL="WARNING",
    )
    assert (settings.auth_id, settings.sender) == ("MA0123456789ABCDEFGH", "+14155550100")
    assert (settings.api_token, settings.plivo_api_url) == ("token", "http://127.0.0.1:9")
    assert settings.log_level == "warning"


WRONG = [
    ("PLIVO_AUTH_TOKEN", None),
    *(("PLIVO_AUTH_TOKEN", value) for value in ("", " ", ",", f"{SECRET},", f",{SECRET}")),
    *(
        ("PLIVO_AUTH_TOKEN", value)
        for value in (
            *(f'"{SECRET}"', f"'{SECRET}'", f'"{SECRET}', f"`{SECRET}`", f'old,"{SECRET}"'),
            *(f'"{SECRET}"\r', f"\u201c{SECRET}\u201d", f"\u2018{SECRET}\u2019", f"hunt'{SECRET}"),
            *(f"{SECRET}\u200b", f"\ufeff{SECRET}", f"{SECRET}\xe9", f"{SECRET}\udcff"),
            *(f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"{SECRET}\xa0{SECRET}", "\u200b"),
            *(f"{SECRET} # the main account", f"{SECRET}\x00", f"{SECRET}\x7f"),
        )
    ),
    *(
        ("API_TOKEN", value)
        for value in (
            f'"{SECRET}"',
            f"'{SECRET}'",
            f"\u201c{SECRET}\u201d",
            f"{SECRET}\u201d",
            f"{SECRET}\u200b",
            f"{SECRET}\n{SECRET}",
            f"{SECRET}\t{SECRET}",
            f"{SECRET}\udcff",
            f"{SECRET} # for the page",
        )
    ),
    *(
        ("PLIVO_SENDER", value)
        for value in (
            '"+14155550100"',
            "+1 415 555 0100",
            "+1-415-555-0100",
            "My-Shop",
            "Caf\u00e9",
            "+014155550100",
            "elevenletters",
            "+14155550100 # ours",
            "\uff0b14155550100",
        )
    ),
    ("SPOOL_DIR", "'/data/spool'"),
    ("BASE_URL", None),
    *(
        ("BASE_URL", value)
        for value in (
            *("", " ", "sms.example.com", "ftp://sms.example.com", "https://", "https:///path"),
            *("https://sms.example.com?a=1", "https://sms.example.com/#a", "https://[::1"),
            *(f"https://user:{SECRET}@sms.example.com", "https://sms.example.com:port"),
            *("https://sms.example.com:99999", "https://sms.ex\u00e4mple.com"),
            *("https://sms.example.com?", "https://sms.example.com#"),
            *("https://sms .example.com", "https://sms.example\n.com", "https://a.com/a b"),
            *("https://sms.example.com/plivo/status", "https://sms.example.com/a/plivo/status/"),
            *("https://sms.example.com/messages", "https://sms.example.com/m%65ssages/live/"),
        )
    ),
    *(("PLIVO_API_URL", value) for value in ("api.plivo.com", f"https://u:{SECRET}@api", "x:")),
    *(
        ("PLIVO_AUTH_ID", value)
        for value in (f"XX{SECRET}", "MA0123456789ABCDEFG", "ma0123456789abcdefgh", "MA" + "A" * 19)
    ),
    *(
        ("DATABASE_URL", value)
        for value in (
            "smsstatus.db",
            "/data/smsstatus.db",
            "sqlite:",
            "sqlite://",
            "sqlite:///",
            "sqlite:////",
            "sqlite:///folder/",
            "sqlite://host/file",
            "sqlite:///a.db?mode=ro",
            f"postgresql+psycopg://user:{SECRET}@host/db",
            f"postgres://user:{SECRET}",
            f"postgres://user:{SECRET}@",
            "postgres://",
            "postgres:///sms",
            *(f"postgres://user:{SECRET}{mark}x@host/db" for mark in ("@", "/", " ", "\xe9", "%")),
            *(f"postgres://{user}@host/db" for user in (f"user:{SECRET}%FC", f"%C3:{SECRET}")),
            *(f"postgres://user:{SECRET}@host/{end}" for end in ("%ff", "db?passfile=%E9")),
            *(f"postgres://user:{SECRET}@{host}/db" for host in ("h:", "h:x", "h,", "[::1", "a b")),
            *(f"postgres://user:{SECRET}@{host}/db" for host in ("h:0", "h:65536", "h,h:99999")),
            *(
                f"postgres://user:{SECRET}@host/db?{query}"
                for query in (
                    *("pgbouncer=true", "schema=sms", "sslmode", "sslmode=on", "ssl=1"),
                    *(f"password=a&{SECRET}", "sslrootcert=/nowhere/ca.pem"),
                    *("port=99999", "port=abc", f"port=5432,{SECRET}", f"hostaddr={SECRET}"),
                    *("require_auth=md5,foo", "require_auth=!md5,none", "target_session_attrs=foo"),
                    *("channel_binding=no", "gssencmode=", "load_balance_hosts=yes"),
                )
            ),
            f"mysql://{SECRET}",
            f"{SECRET}://x",
            SECRET,
            "sqlite:///:memory:",
        )
    ),
    *(("DATABASE_CONNECTIONS", value) for value in (SECRET, "0", "101", "-3", "3.0")),
    *(
        (name, value)
        for name in ("ACCEPT_V2", "UI", "SPOOL_LOG")
        for value in ("maybe", SECRET, "tru", "2")
    ),
    *(("LOG_LEVEL", value) for value in ("verbose", SECRET, "critical", "10")),
    *(("PORT", value) for value in (SECRET, "0", "65536", "-1", "80a", "9" * 5000, '"8000"')),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_line_with_the_name_and_an_example_but_not_the_value(
    name: str, value: str | None
) -> None:
    line = refusal(**{name: value})
    assert line.startswith(name)
    assert f"example: {name}=" in line
    assert "\n" not in line
    assert SECRET not in line


@pytest.mark.parametrize("token", ["test-api-token", "key=value", "a b", "t\u00f6ken", "it's-mine"])
def test_an_api_token_that_can_be_shown_is_taken(token: str) -> None:
    assert read(API_TOKEN=f"{token}\r").api_token == token


@pytest.mark.parametrize("sender", ["+14155550100", "14155550100", "12345", "My Shop", "ACME"])
def test_a_sender_that_a_send_would_accept_is_taken(sender: str) -> None:
    assert read(PLIVO_SENDER=sender).sender == sender


def test_all_that_is_wrong_or_missing_is_said_at_once() -> None:
    lines = refusal(
        PLIVO_AUTH_TOKEN=None,
        BASE_URL=None,
        API_TOKEN=f'"{SECRET}"',
        PLIVO_SENDER="+1 415",
        DATABASE_URL=f"postgres://user:{SECRET}@host/db?pgbouncer=true",
        LOG_LEVEL="loud",
        PORT="abc",
    ).splitlines()
    names = ["PLIVO_AUTH_TOKEN", "BASE_URL", "API_TOKEN", "PLIVO_SENDER", "DATABASE_URL"]
    assert [line.partition(" ")[0] for line in lines] == [*names, "LOG_LEVEL", "PORT"]
    assert SECRET not in "".join(lines)


@pytest.mark.parametrize("end", ["", "/"])
def test_a_database_that_is_a_folder_is_refused_and_called_one(tmp_path: Path, end: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for folder in ("data", "link"):
        line = refusal(DATABASE_URL=f"sqlite:///{tmp_path / folder}{end}")
        assert line.startswith("DATABASE_URL names a folder")
        assert "\n" not in line


def test_a_database_that_is_a_link_is_the_file_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "sms.db").symlink_to(tmp_path / "volume" / "real.db")
    settings = read(DATABASE_URL=f"sqlite:///{tmp_path / 'sms.db'}")
    assert settings.database_path == tmp_path / "volume" / "real.db"
    assert settings.spool_dir == tmp_path / "volume" / "real.db-spool"


def test_another_database_is_named_as_not_supported() -> None:
    assert "mysql is not supported" in refusal(DATABASE_URL="mysql://host/db")


ADDRESSES = {
    "postgres://j%C3%BCrgen:p%40ss@db.example.com:5433/sms": "postgresql://db.example.com:5433/sms",
    "postgresql://u:p@10.0.0.5/sms": "postgresql://10.0.0.5/sms",
    "postgres://u:p?#&@a.example.com,b.b/sms": "postgresql://a.example.com,b.b/sms",
    "postgres://u@db.example.com": "postgresql://db.example.com/",
    "postgres://u@db.example.com?application_name=sms": "postgresql://db.example.com/",
    "postgres://u:p@localhost,db.example.com/sms": "postgresql://localhost,db.example.com/sms",
    "postgres://u:p@/sms?host=db.example.com": "postgresql://db.example.com/sms",
    "postgres://u:p@db/sms?hostaddr=192.0.2.1": "postgresql://db/sms",
    "postgres://u:p@[2001:db8::1]:5432/sms": "postgresql://[2001:db8::1]:5432/sms",
}
"""With what may be shown of each. What comes to these goes over networks of others."""


@pytest.mark.parametrize(("url", "name"), ADDRESSES.items())
def test_a_postgresql_address_is_taken_with_tls_and_shown_without_user_and_password(
    url: str, name: str
) -> None:
    database = read(DATABASE_URL=url).database
    assert database.name == name
    assert database.path is None
    added = "sslmode=require"
    assert database.url in (f"{url}?{added}", f"{url}&{added}")
    assert conninfo_to_dict(database.url)["sslmode"] == "require"
    assert url not in repr(database)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@db.example.com/sms?sslmode=verify-full",
        "postgres://u:p@db.example.com/sms?sslmode=disable",
        "postgres://u:p@db.example.com/sms?ssl=true",
        "postgres://u:p@localhost/sms",
        "postgres://u:p@127.0.0.1:5432/sms",
        "postgres://u:p@[::1]/sms",
        "postgres://u:p@db/sms",  # a container beside it
        "postgres://u:p@%2Fvar%2Frun%2Fpostgresql.d/sms",
        "postgres:///sms?host=/var/run/postgresql.d",
        "postgres://localhost,[::1]/sms",
        "postgres://localhost:1,[::1]:65535/sms?target_session_attrs=any&require_auth=!md5,!none",
        "postgres://localhost/sms?hostaddr=127.0.0.1&port=5433&require_auth=md5,scram-sha-256",
        "postgres://localhost,db/sms?hostaddr=127.0.0.1,&port=,5433&load_balance_hosts=random",
    ],
)
def test_an_address_that_says_so_or_that_is_local_needs_no_tls(url: str) -> None:
    assert read(DATABASE_URL=url).database.url == url
    conninfo_to_dict(url)


def test_certificates_are_those_of_a_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = "postgres://db.example.com/sms?sslrootcert=system"  # verify-full goes without saying
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert "needs the variable SSL_CERT_FILE=" in refusal(DATABASE_URL=system)
    (tmp_path / "ca.pem").touch()
    url = f"postgres://db.example.com/sms?sslrootcert={tmp_path / 'ca.pem'}"
    assert read(DATABASE_URL=url).database.url == f"{url}&sslmode=require"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert read(DATABASE_URL=system).database.url == system


def test_a_database_elsewhere_leaves_the_spool_where_the_service_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read(DATABASE_URL="postgres://u:p@db.example.com/sms", DATABASE_CONNECTIONS="5")
    assert settings.spool_dir == tmp_path / "smsstatus-spool"
    assert settings.database_connections == 5


def test_what_is_spooled_is_logged_too_on_a_dyno_or_where_that_is_asked_for() -> None:
    asked = {name: read(SPOOL_LOG=name).spool_log for name in ("", "on", "off")}
    assert asked == {"": False, "on": True, "off": False}
    asked = {name: read(SPOOL_LOG=name, DYNO="web.1").spool_log for name in ("", "on", "off")}
    assert asked == {"": True, "on": True, "off": False}
    assert [read(DYNO=name).dyno for name in ("web.1", "")] == ["web.1", None]


@pytest.mark.parametrize("route", ROUTES)
def test_a_prefix_that_looks_like_one_of_our_routes_is_refused(route: str) -> None:
    for path in (route, f"{route}/live"):
        line = refusal(BASE_URL=f"https://sms.example.com/{path}")
        assert line.startswith(f"BASE_URL has a path that begins like the service's own /{route};")
    assert read(BASE_URL=f"https://sms.example.com/live/{route}").prefix == f"/live/{route}"
    assert read(BASE_URL=f"https://sms.example.com/{route}s").prefix == f"/{route}s"


# The whole program.

BAD_STARTS = {
    "no token": ({"PLIVO_AUTH_TOKEN": ""}, "PLIVO_AUTH_TOKEN"),
    "a wrong BASE_URL": ({"BASE_URL": f"https://user:{SECRET}@host"}, "BASE_URL"),
    "a quoted token": ({"PLIVO_AUTH_TOKEN": f'"{SECRET}"'}, "PLIVO_AUTH_TOKEN"),
    "a quoted sender": ({"PLIVO_SENDER": '"+14155550100"'}, "PLIVO_SENDER"),
    "a folder": ({"DATABASE_URL": f"sqlite:///{ROOT / 'tests'}"}, "DATABASE_URL"),
    "another database": ({"DATABASE_URL": f"mysql://user:{SECRET}@host/db"}, "DATABASE_URL"),
    "a driver's option": (
        {"DATABASE_URL": f"postgres://user:{SECRET}@host/db?pgbouncer=true"},
        "DATABASE_URL",
    ),
    "a wrong port": ({"PORT": SECRET}, "PORT"),
    "a wrong log level": ({"LOG_LEVEL": SECRET}, "LOG_LEVEL"),
    "a spool that takes no files": ({"SPOOL_DIR": "/proc/spool"}, "SPOOL_DIR"),
    "a spool that is a file": ({"SPOOL_DIR": str(ROOT / "README.md")}, "SPOOL_DIR"),
    "a disk that is not mounted": ({"DATABASE_URL": "sqlite:////nowhere/sms.db"}, "SPOOL_DIR"),
}
bad_starts = pytest.mark.parametrize(("wrong", "name"), BAD_STARTS.values(), ids=BAD_STARTS)


@bad_starts
def test_importing_wsgi_stops_with_one_clear_line(
    tmp_path: Path, wrong: dict[str, str], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    variables = environment(tmp_path, "https://sms.example.com", **wrong)
    with mock.patch.dict(os.environ, variables, clear=True), pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "wsgi.py"))
    assert stopped.value.code == 4
    said, complained = capfd.readouterr()
    assert said == ""
    assert complained.startswith(f"smsstatus cannot start: {name} ")
    assert complained.count("\n") == 1
    assert SECRET not in complained


def test_flask_run_does_not_serve_without_a_spool_either(tmp_path: Path) -> None:
    stopped = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", "0"],
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com", SPOOL_DIR="/proc/spool"),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert stopped.returncode == 4
    assert "smsstatus cannot start: SPOOL_DIR " in stopped.stderr


@bad_starts
def test_gunicorn_stops_too_and_does_not_try_again(
    tmp_path: Path, wrong: dict[str, str], name: str
) -> None:
    service = LiveService(tmp_path, **wrong)
    (line,) = service.refuse()
    assert line.startswith(f"smsstatus cannot start: {name} ")
    assert SECRET not in service.log.read_text()


def test_a_start_lists_all_that_is_wrong_a_line_each(tmp_path: Path) -> None:
    wrong = {"PLIVO_AUTH_TOKEN": f'"{SECRET}"', "BASE_URL": "", "PLIVO_SENDER": "+1 415"}
    stopped = subprocess.run(
        [sys.executable, "-c", "import wsgi"],
        cwd=ROOT,
        env=environment(tmp_path, "", **wrong),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    lines = stopped.stderr.splitlines()
    assert [" ".join(line.split()[:4]) for line in lines] == [
        f"smsstatus cannot start: {name}" for name in wrong
    ]


@pytest.mark.parametrize("port", ["abc", "65536"])
def test_a_wrong_port_does_not_hide_what_else_is_wrong_from_gunicorn(
    tmp_path: Path, port: str
) -> None:
    wrong = {"PLIVO_AUTH_TOKEN": "", "API_TOKEN": f'"{SECRET}"', "PORT": port}
    service = LiveService(tmp_path, **wrong)
    service.command = [sys.executable, "-m", "gunicorn", "wsgi:app"]  # on PORT
    lines = service.refuse()
    assert [" ".join(line.split()[:4]) for line in lines] == [
        f"smsstatus cannot start: {name}" for name in wrong
    ]


def test_nothing_is_made_beside_a_folder_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    service = LiveService(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path / 'data'}")
    service.refuse()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "service.log"}
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(("token", "said"), [("test-api-token", True), ("0123456789abcdef", False)])
def test_a_short_api_token_starts_with_a_warning(tmp_path: Path, token: str, said: bool) -> None:
    with live_service(tmp_path, API_TOKEN=token) as service:
        bearer = {"Authorization": f"Bearer {token}"}
        assert service.get("/messages", bearer)[0] == 200
        log = service.log.read_text()
    assert ("API_TOKEN has fewer than 16 characters" in log) == said
    assert token not in log


def test_who_can_ask_plivo_reconciles_unless_told_otherwise() -> None:
    auth_id = {"PLIVO_AUTH_ID": "MA0123456789ABCDEFGH"}
    assert read().reconcile_every is None
    assert read(**auth_id).reconcile_every == 900
    assert read(**auth_id, RECONCILE_EVERY="1h").reconcile_every == 3600
    assert read(**auth_id, RECONCILE_EVERY="Off").reconcile_every is None
    assert refusal(RECONCILE_EVERY="15m").startswith("PLIVO_AUTH_ID is not set")
    for wrong in ("1s", "2d", "never"):
        assert refusal(**auth_id, RECONCILE_EVERY=wrong).startswith("RECONCILE_EVERY must be off")


def test_what_is_kept_and_copied(tmp_path: Path) -> None:
    assert read(RETENTION="400d").retention == 400 * 86_400
    assert refusal(RETENTION="1h").startswith("RETENTION must be off, or")
    copied = read(BACKUP_EVERY="1d", BACKUP_DIR=str(tmp_path), BACKUP_KEEP="3")
    assert (copied.backup_every, copied.backup_dir, copied.backup_keep) == (86_400, tmp_path, 3)
    assert refusal(BACKUP_EVERY="1d").startswith("BACKUP_DIR is not set")
    assert refusal(BACKUP_KEEP="0").startswith("BACKUP_KEEP must be")
    postgres = {"DATABASE_URL": "postgres://host/name", "BACKUP_DIR": "/data"}
    assert refusal(**postgres, BACKUP_EVERY="1d").startswith("BACKUP_EVERY is for SQLite")
