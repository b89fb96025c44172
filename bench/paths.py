"""Where the benchmark keeps things. Everything it makes is under `.cache` and `results`."""

from __future__ import annotations

from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
CACHE = BENCH / ".cache"
RESULTS = BENCH / "results"
