"""smsstatus whose writer thread takes work and answers, but writes nothing. For `no-commit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smsstatus.store.contract import Outcome
from smsstatus.store.sqlite.committer import Committer
from wsgi import app

__all__ = ["app"]


def _commit(committer: Committer, jobs: Sequence[Any]) -> list[Any]:
    return [Outcome.APPLIED] * len(jobs)


Committer.commit = _commit  # type: ignore[method-assign]
