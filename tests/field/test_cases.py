"""Each case of cases.json holds: settings, signed callbacks, then what the service says.

A case has `requests` (fields to sign and send; `query` is the sender's own; `prefix` is what a
proxy leaves in the path) and a `check`: a request and what its answer holds. One with `start` is
refused at the start, with the words in `says`, without those in `never_says`, leaving only the
files in `leaves`. What takes more than that has a test of its own, named in `held_by`.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ..live import API_TOKEN, ROOT, LiveService, environment, live_service
from ..signed import Request, send

Case = dict[str, Any]

CASES: list[Case] = json.loads((Path(__file__).parent / "cases.json").read_text())
SERVED = [case for case in CASES if "check" in case]
REFUSED = [case for case in CASES if "start" in case]
HELD_ELSEWHERE = [case for case in CASES if "held_by" in case]


def named(case: Case) -> str:
    return str(case["name"])


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LiveService]]:
    """A running service for each set of settings, made when it is needed first."""
    with ExitStack() as stack:

        class Services(dict[str, LiveService]):
            def __missing__(self, key: str) -> LiveService:
                folder = tmp_path_factory.mktemp("service")
                settings = {"BASE_URL": "https://sms.example.com", **json.loads(key)["settings"]}
                self[key] = stack.enter_context(live_service(folder, **settings))
                return self[key]

        yield Services()


@pytest.mark.parametrize("case", SERVED, ids=named)
def test_a_case_from_the_field_holds(case: Case, services: dict[str, LiveService]) -> None:
    alone = case["name"] if case.get("alone") else ""
    service = services[json.dumps({"settings": case.get("settings", {}), "alone": alone})]
    for callback in case.get("requests", ()):
        signed = service.plivo.post(callback["fields"], query=callback.get("query", ""))
        assert send(under(callback.get("prefix", ""), signed), service.address)[0] == 200
    status, body = ask(service, case)
    expected = case["check"]
    assert status == expected.get("status", status if "body_has" in expected else 200), body
    assert expected.get("body_has", "") in body
    assert "body_lacks" not in expected or expected["body_lacks"] not in body
    assert body.startswith(expected.get("starts_with", ""))
    for name, value in expected.get("json", {}).items():
        assert json.loads(body)[name] == value, name


def under(prefix: str, request: Request) -> Request:
    """As it reaches the service from a proxy that leaves the path prefix in."""
    return request._replace(target=prefix + request.target)


def ask(service: LiveService, case: Case) -> tuple[int, str]:
    """Send the case's check; the status and the text of the answer."""
    check = case["check"]
    token = case.get("settings", {}).get("API_TOKEN", API_TOKEN)
    headers = {"Authorization": f"Bearer {token}", **check.get("headers", {})}
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    try:
        connection.request(check.get("method", "GET"), check["path"], check.get("body"), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_a_start_that_cannot_be_right_is_refused_in_a_line_for_each_fault(
    case: Case, tmp_path: Path
) -> None:
    for folder in case.get("folders", ()):
        (tmp_path / folder).mkdir(parents=True)
    settings = {
        name: value.replace("{folder}", str(tmp_path)) for name, value in case["settings"].items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"],
        cwd=ROOT,
        env=environment(tmp_path, "https://sms.example.com") | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for word in case["says"]:
        assert any(word in line and "cannot start" in line for line in done.stderr.splitlines())
    assert "never_says" not in case or case["never_says"] not in done.stderr
    if "leaves" in case:
        assert sorted(path.name for path in tmp_path.iterdir()) == case["leaves"]


@pytest.mark.parametrize("case", HELD_ELSEWHERE, ids=named)
def test_what_takes_more_than_a_request_has_a_test_of_its_own(case: Case) -> None:
    file, _, name = case["held_by"].partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
