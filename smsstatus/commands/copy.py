"""`copy`: move all that one database keeps into another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import click

from ..model import utc_now
from ..notation import visible
from ..settings.database_url import Database, read_database_url
from ..store.contract import StoreError, Unreadable, WorkRefused
from ..store.moving import Kept, Mover
from ..store.opening import open_mover
from .terminal import json_option, progress, report

BATCH = 200
"""Messages, nonces or keys in a transaction: callbacks that come meanwhile wait for one at most."""

READS = 5

NAMED = 10
"""Of the messages that are left out, and of those damaged in the target."""


class DatabaseUrl(click.ParamType[Database]):
    """What DATABASE_URL may be. What is wrong is said without repeating it."""

    name = "url"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Database:
        if isinstance(value, Database):
            return value
        try:
            return read_database_url(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("copy")
@click.option("--from", "source", type=DatabaseUrl(), required=True, help="sqlite:///old.db")
@click.option("--to", "target", type=DatabaseUrl(), required=True, help="postgres://...")
@json_option
def command(source: Database, target: Database, as_json: bool) -> None:
    """Copy everything from one database into another, while callbacks come in at either.

    Ended early, it goes on where it was when it is run again. At the end each message is compared
    in both, and what has changed meanwhile is copied again; exits with 1 if something differs, or
    if messages are left out because their events are missing or damaged in either, or because the
    target cannot hold them.
    """
    if (source.path, source.url) == (target.path, target.url):
        raise click.UsageError("--from and --to name the same database")
    if source.path is not None and not source.path.exists():
        raise click.UsageError(f"--from: there is no {source.name}")
    reader, writer = open_mover(source, may_create=False), open_mover(target, may_create=True)
    with closing(reader.store), closing(writer.store):
        try:
            for mover in (reader, writer):
                mover.store.prepare()
                while mover.store.correct_some(utc_now()):  # else that would differ
                    pass
            _copy(reader, writer)
            found = _compare(reader, writer)
        except StoreError as error:
            raise click.ClickException(f"stopped, run it again to go on: {error}") from None
    report(as_json, found.sentence(), **found.facts())
    if not found.is_good:
        raise SystemExit(1)


@dataclass
class Comparison:
    """Of all messages of the source. `ahead` are those of which the target knows more by now.

    Not among them are those `left_out`, since what the source has of them cannot be copied, those
    `refused`, which the target cannot hold, by what it says of each, and those `damaged` in the
    target, where writing them again changes nothing. `totals`: messages and
    events that the source holds in the end, and those of the target.
    """

    messages: int = 0
    events: int = 0
    ahead: int = 0
    different: int = 0
    left_out: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    totals: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    digests: tuple[blake2b, blake2b] = field(
        default_factory=lambda: (blake2b(digest_size=16), blake2b(digest_size=16))
    )

    @property
    def is_good(self) -> bool:
        return not (self.left_out or self.refused or self.damaged) and self._is_alike

    @property
    def _is_alike(self) -> bool:
        return not self.different and self.digests[0].digest() == self.digests[1].digest()

    def add(self, ours: Kept, theirs: Kept | None) -> None:
        self.messages += 1
        self.events += len(ours.updates)
        if theirs is not None and ours != theirs and ours.is_part_of(theirs):
            self.ahead += 1
            return
        self.different += ours != theirs
        for digest, kept in zip(self.digests, (ours, theirs), strict=True):
            digest.update(repr(kept).encode())

    def sentence(self) -> str:
        what = f"{self.messages} messages, {self.events} events"
        if self.ahead:
            what += f", of {self.ahead} messages the target knows more by now"
        if self._is_alike:
            what += f": the same in both, digest {self.digests[0].hexdigest()}."
        else:
            what += f": {self.different} differ. Do callbacks come? Then run it again."
        if self.left_out:
            what += f" Left out, as their events are missing or damaged: {_named(self.left_out)}"
        if self.refused:
            why = visible(next(iter(self.refused.values())))
            what += f" Left out, as the target refuses them ({why}): {_named([*self.refused])}"
        if self.damaged:
            what += f" Damaged in the target, where only you can fix them: {_named(self.damaged)}"
        source, target = [f"{total[0]} messages, {total[1]} events" for total in self.totals]
        if source != target:
            what += f" The source holds {source}, the target {target}."
        return what

    def facts(self) -> dict[str, object]:
        names = ("messages", "events", "ahead", "different")
        counts = {name: getattr(self, name) for name in names}
        for side, (messages, events) in zip(("source", "target"), self.totals, strict=True):
            counts |= {f"{side}_messages": messages, f"{side}_events": events}
        left_out = len(self.left_out) + len(self.refused)
        counts |= {"left_out": left_out, "damaged_in_target": len(self.damaged)}
        return {**counts, "same": self.is_good, "digest": self.digests[0].hexdigest()}


def _named(messages: Sequence[str]) -> str:
    names = ", ".join(map(visible, messages[:NAMED]))
    more = len(messages) - NAMED
    return f"{names} and {more} more." if more > 0 else f"{names}."


def _copy(reader: Mover, writer: Mover) -> None:
    marks = reader.marks("", "", BATCH)
    nonce = key = ""
    while marks.nonces or marks.keys:
        writer.restore_marks(replace(marks, pruned_before=None))  # else it keeps messages out
        nonce = marks.nonces[-1][0] if marks.nonces else nonce
        key = marks.keys[-1][0] if marks.keys else key
        marks = reader.marks(nonce, key, BATCH)

    def copy(uuids: Sequence[str]) -> None:
        _restore(writer, [*_by_uuid(reader, uuids).values()])

    _each_batch("copying", reader, _first_missing(reader, writer), copy)
    writer.restore_marks(marks)


def _restore(writer: Mover, kept: Sequence[Kept]) -> dict[str, str]:
    """Write these, without those that the target cannot hold: what it says of each."""
    try:
        writer.restore(kept)
    except WorkRefused as error:
        if len(kept) == 1:
            return {kept[0].message_uuid: str(error)}
        middle = len(kept) // 2
        return _restore(writer, kept[:middle]) | _restore(writer, kept[middle:])
    return {}


def _first_missing(reader: Mover, writer: Mover) -> int:
    """The id after which to go on: copied in the order of ids, what is there is the beginning."""
    known, unknown = 0, reader.last() + 1
    while unknown - known > 1:
        middle = (known + unknown) // 2
        found = reader.uuids(middle - 1, 1)
        if found and _holds(writer, found[0][1]):
            known = max(middle, min(found[0][0], unknown - 1))
        else:
            unknown = middle
    return max(known - BATCH, 0)


def _compare(reader: Mover, writer: Mover) -> Comparison:
    found = Comparison()

    def compare(uuids: Sequence[str]) -> None:
        ours, theirs = _by_uuid(reader, uuids), _by_uuid(writer, uuids)
        changed = [each for each in ours.values() if each != theirs.get(each.message_uuid)]
        if changed:
            found.refused |= _restore(writer, changed)
            again = [each.message_uuid for each in changed]
            ours = _by_uuid(reader, uuids)
            theirs |= _by_uuid(writer, again)
        for message_uuid in uuids:
            if message_uuid in found.refused:
                continue
            if message_uuid in ours:
                if message_uuid not in theirs and _holds(writer, message_uuid):
                    found.damaged.append(message_uuid)
                    continue
                found.add(ours[message_uuid], theirs.get(message_uuid))
            elif _holds(reader, message_uuid):  # else it was removed meanwhile
                found.left_out.append(message_uuid)

    _each_batch("comparing", reader, 0, compare)
    found.totals = reader.totals(), writer.totals()
    return found


def _holds(mover: Mover, message_uuid: str) -> bool:
    try:
        return mover.store.find(message_uuid) is not None
    except Unreadable:
        return True


def _by_uuid(mover: Mover, uuids: Sequence[str]) -> dict[str, Kept]:
    """Those that can be read. One that changes while it is read is read again, a few times."""
    found: dict[str, Kept] = {}
    for _ in range(READS):
        left = [message_uuid for message_uuid in uuids if message_uuid not in found]
        if not left:
            break
        found |= {kept.message_uuid: kept for kept in mover.kept(left)}
    return found


def _each_batch(label: str, reader: Mover, after: int, do: Callable[[Sequence[str]], None]) -> None:
    """All messages from there on, also those that come meanwhile."""
    with progress(label, max(reader.last() - after, 0)) as advance:
        for last, uuids in _batches(reader, after):
            do(uuids)
            advance(last - after)
            after = last


def _batches(reader: Mover, after: int) -> Iterator[tuple[int, list[str]]]:
    while rows := reader.uuids(after, BATCH):
        after = rows[-1][0]
        yield after, [message_uuid for _, message_uuid in rows]
