"""The variables of forwarding: their defaults, their forms, and the line for each wrong one."""

from __future__ import annotations

import base64

import pytest

from smsstatus.model import FINAL_STATUSES
from smsstatus.settings import Settings
from smsstatus.settings.variables import SettingsError

KEY = bytes(range(24))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
URL = "https://shop.example.com/hooks/sms?tenant=1"
BASE_URL = "https://sms.example.com/live"


def read(**variables: str) -> Settings:
    return Settings.from_environment(
        {"PLIVO_AUTH_TOKEN": "token", "BASE_URL": BASE_URL, **variables}
    )


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as stopped:
        read(**variables)
    return str(stopped.value)


def test_without_an_address_it_is_off() -> None:
    assert read().forward_url is None


def test_an_address_and_a_secret_are_enough() -> None:
    settings = read(FORWARD_URL=URL, FORWARD_SECRET=SECRET)
    assert (settings.forward_url, settings.forward_secrets) == (URL, (KEY,))
    assert settings.forward_statuses is None
    assert settings.forward_latest_only is False
    assert settings.forward_authorization is None
    assert (settings.forward_timeout, settings.forward_concurrency) == (15.0, 8)
    assert settings.forward_max_age == 3 * 86_400


def test_an_address_without_a_secret_stops_the_start() -> None:
    line = refusal(FORWARD_URL=URL)
    assert line.startswith("FORWARD_SECRET is not set")
    assert "smsstatus forward secret" in line


def test_secrets_are_comma_separated_and_keep_their_order() -> None:
    newer = "whsec_" + base64.b64encode(b"n" * 64).decode()
    assert read(FORWARD_SECRET=f"{newer} , {SECRET}").forward_secrets == (b"n" * 64, KEY)


@pytest.mark.parametrize(
    ("value", "statuses"),
    [
        ("all", None),
        ("final", FINAL_STATUSES),
        ("failures", {"rejected", "failed", "undelivered"}),
        (" Delivered, read", {"delivered", "read"}),
    ],
)
def test_statuses_are_a_kind_or_a_list(value: str, statuses: set[str] | None) -> None:
    assert read(FORWARD_STATUSES=value).forward_statuses == statuses


@pytest.mark.parametrize(
    ("value", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("36h", 129_600), ("7d", 604_800)]
)
def test_a_time_span_has_a_unit_or_is_in_seconds(value: str, seconds: float) -> None:
    assert read(FORWARD_MAX_AGE=value).forward_max_age == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("FORWARD_URL", value)
            for value in (
                "shop.example.com",
                "ftp://shop.example.com",
                "https://user:hunter2@shop.example.com",
                "https://shop.example.com/#hunter2",
                "https://shop.example.com/a b",
                "https://shop.example.com:port",
            )
        ),
        *(
            ("FORWARD_SECRET", value)
            for value in (
                "hunter2",
                "whsec_",
                "whsec_hunter2",
                f"{SECRET},",
                f"{SECRET} {SECRET}",
                "whsec_" + base64.b64encode(bytes(23)).decode(),
                "whsec_" + base64.b64encode(bytes(65)).decode(),
                "whsec_" + base64.b64encode(bytes(25)).decode().rstrip("="),
                "whsec_" + base64.b64encode(b"\xff" * 24).decode().replace("/", "_"),
            )
        ),
        *(("FORWARD_STATUSES", value) for value in ("some", "deliverd", "all,final", ",")),
        ("FORWARD_LATEST_ONLY", "maybe"),
        *(("FORWARD_AUTHORIZATION", value) for value in ("Bearer h\xe4", "a\r\nb", "a # b")),
        *(("FORWARD_TIMEOUT", value) for value in ("0", "31", "1m", "-1", "1.5", "soon")),
        *(("FORWARD_CONCURRENCY", value) for value in ("0", "65", "many")),
        *(("FORWARD_MAX_AGE", value) for value in ("59s", "91d", "3 d", "\u0663d")),
    ],
)
def test_a_wrong_value_is_one_line_with_the_name_and_an_example_but_not_the_value(
    name: str, value: str
) -> None:
    line = refusal(**{name: value})
    assert line.startswith(name)
    assert f"example: {name}=" in line
    assert "\n" not in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE_URL}/plivo/status",
        BASE_URL,
        f"{BASE_URL}?a=1",
        "http://SMS.example.com:443/live/x",
        "https://sms.example.com./live/",
    ],
)
def test_an_address_of_the_service_itself_is_refused(url: str) -> None:
    assert refusal(FORWARD_URL=url, FORWARD_SECRET=SECRET).startswith("FORWARD_URL is this service")


@pytest.mark.parametrize(
    "url", ["https://sms.example.com/livery", "https://sms.example.com", "http://127.0.0.1:8001"]
)
def test_an_address_beside_the_service_is_taken(url: str) -> None:
    assert read(FORWARD_URL=url, FORWARD_SECRET=SECRET).forward_url == url
