"""Clients that hold a service up: some stand and say nothing, others come and stop half way.

`python -m bench.crowd PORT STANDING A_SECOND` is a process of its own, so that it does not hold up
the client that is measured.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator

from bench.cores import pin_to_load_core
from bench.paths import REPOSITORY

_HALF_A_HEAD = b"POST /plivo/status HTTP/1.1\r\nHost: sms.example.com\r\nX-Plivo-Sig"
_STAY_SECONDS = 30


@contextlib.contextmanager
def crowd(port: int, standing: int, a_second: int) -> Iterator[None]:
    """All that stand are there when this begins."""
    command = [sys.executable, "-m", "bench.crowd", str(port), str(standing), str(a_second)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def _connect(port: int) -> socket.socket | None:
    """None if nobody accepts: then the service is held up already."""
    client = socket.socket()
    client.settimeout(1.0)
    try:
        client.connect(("127.0.0.1", port))
    except OSError:
        client.close()
        return None
    return client


def _come(port: int, standing: int, a_second: int) -> None:
    """Until the process is killed."""
    stands = [_connect(port) for _ in range(standing)]
    print(len(stands), flush=True)
    coming: deque[socket.socket | None] = deque()
    due = time.perf_counter()
    while True:
        due += 1 / a_second
        time.sleep(max(due - time.perf_counter(), 0))
        client = _connect(port)
        if client is not None:
            with contextlib.suppress(OSError):
                client.sendall(_HALF_A_HEAD)
        coming.append(client)
        if len(coming) > _STAY_SECONDS * a_second and (oldest := coming.popleft()):
            oldest.close()


if __name__ == "__main__":
    pin_to_load_core()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _come(*map(int, sys.argv[1:]))
