"""How much is tried where more finds more, by what the tests are run for."""

from __future__ import annotations

import pytest
from hypothesis import settings

_share = 1.0


def choose(config: pytest.Config) -> None:
    """To be called before the tests are imported."""
    global _share
    if config.getoption("--fault-rounds") != "full":
        _share = 0.05 if config.getoption("--no-processes") else 0.2
    # For what says nothing else. A deadline would make a busy machine the verdict, and chance too.
    settings.register_profile(
        "smsstatus", max_examples=examples(200), deadline=None, derandomize=True
    )
    settings.load_profile("smsstatus")


def examples(number: int) -> int:
    """How many examples Hypothesis tries: `number`, a fifth in `make test`, some in `make quick`.

    Where all are tried is `--fault-rounds=full`.
    """
    return round(number * _share)


def are_full() -> bool:
    """Whether promises in seconds are judged, as in `make faults`, and nothing is made shorter."""
    return _share == 1.0
