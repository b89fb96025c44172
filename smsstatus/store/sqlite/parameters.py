"""An event's parameters as the file keeps them: packed; as text in a file made before version 4."""

from __future__ import annotations

import sqlite3

from ...model import StatusUpdate
from ..contract import Unreadable
from ..packing import pack, unpack


def kept(connection: sqlite3.Connection, update: StatusUpdate) -> bytes | str:
    """An update's parameters in the form that this connection's file takes."""
    if not getattr(connection, "packs_parameters", False):
        return update.parameters
    return pack(
        update.parameters,
        update.message_uuid,
        update.status,
        update.status_timestamp,
        update.error_code,
        update.sequence,
    )


def nothing(connection: sqlite3.Connection) -> bytes | str:
    """What stands for no parameters in this connection's file."""
    return b"" if getattr(connection, "packs_parameters", False) else ""


def read(event: sqlite3.Row, message_uuid: str) -> str:
    """The parameters of an event, as received. Raises Unreadable if they are damaged."""
    found: bytes | str = event["parameters"]
    if isinstance(found, str):
        return found
    columns = [event[name] for name in ("status", "status_timestamp", "error_code", "sequence")]
    try:
        return unpack(found, message_uuid, *columns)
    except ValueError as error:
        raise Unreadable(f"an event cannot be read: {error}") from None
