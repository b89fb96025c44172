"""What each application compiles for itself, and every one here alike: compiled once.

A service makes one application; the tests make a thousand, and would do little else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


class _Templates(BytecodeCache):
    """Jinja's own way to keep what it made of a source, here in memory."""

    def __init__(self) -> None:
        self._made: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._made:
            bucket.bytecode_from_string(self._made[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._made[bucket.key] = bucket.bytecode_to_string()


def compile_once() -> None:
    """For all applications that this process makes from now on."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Templates()}
    Rule._compile_builder = _once(Rule._compile_builder)  # type: ignore[attr-defined]


def _once(compile_route: Callable[[Rule, bool], Any]) -> Callable[[Rule, bool], Any]:
    """Werkzeug makes Python code of each route: half of what an application costs."""
    made: dict[tuple[str, str, bool], Any] = {}

    def compile_builder(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, rule.endpoint, append_unknown)
        if key not in made:
            made[key] = compile_route(rule, append_unknown)
        return made[key]

    return compile_builder
