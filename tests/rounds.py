"""How much is tried where more finds more, by what the tests are run for."""

from __future__ import annotations

import pytest

_share = 1.0


def choose(config: pytest.Config) -> None:
    """To be called before the tests are imported."""
    global _share
    if config.getoption("--fault-rounds") != "full":
        _share = 0.05 if config.getoption("--no-processes") else 0.2


def examples(number: int) -> int:
    """How many examples Hypothesis tries: `number`, a fifth in `make test`, some in `make quick`.

    Where all are tried is `--fault-rounds=full`.
    """
    return round(number * _share)
