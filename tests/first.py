"""What takes longest begins first, so that no process has it alone at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest

LONG = ("test_make", "test_docs", "test_repeat", "upkeep/test_outages", "store/test_outbox")
"""Modules with a test or a fixture of more than 15 s."""


def long_first(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """These tests in an order in which each process begins with some of LONG.

    As `--dist=worksteal` deals them: a part for each process, of which others take the end.
    """
    long: dict[str, list[pytest.Item]] = {f"tests/{name}": [] for name in LONG}
    others: list[pytest.Item] = []
    for item in items:
        long.get(item.nodeid.partition(".py::")[0], others).append(item)
    dealt: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, tests in enumerate(long.values()):
        dealt[number % processes] += tests
    rest = iter(others)
    ordered: list[pytest.Item] = []
    for number, own in enumerate(dealt):
        size = (len(items) - len(ordered)) // (processes - number)
        ordered += [*own, *islice(rest, max(size - len(own), 0))]
    return [*ordered, *rest]
