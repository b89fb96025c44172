"""deploy/ alarms and board name metrics, labels and commands that are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from .live import ROOT

RULES = ROOT / "deploy/prometheus-rules.yml"
BOARD = ROOT / "deploy/grafana-board.json"
OF_PROMETHEUS = {"up"}


@pytest.fixture
def documented() -> set[str]:
    """Every metric; a test of the documents holds that these are the ones /metrics has."""
    api = (ROOT / "docs/api.md").read_text()
    found = set()
    for name, kind in re.findall(r"^\| `(smsstatus_\w+)` \| (\w+) \|", api, re.MULTILINE):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {name + suffix for suffix in suffixes}
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def named(expression: str) -> set[str]:
    return set(re.findall(r"smsstatus_\w+|\bup\b", expression))


def test_every_alarm_has_what_somebody_who_is_woken_needs() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 5
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[mh]", rule["for"])


def test_alarms_and_board_use_metrics_that_are_there(documented: set[str]) -> None:
    board = json.loads(BOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for rule in rules()]
    for expression in expressions:
        assert named(expression) <= documented | OF_PROMETHEUS, expression
        assert named(expression)
        assert expression.count("(") == expression.count(")")


def test_the_delivery_rate_counts_no_message_twice() -> None:
    """One that is read after it was delivered has two final statuses."""
    rates = [
        target["expr"]
        for panel in json.loads(BOARD.read_text())["panels"]
        for target in panel["targets"]
        if "final_statuses" in target["expr"] and "/" in target["expr"]
    ]
    assert rates
    for part in " / ".join(rates).split(" / "):
        assert 'status="delivered"' in part or 'status!="read"' in part


def test_labels_of_alarms_are_labels_that_metrics_have(client: FlaskClient) -> None:
    text = client.get("/metrics").text
    for kind in ("waiting", "bad", "stuck"):
        assert f'smsstatus_spool_files{{kind="{kind}"}}' in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_prometheus_takes_the_alarms() -> None:
    ran = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
