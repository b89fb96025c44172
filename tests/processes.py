"""`pytest --no-processes`: a test that would start a process is skipped at that moment.

Which tests do is thus nowhere written down, and never wrong. `make quick` runs what is left.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_STARTS = frozenset(("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"))


class NoProcesses:
    """The plugin behind the option."""

    def __init__(self) -> None:
        self._in_a_test = False
        sys.addaudithook(self._audit)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self._in_a_test = True
        try:
            return (yield)
        finally:
            self._in_a_test = False

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._in_a_test and event in _STARTS:
            pytest.skip("it starts a process")
