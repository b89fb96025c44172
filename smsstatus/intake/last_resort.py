"""Callbacks in the log, where neither store nor spool takes them, and reading them back.

So are those in a spool on a disk that is not kept.

A callback becomes one or more numbered records, each in a line of its own:

    smsstatus-callback 2.ID.PART.PARTS.CONTENT.MAC

ID is a digest of the whole content; MAC is an HMAC-SHA256, under the auth token, of all before it.
Transports cut lines (RFC 3164 lets syslog cut at 1,024 bytes), split, double, mix and re-encode
them. So a line is short, has no character that an encoding changes, and each record is
authenticated by itself: a log holds text from strangers too, and `replay` trusts what it reads
back. Content is compressed, and base64, so that numbers do not stand in the log as such.

Earlier versions wrote `smsstatus-callback CONTENT.MAC`, whole and not compressed: read as well.
"""

from __future__ import annotations

import gzip
import hmac
import io
import json
import os
import re
import stat
import sys
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import IO, cast

from .. import promise
from ..bounded import Bounded, Recent
from ..logs import RateLimit
from ..model import utc_now
from ..plivo.callback import Callback
from .records import NotReadable, callback_of, digest_of_fields

MARK = "smsstatus-callback"
_PART_BYTES = 510  # makes lines of at most 892 characters, our time and level included
FAILED = "ERROR", "store and spool both failed"
SPOOLED = "WARNING", "spooled; should the disk be lost"
"""Why a callback is written to the log, behind the level."""

_GAP = r"(?:%20|[^\w%-]){1,8}"  # a space, or what an encoding made of it
_PART = re.compile(rf"{_GAP}(2\.([\w-]{{11}})\.(\d+)\.(\d+)\.([\w-]+))\.([\w-]{{43}})", re.ASCII)
_PART_HEAD = re.compile(rf"{_GAP}2\.([\w-]{{11}})\.(\d+)\.(\d+)\.", re.ASCII)
_EARLIER = re.compile(rf"{_GAP}([\w-]+)(?:=|%3D|\\u003[dD]){{0,2}}\.([0-9a-f]{{64}})", re.ASCII)
_HINTED = re.compile(r"feed this line to \W{0,8}replay", re.ASCII)
_WORD = re.compile(rf"(?:{_GAP})?([\w.=-]*)", re.ASCII)

_CUT = "is cut"
_ALIEN = "was changed (or none of the tokens in PLIVO_AUTH_TOKEN wrote it)"


class LastResort:
    """The log of this process, as the last place that can keep a callback."""

    def __init__(self) -> None:
        self._bounded = Bounded(promise.LOG_SECONDS, "the log")
        self._kept: Recent[bool] = Recent()
        self.lines = RateLimit()

    def keep(self, callback: Callback, token: str, why: tuple[str, str] = FAILED) -> None:
        """Write its lines to stderr, unbuffered. Raises OSError or RuntimeError if not all went.

        What is in the log already is not written again: a captured request must not fill it.
        """
        digest = digest_of_fields(callback)
        if not self._kept.get(digest):
            self._bounded.call("write", _write, log_lines(callback, token, why))
            self._kept.put(digest, True)


def log_lines(callback: Callback, token: str, why: tuple[str, str] = FAILED) -> list[str]:
    """The lines, with their ends, that hold a callback. One will do for all that Plivo sends."""
    content = zlib.compress(json.dumps(callback._asdict()).encode(), 9)
    parts = [content[at : at + _PART_BYTES] for at in range(0, len(content), _PART_BYTES)]
    level, reason = why
    start = f"{utc_now()[:-4]}Z {level} {__name__}: {reason}, feed this line to `replay`: {MARK}"
    lines = []
    for number, part in enumerate(parts, 1):
        record = f"2.{_id(content)}.{number}.{len(parts)}.{_encode(part)}"
        lines.append(f"{start} {record}.{_encode(_mac(record, token))}\n")
    return lines


def _write(lines: Iterable[str]) -> None:
    """One write for each line: so short a one is taken by a pipe whole or not at all (pipe(7))."""
    if sys.__stderr__ is None:
        raise OSError("stderr is closed")
    descriptor = sys.__stderr__.fileno()
    found = os.fstat(descriptor)
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev:
        raise OSError(f"stderr is {os.devnull}")
    for line in lines:
        if os.write(descriptor, line.encode()) < len(line):
            raise OSError("the log took a part of the line")


def lines_of(log: IO[bytes]) -> Iterator[str]:
    """The lines of a log, which may be gzipped. Raises OSError, EOFError or zlib.error.

    Only the ASCII of a record matters, so UTF-16 without its NULs can be read too.
    """
    with io.BufferedReader(cast(io.RawIOBase, log)) as stream:
        packed = stream.peek(2).startswith(b"\x1f\x8b")
        for line in gzip.GzipFile(fileobj=stream) if packed else stream:
            yield line.replace(b"\0", b"").decode("latin-1")


def read_log(lines: Iterable[str], tokens: Iterable[str]) -> Iterator[Callback | NotReadable]:
    """The callbacks in the lines of a log, and a NotReadable for each that cannot be read.

    A missing part shows only at the end: lines can be doubled and out of order.
    """
    reader = _Reader(tuple(tokens))
    for number, line in enumerate(lines, 1):
        yield from reader.read(number, line)
    yield from reader.rest()


@dataclass
class _Parts:
    """What was found of one callback so far."""

    line: int
    total: int
    trouble: str = ""
    found: dict[int, bytes] = field(default_factory=dict)

    def note(self, number: int, trouble: str) -> None:
        self.line, self.trouble = number, trouble

    def what_is_wrong(self) -> str:
        """Its trouble, and which parts are missing where others were found."""
        if not self.found:
            return self.trouble
        lacking = [str(n) for n in range(1, self.total + 1) if n not in self.found]
        lacks = f"lacks part {', '.join(lacking[:9])} of {self.total}"
        return f"{self.trouble} and {lacks}" if self.trouble else lacks


class _Reader:
    """Puts the parts together again."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._parts: dict[str, _Parts] = {}
        self._whole: set[str] = set()

    def read(self, number: int, line: str) -> Iterator[Callback | NotReadable]:
        marks = list(re.finditer(MARK, line))
        if not marks and _HINTED.search(line):  # all behind it is cut off
            yield _not_readable(number, _CUT)
        for mark in marks:
            at = mark.end()
            if part := _PART.match(line, at):
                yield from self._read_part(number, part)
            elif earlier := _EARLIER.match(line, at):
                yield self._read_earlier(number, earlier)
            elif head := _PART_HEAD.match(line, at):
                self._parts_of(number, head[1], head[3]).note(number, _CUT)
            elif _is_record(line[: mark.start()], line[at:]):
                yield _not_readable(number, _CUT)

    def rest(self) -> Iterator[NotReadable]:
        """What lacks a part now that all was read. A torn copy of a whole one is no loss."""
        for name, parts in self._parts.items():
            if name not in self._whole:
                yield _not_readable(parts.line, parts.what_is_wrong())

    def _read_part(self, number: int, part: re.Match[str]) -> Iterator[Callback | NotReadable]:
        signed, name, index, total, content, mac = part.groups()
        parts = self._parts_of(number, name, total)
        macs = [_encode(_mac(signed, token)) for token in self._tokens]
        if not any(hmac.compare_digest(mac, own) for own in macs):
            parts.note(number, _ALIEN)
            return
        parts.total = int(total)
        parts.found[int(index)] = _decode(content)
        if len(parts.found) == parts.total:
            del self._parts[name]
            self._whole.add(name)
            whole = b"".join([parts.found[n] for n in sorted(parts.found)])
            yield _callback(number, zlib.decompress(whole))

    def _parts_of(self, number: int, name: str, total: str) -> _Parts:
        return self._parts.setdefault(name, _Parts(number, int(total[:9])))

    def _read_earlier(self, number: int, record: re.Match[str]) -> Callback | NotReadable:
        padded = record[1] + "=" * (-len(record[1]) % 4)
        macs = [_mac(padded, token).hex() for token in self._tokens]
        if not any(hmac.compare_digest(record[2], own) for own in macs):
            return _not_readable(number, _ALIEN)
        return _callback(number, _decode(record[1]))


def _is_record(before: str, after: str) -> bool:
    """Does the mark in a line begin a record, of which not enough is left, or is it in prose?"""
    found = _WORD.match(after)
    word = found[1] if found else ""
    if _HINTED.search(before) or len(word) > 30 or word.startswith(("2.", "eyJ")):
        return True
    return not after.strip()


def _callback(number: int, content: bytes) -> Callback | NotReadable:
    try:
        return callback_of(json.loads(content))
    except ValueError as error:
        return _not_readable(number, f"is of another version ({error})")


def _not_readable(number: int, why: str) -> NotReadable:
    return NotReadable(f"line {number}: a record {why} and cannot be applied")


def _id(content: bytes) -> str:
    return _encode(blake2b(content, digest_size=8).digest())


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _mac(record: str, token: str) -> bytes:
    return hmac.digest(token.encode(), f"{MARK} {record}".encode(), "sha256")
