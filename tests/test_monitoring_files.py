"""deploy/ alarms and board name metrics, labels and commands that are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient

from smsstatus.figures.unusual import LEAST
from smsstatus.model import FINAL_STATUSES
from smsstatus.settings import Settings
from smsstatus.web.current import service_of

from .conftest import Deliver, Receive
from .live import ROOT
from .signed import Plivo

RULES = ROOT / "deploy/prometheus-rules.yml"
BOARD = ROOT / "deploy/grafana-board.json"
OF_PROMETHEUS = {"up"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A task of the upkeep is on."""
    return replace(settings, retention=86_400.0)


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


def expressions() -> list[str]:
    board = json.loads(BOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return found + [rule["expr"] for rule in rules()]


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
    for expression in expressions():
        assert named(expression) <= documented | OF_PROMETHEUS, expression
        assert named(expression)
        assert expression.count("(") == expression.count(")")


def test_each_way_in_which_a_receiver_takes_nothing_is_an_alarm() -> None:
    alarmed = set[str]().union(*(named(rule["expr"]) for rule in rules()))
    for way in ("lag_seconds", "failing_seconds", "dead"):
        assert f"smsstatus_forward_{way}" in alarmed


def test_no_rate_is_made_of_final_statuses() -> None:
    """Where no delivery reports come only failures are final, and what is read is final twice."""
    for expression in expressions():
        assert "smsstatus_final_statuses_total" not in expression or "/" not in expression


def test_labels_of_alarms_and_board_are_labels_that_metrics_have(
    app: Flask, client: FlaskClient, receive: Receive, deliver: Deliver, plivo: Plivo
) -> None:
    for number in range(LEAST):
        receive(sorted(FINAL_STATUSES)[number % len(FINAL_STATUSES)])
    assert deliver(plivo.post(plivo.fields("sent"))._replace(headers={})).status_code == 403
    service_of(app).metrics.count_reconciled("asked", 1)
    exposed = defaultdict[tuple[str, str], set[str]](set)
    for name, labels in re.findall(r"^(\w+)\{(.*)\} ", client.get("/metrics").text, re.MULTILINE):
        for label, value in re.findall(r'(\w+)="(.*?)"', labels):
            exposed[name, label].add(value)
    for expression in expressions():
        for name, matchers in re.findall(r"(smsstatus_\w+)\{(.*?)\}", expression):
            for label, values in re.findall(r'(\w+)[!=]=?~?"(.*?)"', matchers):
                assert label == "job" or set(values.split("|")) <= exposed[name, label], expression
        for labels in re.findall(r"\bby \((.*?)\)", expression):
            for label in set(labels.split(", ")) - {"job"}:
                assert any(exposed[name, label] for name in named(expression)), expression


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_prometheus_takes_the_alarms() -> None:
    ran = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
