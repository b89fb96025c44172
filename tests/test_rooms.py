"""Who may know whom: each outside thing has one room, pure is pure, arrows point downwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from .live import ROOT

ROOMS = {
    "sqlite3": ["store.sqlite"],
    "psycopg": ["store.postgres"],
    "gunicorn": ["server"],
    "plivo": ["plivo.api"],
    "requests": ["plivo.api"],
    "urllib3": ["plivo.api"],
    "flask": ["smsstatus", "web", "ui", "commands"],
    "click": ["commands"],
    "smsstatus.store.sqlite": ["store.opening", "store.sqlite"],
    "smsstatus.store.postgres": ["store.opening", "store.postgres"],
}
"""What may be imported in these alone."""

PURE = [
    "model",
    "version",
    "notation",
    "query",
    "settings.hosts",
    "figures.rates",
    "figures.unusual",
    "plivo.countries",
    "plivo.country_table",
    "plivo.error_codes",
    "plivo.form",
    "plivo.signature",
    "plivo.callback",
    "store.contract",
    "store.outbox",
    "store.moving",
    "store.runs",
    "store.packing",
    "store.rules",
    "forwarding.signing",
    "forwarding.payload",
    "forwarding.schedule",
]
"""What a message and a callback are, what a store promises, what a query asks for."""

WITHOUT_IO = {
    "__future__",
    "base64",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "decimal",
    "email.utils",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "json",
    "math",
    "pathlib",
    "re",
    "typing",
    "urllib.parse",
    "zlib",
}
"""What pure modules may import of Python's own; the contract names types of some."""

TOOLS = [
    "bounded",
    "cache",
    "clock",
    "disks",
    "durations",
    "files",
    "locking",
    "log_stream",
    "logs",
    "metrics",
    "paths",
    "promise",
]

FLOORS = [
    PURE,
    [*TOOLS, "settings"],  # what every part may stand on
    ["store", "plivo", "intake", "server", "forwarding"],  # each has to do with one thing outside
    ["service", "upkeep"],  # the parts of one running service, with what it does alone
    ["sending", "readiness", "figures", "views"],  # what it does, or says, if asked
    ["web"],  # HTTP, for Plivo, programs and monitoring
    ["ui", "commands"],  # for people
    ["smsstatus", "__main__"],  # the factory puts it all together, and the program starts it
]
"""From the ground up: a module knows those of its own floor and of the floors below."""


def is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def floor_of(name: str) -> int:
    """That of the longest entry which the name is in."""
    entries = [
        (len(room), number)
        for number, floor in enumerate(FLOORS)
        for room in floor
        if is_in(name, room)
    ]
    assert entries, f"{name} is on no floor"
    return max(entries)[1]


def imported_in(path: Path) -> Iterator[str]:
    """Everything, wherever it is imported, but what is for the type checker alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = ROOT.joinpath(*source.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{source}.{alias.name}" if is_module else source


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """By a module's name in the package: `web.webhook`, or `smsstatus` for the factory."""
    paths = sorted((ROOT / "smsstatus").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return {
        own(name.removesuffix(".__init__")): set(imported_in(path))
        for name, path in zip(names, paths, strict=True)
    }


def own(imported: str) -> str:
    return imported.removeprefix("smsstatus.")


def test_what_is_outside_is_known_in_its_own_room_alone(imports: dict[str, set[str]]) -> None:
    assert [
        f"{name} imports {imported}"
        for name, there in imports.items()
        for imported in there
        for thing, rooms in ROOMS.items()
        if is_in(imported, thing) and not any(is_in(name, room) for room in rooms)
    ] == []


def test_what_is_pure_knows_nothing_that_reads_writes_or_waits(
    imports: dict[str, set[str]],
) -> None:
    assert [
        f"{name} imports {imported}"
        for name in imports.keys() & set(PURE)
        for imported in imports[name]
        if own(imported) not in PURE and not any(is_in(imported, module) for module in WITHOUT_IO)
    ] == []


def test_no_module_knows_a_floor_above_its_own(imports: dict[str, set[str]]) -> None:
    assert [
        f"{name} imports {imported}"
        for name, there in imports.items()
        for imported in there
        if is_in(imported, "smsstatus") and floor_of(own(imported)) > floor_of(name)
    ] == []


def test_no_module_knows_itself_by_way_of_others(imports: dict[str, set[str]]) -> None:
    """TopologicalSorter raises CycleError, which names them."""
    inside = {name: {own(other) for other in there} for name, there in imports.items()}
    TopologicalSorter(inside).prepare()
