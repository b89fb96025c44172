"""A 200 is sent after the fsync that covers its callback: seen in the order of system calls.

kill -9 cannot show this: what a killed process has written is still in the kernel's memory.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from smsstatus.intake.last_resort import MARK, read_log
from smsstatus.model import TEXT_DIGEST_SIZE
from smsstatus.plivo.callback import Callback, read_callback

from ..live import LiveService
from ..signed import Plivo
from .conftest import Figure
from .load import Load
from .locks import keeping_out
from .places import on_both_in_full
from .reconcile import wait_until_spooled
from .tracing import Call, calls, strace, worker_pid

_TRACED = "trace=recvfrom,sendto,sendmsg,write,pwrite64,pwritev,fdatasync,fsync,rename"
_OPTIONS = ("-y", "-s", "50000", "-e", _TRACED)
_ESCAPED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def service(shared_service: LiveService) -> LiveService:
    return shared_service


def test_every_200_is_sent_after_the_fdatasync_of_the_commit_that_holds_its_callback(
    service: LiveService, tmp_path: Path, full: bool, figure: Figure
) -> None:
    """For each 200: its callback was written to the WAL, then the frame that commits it, then a
    sync of the WAL began and succeeded, and only then did the answer begin to be sent."""
    with Load(service.port, service.plivo) as load:
        load.wait_for(50)
        with strace(worker_pid(service), tmp_path / "trace", *_OPTIONS):
            load.wait_for(2000 if full else 150)
    ways = _ways(calls(tmp_path / "trace"))
    figure(
        "order of fdatasync and answer, seen with strace, 8 clients",
        f"{ways.total():,} answers 200, sent before their commit was synced: {ways['too early']}"
        + _others(ways, "store"),
    )
    assert ways.total() >= 100
    assert ways["too early"] == 0
    assert ways["store"] > 0


@on_both_in_full
def test_every_200_for_a_spooled_callback_is_sent_after_its_file_and_folder_are_fsynced(
    service: LiveService, tmp_path: Path, full: bool, figure: Figure
) -> None:
    """For each 200: content written, file synced, renamed, folder synced, answer sent."""
    with keeping_out(service), Load(service.port, service.plivo) as load:
        wait_until_spooled(service, 20)
        with strace(worker_pid(service), tmp_path / "trace", *_OPTIONS):
            load.wait_for(2000 if full else 100)
    ways = _ways(calls(tmp_path / "trace"))
    figure(
        "order of the spool's fsyncs and answer, seen with strace, 8 clients",
        f"{ways.total():,} answers 200, sent before file and folder were synced: "
        f"{ways['too early']}" + _others(ways, "spool"),
    )
    assert ways.total() >= 50
    assert ways["too early"] == 0
    assert ways["spool"] > 0


def _ways(traced: list[Call]) -> Counter[str]:
    """How many of the callbacks that were answered 200 in the trace were where by then.

    `store`, `spool` or `log`, or `too early`: in none of them. On a busy machine, which strace
    makes slower still, the store may take too long for one, and the spool too.
    """
    came: dict[str, tuple[int, str]] = {}
    ways = Counter[str]()
    for index, call in enumerate(traced):
        connection = call.arguments.partition(",")[0]
        if call.name == "recvfrom" and "MessageUUID=" in call.arguments:
            came[connection] = (index, _body(call.arguments))
        elif call.name in ("sendto", "sendmsg", "write") and "HTTP/1.1 200" in call.arguments:
            start, body = came.pop(connection, (0, ""))
            if body:
                ways[_way(traced[start:index], body, call)] += 1
    return ways


def _way(traced: list[Call], body: str, answer: Call) -> str:
    if _committed_and_synced(traced, body, answer.entered):
        return "store"
    if _spooled_and_synced(traced, body, answer.entered):
        return "spool"
    return "log" if any(_is_in_the_log(call, body, answer) for call in traced) else "too early"


def _others(ways: Counter[str], way: str) -> str:
    """What was not answered that way, for the figure."""
    return "".join(f", {name}: {ways[name]}" for name in ("store", "spool", "log") if name != way)


def _is_in_the_log(call: Call, body: str, answer: Call) -> bool:
    """Whether a line of last resort that holds the callback was written before."""
    return (
        call.name == "write"
        and f"{MARK} " in call.arguments
        and 0 <= call.left < answer.entered
        and any(
            isinstance(found, Callback) and found.body == body
            for found in read_log([call.arguments], [Plivo.token])
        )
    )


def _body(request: str) -> str:
    """A callback's form body, which no other callback has."""
    return request.partition(r"\r\n\r\n")[2].partition('"')[0]


def _committed_and_synced(traced: list[Call], body: str, answered: int) -> bool:
    """Whether the callback's page, a commit frame and a sync of the WAL came before, in order.

    A frame is a header, then a page: the callback's page may be the committing frame's own. It is
    known by the digest of the text that was signed, since the parameters are packed.
    """
    digest = read_callback(Callback("POST", "", body, ""), source="callback").digest
    known_by = digest[:TEXT_DIGEST_SIZE]
    written = committed = header_commits = False
    for call in traced:
        if call.failed or "-wal>" not in call.arguments.partition(",")[0]:
            continue
        if call.name.startswith("pwrite"):
            if _is_header(call):
                header_commits = _commits(call)
            written = written or known_by in _bytes(call.arguments)
            committed = committed or (written and header_commits)
        elif committed and call.name in ("fdatasync", "fsync") and 0 <= call.left < answered:
            return True
    return False


def _is_header(call: Call) -> bool:
    return re.search(r'", 24, \d+', call.arguments) is not None


def _commits(call: Call) -> bool:
    """Whether this is the header of a WAL frame that ends a transaction.

    Its second word is then the size of the database (https://www.sqlite.org/fileformat.html#walformat).
    """
    return _is_header(call) and _bytes(call.arguments)[4:8] != b"\0\0\0\0"


@cache
def _bytes(arguments: str) -> bytes:
    """What a call wrote, of which strace shows most bytes as escapes."""
    text = _ESCAPED.search(arguments)
    return text[1].encode("latin-1").decode("unicode_escape").encode("latin-1") if text else b""


def _spooled_and_synced(traced: list[Call], body: str, answered: int) -> bool:
    """Whether one thread wrote the callback, synced, renamed and synced the folder before."""
    steps = [("write", body), ("fsync", ".json"), ("rename", ".json"), ("fsync", "-spool>")]
    thread = -1
    for call in traced:
        name, text = steps[0]
        if thread in (-1, call.thread) and call.name == name and text in call.arguments:
            if call.failed or not 0 <= call.left < answered:
                continue
            thread = call.thread
            del steps[0]
            if not steps:
                return True
    return False
