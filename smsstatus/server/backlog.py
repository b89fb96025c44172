"""A listener's accept backlog: connections, with requests in them, that nobody has accepted yet."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

HANDSHAKE_SECONDS = 0.05
MASTER_SECONDS = 0.5

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that holds the flags
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


def is_waiting(listener: Any) -> bool:
    """Does a connection wait, or arrive within the time that a handshake takes?"""
    poll = select.poll()  # select() refuses descriptors from 1,024 on
    poll.register(listener.fileno(), select.POLLIN)
    return bool(poll.poll(HANDSHAKE_SECONDS * 1000))


def is_held_by(pid: int, listener: Any) -> bool | None:
    """Does the process have this socket open, and not close it soon? None: unknown.

    Whoever stops a service often signals its master and its workers at once, so the master gets
    some time to close it.
    """
    name = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
    deadline = time.monotonic() + MASTER_SECONDS
    try:
        while True:
            with os.scandir(f"/proc/{pid}/fd") as links:
                if not any(_target(link) == name for link in links):
                    return False
            if time.monotonic() > deadline:
                return True
            time.sleep(0.01)
    except FileNotFoundError:  # the process is gone, or this is not Linux
        return False if os.path.exists("/proc/self/fd") else None
    except OSError:
        return None


def _target(link: os.DirEntry[str]) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed since
        return ""


def keep_out_new_connections(listener: Any) -> None:
    """Have the kernel ignore SYNs to this socket, while handshakes under way still finish.

    The client tries again a second later, and is then refused because nobody listens. Without this,
    a connection made between the last accept and the close would be reset with its request.
    https://docs.kernel.org/networking/filter.html; on other systems than Linux that gap stays.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    program = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def close(listener: Any, parent: int, accept: Callable[[Any], bool]) -> None:
    """Accept what waits, then close; what would come between the two is kept out.

    No more is accepted once `accept` says False.
    Not if the parent keeps it open: then this is a reload, and a new worker accepts them.
    """
    held = is_held_by(parent, listener)
    if held is False:
        keep_out_new_connections(listener)
    if not held:
        while is_waiting(listener) and accept(listener):
            pass
    listener.close()
