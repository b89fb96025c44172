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

_SO_ATTACH_FILTER = _SO_GET_FILTER = 26  # asm-generic/socket.h
_SO_DETACH_FILTER = 27
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


def keep_out_new_connections(listener: Any) -> bool:
    """Have the kernel ignore SYNs to this socket, while handshakes under way still finish.

    The client tries again a second later, and is then refused because nobody listens. Without this,
    a connection made between the last accept and the close would be reset with its request.
    https://docs.kernel.org/networking/filter.html; on other systems than Linux that gap stays, and
    this is False.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    program = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
    except OSError:
        return False
    return True


def let_in_new_connections(listener: Any) -> None:
    """Undo `keep_out_new_connections`, which holds for all processes that have the socket.

    Who listens says this again and again: the one that kept them out may be of another master,
    which handed the socket on (SIGUSR2), or of one that ran before and was lent it.
    """
    with contextlib.suppress(OSError):  # nobody kept any out
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _are_kept_out(listener: Any) -> bool:
    """Still, or has somebody who listens let them in?"""
    return bool(listener.getsockopt(socket.SOL_SOCKET, _SO_GET_FILTER, 1024))


def close(
    listener: Any, parent: int, accept: Callable[[Any], bool], *, is_lent: bool = False
) -> None:
    """Accept what waits, then close; what would come between the two is kept out.

    No more is accepted once `accept` says False.
    Not if the parent keeps it open: then this is a reload, and a new worker accepts them. Nor if it
    is lent by who starts the service for those that wait there; nor once another process turns out
    to listen to it as well.
    """
    held = is_lent or is_held_by(parent, listener)
    keeps_out = held is False and keep_out_new_connections(listener)
    while not held and is_waiting(listener):
        if (keeps_out and not _are_kept_out(listener)) or not accept(listener):
            break
    listener.close()
