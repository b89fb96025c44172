"""What the project's gunicorn worker does with connections: no client holds up another one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from smsstatus.locking import FileLock
from smsstatus.server.tuning import COLLECTED, TURN_SECONDS

from ..faults.raw import chunked, connect, head, read_reply, wire
from ..faults.test_nothing_left import unread_log
from ..faults.tracing import held, worker_pid
from ..faults.workers import (
    Crowded,
    Impatient,
    Mistaken,
    Narrow,
    NarrowAndLenient,
    Patient,
    Short,
    Slow,
    Telling,
    Uncollected,
    Wakeful,
    serve_with,
)
from ..live import API_TOKEN, LiveService, live_service, wait_until
from ..plivo_api import AUTH_ID, Asked, Reply, plivo_api

THREADS = 8
LAST = head("GET /nowhere HTTP/1.1", {"Connection": "close"})
FEW = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(tmp_path_factory.mktemp("worker")) as running:
        yield running


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def unread(port: int) -> socket.socket:
    """A client whose kernel takes little that it does not read."""
    client = socket.socket()
    client.settimeout(60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.connect(("127.0.0.1", port))
    return client


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def worker_of(service: LiveService) -> str:
    """The process id of its worker."""
    assert service.process is not None
    master = service.process.pid
    return Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]


def sockets_of(service: LiveService) -> int:
    """How many its worker has open: one of them listens."""
    number = 0
    for link in Path(f"/proc/{worker_of(service)}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            number += os.readlink(link).startswith("socket:")
    return number


def kibibytes_of(service: LiveService) -> int:
    """The memory that its worker takes."""
    status = Path(f"/proc/{worker_of(service)}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def callback(service: LiveService) -> bytes:
    return wire(service.plivo.post(service.plivo.fields("sent")))


def statuses_from(client: socket.socket) -> list[int]:
    """Of all answers until the service closes."""
    answers = b""
    while received := client.recv(65_536):
        answers += received
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def test_a_kept_connection_is_served_again_and_again(service: LiveService) -> None:
    with connect(service.port) as client:
        for path in [None, "/healthz", None, None, "/metrics", "/healthz", None]:
            client.sendall(get(path) if path else callback(service))
            assert read_reply(client)[0::2] == (200, False)


def test_a_request_is_served_whatever_pieces_it_comes_in(service: LiveService) -> None:
    request = callback(service)
    with connect(service.port) as client:
        for cut in (1, 10, request.index(b"\r\n\r\n") + 2, len(request) - 1):
            client.sendall(request[:cut])
            assert service.get("/healthz")[0] == 200  # by then the first piece has been read
            client.sendall(request[cut:])
            assert read_reply(client).status == 200


@pytest.mark.parametrize(
    "unread",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["with a length", "in chunks"],
)
def test_a_body_that_nobody_read_is_not_taken_for_the_next_request(
    service: LiveService, unread: bytes
) -> None:
    with connect(service.port) as client:
        for _ in range(3):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + unread)
            assert read_reply(client).status == 200
            client.sendall(callback(service))
            assert read_reply(client).status == 200


def test_callbacks_that_the_store_does_not_take_wait_for_the_spool_together_not_for_a_thread(
    tmp_path: Path,
) -> None:
    with live_service(tmp_path, **serve_with(Crowded)) as service, ExitStack() as stack:
        clients = [stack.enter_context(connect(service.port)) for _ in range(Crowded.crowd)]
        for client in clients:
            client.sendall(callback(service))
        assert {read_reply(client).status for client in clients} == {200}
        assert "too few have come" not in service.log.read_text()


def test_a_worker_that_is_replaced_while_the_spool_takes_no_files_does_not_end_the_service(
    tmp_path: Path,
) -> None:
    with live_service(tmp_path) as service:
        shutil.rmtree(service.spool)
        service.spool.write_text("in the way")
        os.kill(int(worker_of(service)), signal.SIGKILL)
        with connect(service.port) as client:  # the next one takes it
            client.sendall(callback(service))
            assert read_reply(client).status == 200
        assert f"SPOOL_DIR {service.spool} takes no files" in service.log.read_text()


def test_more_kept_connections_than_threads_are_all_served(service: LiveService) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(service.port)) for _ in range(3 * THREADS)]
        for _ in range(3):
            for client in clients:
                client.sendall(callback(service))
            assert [read_reply(client).status for client in clients] == [200] * len(clients)


def test_callbacks_that_came_together_share_a_commit(tmp_path: Path) -> None:
    with live_service(tmp_path, **serve_with(Slow)) as service, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(service.port)) for _ in range(9)]
        for client in clients:
            client.sendall(get("/healthz"))
            read_reply(client)
        with held(int(worker_of(service))):
            for client in clients:
                client.sendall(callback(service))
        assert [read_reply(client).status for client in clients] == [200] * 9
        sizes = dict(re.findall(r"_batch_size_(\S+) (\d+)", service.get("/metrics")[1].decode()))
    assert int(sizes["count"]) - int(sizes['bucket{le="4"}']) == 1


def test_a_client_may_send_the_next_one_while_its_callback_waits_for_others(tmp_path: Path) -> None:
    with live_service(tmp_path, **serve_with(Slow)) as service, connect(service.port) as client:
        client.sendall(callback(service))
        wait_until(lambda: _queues(service.port) == [0], what="it is read")
        client.sendall(callback(service) + LAST)
        assert statuses_from(client) == [200, 200, 404]


def test_a_callback_does_not_wait_for_others_without_end(tmp_path: Path) -> None:
    """Nor is one that cannot be stored answered twice, if the loop is woken by something else."""
    odd = {"MessageUUID": ""}
    with live_service(tmp_path, **serve_with(Wakeful)) as service:
        with connect(service.port) as client:
            for fields in (service.plivo.fields("sent"), service.plivo.fields("sent") | odd):
                client.sendall(wire(service.plivo.post(fields)))
            client.sendall(LAST)
            assert statuses_from(client) == [200, 200, 404]
        assert service.stop() == 0
        assert "mistake" not in service.log.read_text()


def test_requests_that_came_together_are_answered_in_turn(service: LiveService) -> None:
    """More than Python could call functions within one another for."""
    with connect(service.port) as client:
        client.sendall((get("/healthz") + callback(service) + get("/nowhere")) * 400 + LAST)
        assert statuses_from(client) == [200, 200, 404] * 400 + [404]


def test_who_sends_no_more_is_answered_what_was_sent(service: LiveService) -> None:
    with connect(service.port) as client:
        client.sendall(callback(service) * 3)
        client.shutdown(socket.SHUT_WR)
        answers = b""
        while received := client.recv(65_536):
            answers += received
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_client_that_is_gone_before_100_continue_is_not_worth_a_line_in_the_log(
    service: LiveService,
) -> None:
    for _ in range(FEW):
        client = connect(service.port)
        headers = {"Expect": "100-continue", "Content-Length": "5"}
        client.sendall(head("POST /plivo/status HTTP/1.1", headers))
        reset(client)
    wait_until(lambda: not _queues(service.port), what="all are gone")
    assert "Traceback" not in service.log.read_text()


def test_a_client_that_is_gone_before_it_took_its_refusal_is_let_go(tmp_path: Path) -> None:
    """One of them is refused with what the kernel's buffer takes only a part of."""
    bad = head("POST /plivo/status HTTP/1.1", {"Transfer-Encoding": "chunked"}) + b"no\r\n\r\n"
    with live_service(tmp_path, **serve_with(Narrow)) as service:
        for answers in range(10):
            client = unread(service.port)
            client.sendall(get("/x/plivo/status") * answers + bad)
            for _ in range(5):
                assert service.get("/healthz")[0] == 200  # by then it has what it takes
            reset(client)
        wait_until(lambda: sockets_of(service) == 1, what="only the listener is open")


def test_an_idle_client_does_not_keep_the_memory_of_its_last_request(service: LiveService) -> None:
    size, clients = 65_536, 200
    request = head("POST /healthz HTTP/1.1", {"Content-Length": str(size)}) + bytes(size)
    with contextlib.ExitStack() as stack:
        before = kibibytes_of(service)
        for _ in range(clients):
            client = stack.enter_context(connect(service.port))
            client.sendall(request)
            assert read_reply(client)[0::2] == (405, False)
        assert (kibibytes_of(service) - before) * 1024 < size * clients / 2


def test_a_connection_that_ends_keeps_nothing_of_its_request(tmp_path: Path) -> None:
    """However it ends, and though Python does not look for what refers to each other."""
    post = "POST /plivo/status HTTP/1.1"
    begun = head(post, {"Content-Length": "100"}) + b"a=b"
    in_chunks = head(post, {"Transfer-Encoding": "chunked"})
    not_whole = [begun[:20], begun, in_chunks, in_chunks + b"3\r\nabc"]
    refused = [in_chunks + b"no\r\n\r\n", in_chunks + b"3\r\nabcd\r\n\r\n0\r\n\r\n"]
    answered = [
        head(line, {"Connection": "close", "Content-Length": "3", **headers}) + b"a=b"
        for line, headers in [
            (post, {}),
            (post, {"Content-Length": "65537"}),
            ("PUT /plivo/status HTTP/1.1", {}),
            ("POST /healthz HTTP/1.1", {}),
            ("POST /nowhere HTTP/1.1", {}),
            ("POST /ui/nowhere HTTP/1.1", {}),
            ("POST /messages HTTP/1.1", {}),
            ("GET /messages?limit=x HTTP/1.1", {"Authorization": f"Bearer {API_TOKEN}"}),
            ("GET /ui/send HTTP/1.1", {}),
            ("GET /ui/static/nowhere HTTP/1.1", {}),
            ("GET /healthz HTTP/1.1", {"X Y": "z"}),
        ]
    ]
    with live_service(tmp_path, **serve_with(Uncollected)) as service:
        for sent in [*not_whole, get("/healthz") + begun]:
            client = connect(service.port)
            client.sendall(sent)
            assert service.get("/healthz")[0] == 200  # by then it has been read
            reset(client)
        for sent in [*not_whole, *refused, *answered, in_chunks + chunked(b"a=b") + LAST]:
            with connect(service.port) as client:
                client.sendall(sent)
                while client.recv(65_536):
                    pass
        with connect(service.port) as client:
            client.sendall(begun)
            client.shutdown(socket.SHUT_WR)
            assert read_reply(client).status == 400
        assert service.stop() == 0
        assert re.findall(r"kept (\d+) requests", service.log.read_text()) == ["0"]


def test_the_head_of_a_request_may_have_64_kib(service: LiveService) -> None:
    lines = {f"X-{n}": "x" * 8000 for n in range(9)}
    for lines_sent, status in ((7, 200), (9, 431)):
        with connect(service.port) as client:
            client.sendall(head("GET /healthz HTTP/1.1", dict([*lines.items()][:lines_sent])))
            assert read_reply(client).status == status


def test_a_body_in_more_chunks_than_any_client_makes_is_refused(service: LiveService) -> None:
    begin = head("POST /plivo/status HTTP/1.1", {"Transfer-Encoding": "chunked"})
    with connect(service.port) as client:
        client.sendall(begin + b"1\r\nx\r\n" * 1500)
        assert read_reply(client).status == 431


def test_what_follows_a_body_in_chunks_is_not_taken_for_more_of_them(service: LiveService) -> None:
    begin = head("POST /plivo/status HTTP/1.1", {"Transfer-Encoding": "chunked"})
    with connect(service.port) as client:
        client.sendall(begin + chunked(b"a=b") + get("/healthz") * 1500)
        for status in [403] + [200] * 1500:
            assert client.recv(9, socket.MSG_WAITALL) == b"HTTP/1.1 "
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += client.recv(1)
            length = int(answer.lower().partition(b"content-length: ")[2].split()[0])
            client.recv(length, socket.MSG_WAITALL)
            assert int(answer[:3]) == status


def test_a_body_in_chunks_that_is_too_long_is_413_however_slowly_it_comes(
    service: LiveService,
) -> None:
    with connect(service.port) as client:
        client.sendall(head("POST /plivo/status HTTP/1.1", {"Transfer-Encoding": "chunked"}))
        for _ in range(17):
            client.sendall(b"1000\r\n" + b"a" * 0x1000 + b"\r\n")
            assert service.get("/healthz")[0] == 200  # by then it has been read
        assert read_reply(client)[0::2] == (413, True)


@pytest.mark.parametrize(
    "chunks",
    [b"3\r\nabcd\r\n", b"-3\r\n", b"+3\r\nabc\r\n0\r\n\r\n", b"1_0\r\n" + b"a" * 16, b"\r\n"],
)
def test_chunks_that_can_be_read_in_two_ways_are_refused(
    service: LiveService, chunks: bytes
) -> None:
    with connect(service.port) as client:
        begin = head("POST /plivo/status HTTP/1.1", {"Transfer-Encoding": "chunked"})
        client.sendall(begin + chunks + b"\r\n0\r\n\r\n")
        assert read_reply(client)[0::2] == (400, True)


def test_a_kept_connection_may_be_silent_for_longer_than_a_request_may_take(
    tmp_path: Path,
) -> None:
    with (
        live_service(tmp_path, **serve_with(Impatient)) as service,
        contextlib.ExitStack() as stack,
    ):
        kept = stack.enter_context(connect(service.port))
        slow = stack.enter_context(connect(service.port))
        kept.sendall(callback(service))
        assert read_reply(kept)[0::2] == (200, False)
        slow.sendall(b"GET /hea")
        assert slow.recv(1) == b"", "it is given up"
        kept.sendall(callback(service))
        assert read_reply(kept)[0::2] == (200, False)


@pytest.mark.parametrize("is_locked", [False, True], ids=["stored", "spooled"])
def test_callbacks_are_answered_while_every_thread_waits_for_plivo(
    tmp_path: Path, is_locked: bool
) -> None:
    """Also those that have to be spooled, which a thread does, and more sends wait for a thread."""
    released, asked = threading.Event(), threading.Semaphore(0)

    def hang(_: Asked) -> Reply:
        asked.release()
        return Reply(202, {"message_uuid": [str(uuid.uuid4())]}, wait=released)

    body = b"to=%2B14155550123&text=Hello&from=%2B14155550100"
    sending = head(
        "POST /messages HTTP/1.1",
        {
            "Host": "x",
            "Authorization": f"Bearer {API_TOKEN}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
        },
    )
    with plivo_api() as standin, contextlib.ExitStack() as stack:
        standin.reply = hang
        more = {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_API_URL": standin.url, **serve_with(Patient)}
        service = stack.enter_context(live_service(tmp_path, **more))
        senders = [stack.enter_context(connect(service.port)) for _ in range(2 * THREADS)]
        stack.callback(released.set)
        for sender in senders:
            sender.sendall(sending + body)
        for _ in range(THREADS):
            assert asked.acquire(timeout=60)
        with contextlib.ExitStack() as lock, connect(service.port) as client:
            if is_locked:
                lock.enter_context(FileLock(Path(f"{service.database}.lock")).hold(60))
            client.sendall(callback(service))
            assert read_reply(client).status == 200
        assert not asked.acquire(blocking=False)  # none of those that waited was begun
        released.set()
        assert {read_reply(sender).status for sender in senders} == {202}


def test_clients_that_take_no_answer_hold_no_thread(tmp_path: Path) -> None:
    """They would hold one each until they are given up, so none is."""
    with (
        live_service(tmp_path, **serve_with(NarrowAndLenient)) as service,
        contextlib.ExitStack() as stack,
    ):
        assert len(service.get("/openapi.json")[1]) > 16_384, "the kernel's buffers would take it"
        for _ in range(THREADS):
            client = stack.enter_context(unread(service.port))
            client.sendall(get("/openapi.json"))
        assert service.get("/healthz")[0] == 200


@pytest.mark.parametrize("more", ["", " --access-logfile=-"], ids=["plain", "access log"])
def test_a_log_that_nobody_reads_does_not_stop_the_loop(tmp_path: Path, more: str) -> None:
    service = LiveService(
        tmp_path, GUNICORN_CMD_ARGS=serve_with(Narrow)["GUNICORN_CMD_ARGS"] + more
    )
    with unread_log(service), unread(service.port) as client:
        client.sendall(get("/openapi.json"))
        wait_until(lambda: sockets_of(service) == 2, what="it has been accepted")
        wait_until(lambda: sockets_of(service) == 1, what="it has been given up")
        with connect(service.port) as client:
            for _ in range(2):
                client.sendall(callback(service))
                assert read_reply(client).status == 200


def test_a_log_that_nobody_reads_does_not_stop_the_master(tmp_path: Path) -> None:
    """It goes on to start workers, also after a reload, which gives it another log, and to end."""
    service = LiveService(tmp_path)
    with unread_log(service):
        assert service.process is not None
        for sent in (signal.SIGKILL, signal.SIGHUP, signal.SIGKILL):
            before = worker_pid(service)
            os.kill(before if sent == signal.SIGKILL else service.process.pid, sent)
            wait_until(partial(_is_replaced, before, service), what="a new worker is alone")
            assert service.answers()
        assert service.stop() == 0


def _is_replaced(worker: int, service: LiveService) -> bool:
    """Is another one the only one?"""
    assert service.process is not None
    master = service.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return len(workers) == 1 and workers != [str(worker)]


def test_no_number_of_requests_ends_a_worker_which_would_leave_nobody_to_accept(
    tmp_path: Path,
) -> None:
    limit = {"GUNICORN_CMD_ARGS": "--max-requests 2"}
    with live_service(tmp_path, **limit) as service, connect(service.port) as client:
        for _ in range(3):
            client.sendall(callback(service))
            assert read_reply(client)[0::2] == (200, False)
        assert service.log.read_text().count("--max-requests is not used") == 1


def test_over_the_limit_of_connections_the_one_that_is_idle_for_longest_goes(
    tmp_path: Path,
) -> None:
    limit = {"GUNICORN_CMD_ARGS": f"--worker-connections {FEW}"}
    with live_service(tmp_path, **limit) as service, contextlib.ExitStack() as stack:
        wait_until(lambda: not _queues(service.port), what="who asked whether it answers is gone")
        idle = [stack.enter_context(connect(service.port)) for _ in range(FEW)]
        for client in idle:
            client.sendall(callback(service))
            assert read_reply(client).status == 200
        with connect(service.port) as client:
            client.sendall(callback(service))
            assert read_reply(client).status == 200
        assert idle[0].recv(1) == b""
        idle[-1].sendall(callback(service))
        assert read_reply(idle[-1]).status == 200


def test_over_the_limit_a_client_with_requests_still_to_be_served_can_be_the_one_that_goes(
    tmp_path: Path,
) -> None:
    limit = {"GUNICORN_CMD_ARGS": "--worker-connections 1"}
    with live_service(tmp_path, **limit) as service:
        wait_until(lambda: not _queues(service.port), what="who asked whether it answers is gone")
        with connect(service.port) as many:
            many.sendall(get("/x/plivo/status") * 1500)
            many.recv(1)
            with connect(service.port) as client:
                client.sendall(callback(service))
                assert read_reply(client).status == 200
        assert "Traceback" not in service.log.read_text()


def test_more_idle_clients_than_files_may_be_open_leave_room_for_callbacks(
    tmp_path: Path,
) -> None:
    service = LiveService(tmp_path)
    limited = "import os, resource as r, sys; r.setrlimit(r.RLIMIT_NOFILE, (200, 200)); "
    service.command = [
        *(sys.executable, "-c", limited + "os.execv(sys.argv[1], sys.argv[1:])"),
        *(*service.gunicorn, service.application),
    ]
    with contextlib.ExitStack() as stack:
        stack.callback(service.kill)
        service.start()
        for _ in range(300):
            stack.enter_context(connect(service.port))
        with connect(service.port) as client:
            client.sendall(callback(service))
            assert read_reply(client).status == 200
        log = service.log.read_text()
    assert "Too many open files" not in log
    assert log.count("Booting worker") == 1


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_what_was_sent_is_answered_whatever_signal_stops_it(
    tmp_path: Path, told: signal.Signals
) -> None:
    """The lock on the database keeps the callbacks from being answered at once."""
    with live_service(tmp_path) as service, contextlib.ExitStack() as stack:
        assert service.process is not None
        first = stack.enter_context(connect(service.port))
        first.sendall(callback(service))
        assert read_reply(first).status == 200
        with FileLock(Path(f"{service.database}.lock")).hold(60):
            clients = [stack.enter_context(connect(service.port)) for _ in range(FEW)]
            for client in clients:
                client.sendall(callback(service))
            wait_until(lambda: not any(_queues(service.port)), what="the requests were read")
            service.process.send_signal(told)
        assert [read_reply(client).status for client in clients] == [200] * FEW
        assert service.process.wait(60) == 0


def test_who_waits_to_be_accepted_is_answered_once_a_stopping_worker_has_descriptors_again(
    tmp_path: Path,
) -> None:
    """Until then it does not try again and again: one waits for seconds, as the disk hangs."""
    with live_service(tmp_path, **serve_with(Short)) as service, contextlib.ExitStack() as stack:
        assert service.process is not None
        worker = worker_pid(service)
        with FileLock(Path(f"{service.database}.lock")).hold(60):
            accepted = stack.enter_context(connect(service.port))
            accepted.sendall(callback(service))
            wait_until(lambda: not any(_queues(service.port)), what="the request was read")
            with held(worker):
                waiting = stack.enter_context(connect(service.port))
                waiting.sendall(callback(service))
                os.kill(worker, signal.SIGTERM)
                service.process.send_signal(signal.SIGTERM)
            assert read_reply(accepted).status == 200
        assert read_reply(waiting).status == 200
        assert service.process.wait(60) == 0
        log = service.log.read_text()
    assert int(log.partition("tried to accept ")[2].split()[0]) < 200


def test_a_mistake_in_the_loop_costs_one_connection_alone(tmp_path: Path) -> None:
    request = head("POST /plivo/status HTTP/1.1", {"X-Mistake": "", "Content-Length": "0"})
    with live_service(tmp_path, **serve_with(Mistaken)) as service:
        with connect(service.port) as other, connect(service.port) as client:
            client.sendall(request)
            assert client.recv(1) == b""
            other.sendall(get("/healthz"))
            assert read_reply(other).status == 200
        assert service.stop() == 0
    assert "a mistake in the worker: ArithmeticError" in service.log.read_text()


def test_what_a_thread_computes_and_throws_away_keeps_callbacks_waiting_for_moments_only(
    tmp_path: Path,
) -> None:
    with live_service(tmp_path, **serve_with(Telling)) as service:
        assert service.stop() == 0
    said = f"turns of {TURN_SECONDS:g} s, {COLLECTED} objects but "
    assert int(service.log.read_text().partition(said)[2].split()[0]) > 10_000  # of the program
    assert sys.getswitchinterval() / 5 >= TURN_SECONDS


def _queues(port: int) -> list[int]:
    """For each connection that the service has: how many bytes the kernel holds for it to read."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return [
        int(queues.partition(":")[2], 16)
        for _, local, _, state, queues, *_ in fields
        if local.endswith(f":{port:04X}") and state in ("01", "08")  # established, or close wait
    ]


def test_a_worker_whose_master_is_gone_ends_also_beside_a_busy_client(tmp_path: Path) -> None:
    service = LiveService(tmp_path)
    try:
        service.start()
        assert service.process is not None
        with connect(service.port) as client, contextlib.suppress(ConnectionError):
            client.sendall(callback(service))
            read_reply(client)
            service.process.kill()
            closing = False
            while not closing:
                client.sendall(callback(service))
                closing = read_reply(client).closing
        wait_until(lambda: not service.answers(), what="the worker is gone")
    finally:
        service.kill()
