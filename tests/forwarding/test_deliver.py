"""One POST: whatever the other side does, it ends in time, and what came of it is one word."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsstatus.forwarding import deliver
from smsstatus.forwarding.deliver import Receiver, is_refused

from ..live import free_port
from ..rounds import examples
from .receivers import Answer, Odd, odd_receiver, receiver

BODY = b'{"a":1}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_OK = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"
LONG = 30.0
"""Longer than anything takes here."""
SHORT = 0.3
"""How long a receiver may take that takes longer than any time."""

Act = Callable[[socket.socket, Odd], None]


def post_to(url: str, seconds: float = LONG) -> deliver.Answer:
    there = Receiver(url, seconds)
    try:
        return there.post(BODY, {"Content-Type": "application/json", "webhook-id": "evt_1"})
    finally:
        there.close()


def result_of(act: Act, seconds: float = LONG) -> str:
    with odd_receiver(act) as odd:
        return post_to(odd.url, seconds).result


def says(data: bytes) -> Act:
    return lambda connection, odd: connection.sendall(data)


def test_the_body_and_the_headers_arrive_as_they_were_handed_in() -> None:
    with receiver() as there:
        answer = post_to(there.url)
    assert (answer.result, answer.is_taken) == ("200", True)
    (delivered,) = there.delivered
    assert delivered.path == "/hooks/sms?tenant=1"
    assert delivered.body == BODY
    assert delivered.headers == {
        "host": f"127.0.0.1:{there.port}",
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "content-length": str(len(BODY)),
    }


@pytest.mark.parametrize("status", [201, 204, 299])
def test_any_2xx_is_taken(status: int) -> None:
    with receiver() as there:
        there.answer = lambda delivered: Answer(status, body=b"" if status == 204 else b"ok")
        assert post_to(there.url).is_taken


@pytest.mark.parametrize("status", [300, 304, 400, 404, 410, 429, 500, 503, 600])
def test_nothing_else_is(status: int) -> None:
    with receiver() as there:
        there.answer = lambda delivered: Answer(status, {"Retry-After": "7"}, body=b"")
        answer = post_to(there.url)
    assert (answer.result, answer.is_taken, answer.retry_after) == (str(status), False, "7")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_host_that_it_names_is_told(status: int) -> None:
    with receiver() as elsewhere, receiver() as there:
        there.answer = lambda delivered: Answer(status, {"Location": elsewhere.url})
        answer = post_to(there.url)
    assert (answer.result, answer.points_to) == (str(status), "127.0.0.1")
    assert elsewhere.connections == 0


def test_a_connection_is_used_again() -> None:
    with receiver() as there:
        sender = Receiver(there.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(5)] == ["200"] * 5
        sender.close()
    assert there.connections == 1


def test_a_connection_that_is_too_old_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "IDLE_SECONDS", -1.0)
    with receiver() as there:
        sender = Receiver(there.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(2)] == ["200"] * 2
        sender.close()
    assert there.connections == 2


def test_a_used_connection_that_breaks_before_an_answer_is_replaced_at_once() -> None:
    """The receiver hangs up without a word when it gets a second request on a connection."""

    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(OK)
        odd.got.append(connection.recv(65_536))

    with odd_receiver(act) as odd:
        sender = Receiver(odd.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(2)] == ["200", "200"]
        sender.close()
    assert sum(BODY in got for got in odd.got) == 3


def test_a_new_connection_that_breaks_before_an_answer_is_not() -> None:
    with odd_receiver(lambda connection, odd: None) as odd:
        assert post_to(odd.url).result == "connect"
    assert len(odd.got) == 1


def test_a_used_connection_that_breaks_within_an_answer_is_not() -> None:
    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(OK)
        odd.got.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 20")

    with odd_receiver(act) as odd:
        sender = Receiver(odd.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(2)] == ["200", "connect"]
        sender.close()
    assert sum(BODY in got for got in odd.got) == 2


def test_what_is_said_before_an_answer_is_not_taken_for_one() -> None:
    """Each request gets hints first; the first one is refused then, and the others are taken."""

    def act(connection: socket.socket, odd: Odd) -> None:
        for answer in (NOT_OK, OK, OK):
            for hint in (b"103 Early Hints", b"102 Processing", b"100 Continue", b"199 Odd"):
                connection.sendall(b"HTTP/1.1 %s\r\nLink: </a>\r\n\r\n" % hint)
            connection.sendall(answer)
            odd.got.append(connection.recv(65_536))

    with odd_receiver(act) as odd:
        sender = Receiver(odd.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(3)] == ["500", "200", "200"]
        sender.close()
    assert sum(BODY in got for got in odd.got) == 3


def test_a_connection_that_is_to_speak_another_protocol_is_not_used_again() -> None:
    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        odd.got.append(connection.recv(65_536))
        connection.sendall(OK)

    with odd_receiver(act) as odd:
        sender = Receiver(odd.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(2)] == ["101", "101"]
        sender.close()


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    """The receiver answers the first request on a connection with two answers, and no other."""

    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(OK)
        twice.wait(LONG)
        connection.sendall(OK)
        sent.set()
        odd.is_over.wait(LONG)

    twice, sent = threading.Event(), threading.Event()
    with odd_receiver(act) as odd:
        sender = Receiver(odd.url, LONG)
        assert sender.post(BODY, {}).result == "200"
        twice.set()
        assert sent.wait(LONG)
        assert sender.post(BODY, {}).result == "200"
        sender.close()
    assert [BODY in got for got in odd.got] == [True, True]


def _hang(connection: socket.socket, odd: Odd) -> None:
    odd.is_over.wait(LONG)


def _drip(begin: bytes, drop: bytes) -> Act:
    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(begin)
        while not odd.is_over.wait(0.02):
            connection.sendall(drop)

    return act


def _pour(begin: bytes, more: bytes) -> Act:
    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(begin)
        while not odd.is_over.is_set():
            connection.sendall(more)

    return act


NEVER_BEGIN = {
    "hang": _hang,
    "line": _drip(b"", b"H"),
    "header": _drip(b"HTTP/1.1 200 OK\r\n", b"a"),
    "headers": _drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "continue": _drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "hints": _drip(b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\n"),
}
NEVER_END = {
    "200": _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"),
    "500": _drip(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
}


def test_who_hangs_or_drips_is_given_up_in_time() -> None:
    assert results_of(NEVER_BEGIN, SHORT) == dict.fromkeys(NEVER_BEGIN, "timeout")


def test_the_code_counts_of_an_answer_whose_rest_drips() -> None:
    assert results_of(NEVER_END, 3.0) == {code: code for code in NEVER_END}


UNENDED = {
    "closed at its end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "of an old server": b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n",
    "of known length": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
}


@pytest.mark.parametrize("head", UNENDED.values(), ids=UNENDED)
def test_who_has_answered_may_go_on_with_its_body_and_nobody_waits_for_it(head: bytes) -> None:
    known = threading.Event()
    was_known: list[bool] = []

    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(head)
        was_known.append(known.wait(LONG / 2))

    with odd_receiver(act) as odd:
        answer = post_to(odd.url)
        known.set()
    assert (answer.result, was_known) == ("200", [True])


def test_a_body_that_drips_is_read_for_a_while_and_its_connection_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver, "BODY_SECONDS", 0.1)
    with odd_receiver(NEVER_END["200"]) as odd:
        sender = Receiver(odd.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(2)] == ["200", "200"]
        sender.close()
    assert [BODY in got for got in odd.got] == [True, True]


def results_of(acts: dict[str, Act], seconds: float) -> dict[str, str]:
    """All at once, as each takes all of the time."""
    found = {}
    with ExitStack() as held:
        urls = {name: held.enter_context(odd_receiver(act)).url for name, act in acts.items()}

        def post(name: str) -> None:
            found[name] = post_to(urls[name], seconds).result

        threads = [threading.Thread(target=post, args=(name,), daemon=True) for name in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        return dict(found)


BOMB = gzip.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("act", "result"),
    [
        (_pour(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 8192), "200"),
        (_pour(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", b"a" * 8192), "200"),
        (_pour(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), "200"),
        (_pour(b"HTTP/1.1 200 OK\r\n", b"A: " + b"b" * 1000 + b"\r\n"), "connect"),
        (_pour(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 8192), "connect"),
        (_pour(b"", b"a" * 8192), "connect"),
        (_pour(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "connect"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + BOMB), "200"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), "200"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), "200"),
        (says(b"HTTP/1.1 999 What\r\n\r\n"), "999"),
        (says(b"HTTP/1.1 20 What\r\n\r\n"), "connect"),
        (_pour(b"", b"HTTP/1.1 103 Early\r\n\r\n"), "connect"),
        (says(b"HTTP/1.1 103 Early\r\n\r\n"), "connect"),
        (says(b"HTTP/1.1 101 Switching\r\n\r\n" + OK), "101"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "connect"),
        (says(b"\r\n\r\n"), "connect"),
        (says(b""), "connect"),
    ],
)
def test_no_answer_is_too_long_or_too_odd(act: Act, result: str) -> None:
    assert result_of(act) == result


def test_rubbish_is_one_word() -> None:
    words: list[str] = []
    rubbish: list[bytes] = [b""]

    def act(connection: socket.socket, odd: Odd) -> None:
        connection.sendall(rubbish[0])

    with odd_receiver(act) as odd:

        @settings(max_examples=examples(100), deadline=None)
        @given(st.one_of(st.binary(max_size=500), ALMOST_HTTP))
        def answer_with(data: bytes) -> None:
            rubbish[0] = data
            words.append(post_to(odd.url).result)

        answer_with()
    assert {word for word in words if not word.isdigit()} <= {"connect"}
    assert all(len(word) == 3 for word in words if word.isdigit())


ALMOST_HTTP = st.builds(
    lambda status, headers, body: b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n" + body,
    st.sampled_from([b"200 OK", b"200", b"301 Moved", b"2000 x", b"-20 x", b"abc"]),
    st.sampled_from(
        [
            b"Content-Length: -1\r\n",
            b"Content-Length: abc\r\n",
            b"Content-Length: 5\r\nContent-Length: 7\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Location: http://[::1\r\n",
            b": \r\n",
            b"\xff: \xff\r\n",
            b"",
        ]
    ),
    st.binary(max_size=100),
)


def test_where_nobody_listens_there_is_no_connection() -> None:
    assert post_to(f"http://127.0.0.1:{free_port()}/").result == "connect"


def test_a_name_that_leads_nowhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert post_to("http://nowhere.example/").result == "dns"


def test_a_name_that_no_lookup_can_hold_is_told() -> None:
    assert post_to(f"http://{'a' * 70}.example/").result == "dns"


def test_nothing_is_sent_after_a_lookup_that_took_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def slowly(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(deliver.time, "monotonic", lambda: 1e12)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with receiver() as there:
        assert post_to(there.url).result == "timeout"
        monkeypatch.undo()
    assert there.connections == 0


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiver() as there:
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free_port()))
        live = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", there.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: [dead, live])
        assert post_to(there.url).result == "200"


REFUSED = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:42::42",
    "fe80::1",
    "fe80::a9fe:a9fe%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a9fe:a9fe::1",
    "2002:6464:64c8::1",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "ff02::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_nothing_is_sent_to_an_address_that_tells_a_hosts_credentials_or_is_no_machines(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 80))]
    made: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: found)
    monkeypatch.setattr(socket, "socket", lambda *a, **o: made.append(a))
    assert post_to("http://innocent.example/").result == "refused_address"
    assert made == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "fd12::1", "8.8.8.8"),
        *("fd00:42::43", "2002:808:808::1", "64:ff9b::808:808"),
    ],
)
def test_private_and_public_addresses_are_allowed(address: str) -> None:
    assert not is_refused(address)


@pytest.mark.parametrize("address", ["169.254.169.254", "[::ffff:169.254.169.254]", "0.0.0.0"])
def test_an_address_in_the_url_is_no_way_round_that(address: str) -> None:
    assert post_to(f"http://{address}:80/", SHORT).result == "refused_address"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Certificates for 127.0.0.1, each with its key, valid for so many days."""
    folder = tmp_path_factory.mktemp("tls")

    def make(days: int) -> Path:
        path = folder / f"{days}.pem"
        for words in (
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=receiver "
            f"-keyout {path} -out {path}.csr -addext subjectAltName=IP:127.0.0.1",
            f"x509 -req -in {path}.csr -signkey {path} -days {days} -copy_extensions copyall "
            f"-out {path}.crt",
        ):
            subprocess.run(["openssl", *words.split()], check=True, capture_output=True, timeout=60)
        path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
        return path

    return make


def _served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_of_an_own_authority_is_trusted_where_ssl_cert_file_names_it(
    certificates: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificates(2)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiver(_served(certificate)) as there:
        sender = Receiver(there.url, LONG)
        assert [sender.post(BODY, {}).result for _ in range(3)] == ["200"] * 3
        sender.close()
        assert [delivered.body for delivered in there.delivered] == [BODY] * 3
        assert there.connections == 1


@pytest.mark.parametrize(
    ("days", "host", "trusted"),
    [(2, "127.0.0.1", False), (-1, "127.0.0.1", True), (2, "localhost", True)],
    ids=["foreign", "expired", "of another name"],
)
def test_nothing_is_sent_to_who_cannot_prove_its_name(
    certificates: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    host: str,
    trusted: bool,
) -> None:
    certificate = certificates(days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiver(_served(certificate)) as there:
        assert post_to(there.url.replace("127.0.0.1", host)).result == "tls"
    assert there.delivered == []


def test_plain_http_where_tls_was_expected_is_told() -> None:
    with receiver() as there:
        assert post_to(there.url.replace("http:", "https:")).result == "tls"


def test_a_handshake_that_hangs_is_given_up_in_time() -> None:
    with odd_receiver(_hang) as odd:
        assert post_to(odd.url.replace("http:", "https:"), SHORT).result == "timeout"
