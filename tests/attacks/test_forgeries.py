"""Attacks on the webhook, by somebody who has captured genuine requests or has none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlencode

from smsstatus.plivo.signature import (
    V2_NONCE,
    V2_SIGNATURES,
    V3_NONCE,
    V3_SIGNATURES,
    sign,
    signed_v3,
)
from smsstatus.settings import WEBHOOK_PATH

from ..faults.raw import chunked, head, wire
from ..signed import Plivo, Request
from ..web.test_forgery import FORGERIES
from .conftest import Attacked
from .cuts import cuts
from .target import Target

V3, V2 = V3_SIGNATURES[0], V2_SIGNATURES[0]
URL = Plivo.base_url + WEBHOOK_PATH
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def said(message_uuid: str = "forged", status: str = "delivered") -> bytes:
    """What the attacker would have stored."""
    return urlencode({"MessageUUID": message_uuid, "Status": status, "Sequence": "99"}).encode()


def posted(headers: dict[str, str], body: bytes, target: str = WEBHOOK_PATH) -> Request:
    return Request("POST", target, {**FORM, **headers}, body)


def test_one_change_to_a_genuine_request(attacked: Attacked) -> None:
    with attacked("one thing changed in a genuine callback") as attack:
        for forged in FORGERIES.values():
            headers = {n: v.encode().decode("latin-1") for n, v in forged.headers.items()}
            assert attack.status(forged._replace(headers=headers)) == 403


def test_a_captured_v3_signature_as_v2(attacked: Attacked, target: Target) -> None:
    """V3 signs `url?BODY.NONCE`, V2 `url` + nonce, both with the same key."""
    fields = target.capture()
    captured = [target.arrive(target.service.plivo.post(fields))]
    captured += [target.arrive(target.service.plivo.get(target.capture()))]
    with attacked("a captured V3 signature as a V2 one, the signed text its nonce") as attack:
        texts = []
        for request in captured:
            pairs = request.body.decode() or request.target.partition("?")[2]
            joined = pairs.replace("=", "").replace("&", "")
            texts += [(request, f"?{joined}.{request.headers[V3_NONCE]}")]
            texts += [(request, f"?{pairs}.{request.headers[V3_NONCE]}")]
        for path in ("/inbound", "/../status", "?a=1", ".1", "#", "%3F", ";a", "\\", ""):
            signature = sign((URL + path + ".77").encode(), Plivo.token)
            texts += [(posted({V3: signature}, b""), f"{path}.77")]
        for request, nonce in texts:
            headers = {V2: request.headers[V3], V2_NONCE: nonce}
            for body in (said(), said(fields["MessageUUID"])):
                assert attack.status(posted(headers, body)) in (400, 403)


def test_v2_nonces_that_are_none(attacked: Attacked) -> None:
    """Somebody who could have any text signed as a V2 message still gets no such nonce past us."""
    nonces = [
        *("", " ", "1.2", "1?2", "1&2", "1%32", "1,2", "1;2", "1/2", "1=2", "1 2", "1\t2", "1\x7f"),
        *("9" * 129, "\u0661\u0662\u0663", "\uff11\uff12", "\u00b2", "1\u200b2", "1\u00a0"),
        *("\u0430", "1\x85", "1\x00", "1\x0b", "1\x1f", "1" * 4000),
    ]
    with attacked("V2 nonces with characters that are none of a nonce's") as attack:
        for nonce in nonces:
            as_sent = nonce.encode().decode("latin-1")
            for signed in {nonce, nonce.strip(), as_sent}:
                headers = {V2: sign((URL + signed).encode(), Plivo.token), V2_NONCE: as_sent}
                assert attack.status(posted(headers, said())) in (400, 403, None)


def test_a_captured_v2_request_with_other_bodies(attacked: Attacked, target: Target) -> None:
    plivo = target.service.plivo
    with_v2 = [plivo.post(target.capture(), scheme=scheme) for scheme in ("V2", "Ma-V2")]
    beside = plivo.post(target.capture())
    older = [plivo.post({"a": "1"}, scheme=scheme).headers for scheme in ("V2", "Ma-V2")]
    both = [target.arrive(beside._replace(headers={**h, **beside.headers})) for h in older]
    for request in with_v2:
        target.arrive(request)
    stripped = [r._replace(headers={n: v for n, v in r.headers.items() if "V3" not in n})
                for r in both]  # fmt: skip
    probe = b"SmsstatusProbe=1"
    with attacked(
        "a captured V2 signature, also from beside a V3 one, with other bodies"
    ) as attack:
        for request in (*with_v2, *stripped):
            for body in (said(), request.body + b"&Extra=1", b"Status=read", b""):
                assert attack.status(request._replace(body=body)) == 403
            assert attack.status(request._replace(body=probe)) == 200  # and leaves nothing
            get = request._replace(method="GET", body=b"")
            assert attack.status(get._replace(target=f"{WEBHOOK_PATH}?{said().decode()}")) == 403
            query = request._replace(target=f"{WEBHOOK_PATH}?order=7")
            assert attack.status(query) == 403


def test_a_captured_v3_text_cut_elsewhere(attacked: Attacked, target: Target, full: bool) -> None:
    plivo = target.service.plivo
    tries: list[Request] = []
    for number in range(4 if full else 1):
        parent = {"ParentMessageUUID": f"9f0f6a52-1111-4a4a-9d9d-0242ac11000{number}"}
        fields = target.capture(**parent)
        post = target.arrive(plivo.post(fields, query="order=4.2&b=Status"))
        tries += cuts(post, [("b", "Status"), ("order", "4.2")], [*fields.items()])
        fields = target.capture(**parent)
        plain = target.arrive(plivo.post(fields))
        tries += cuts(plain, [], [*fields.items()])
        fields = target.capture(**parent, Tag="1&Status=read&From=2")
        get = target.arrive(plivo.get(fields))
        tries += cuts(get, [*fields.items()], [])
    with attacked("re-cuts of captured V3 requests (POST, GET, moved between)") as attack:
        statuses = [attack.status(request) for request in (tries if full else tries[::17])]
    assert set(statuses) == {403}


def encodings(body: bytes) -> Iterable[bytes]:
    """The same fields, written in other ways."""
    text = body.decode()
    fields = text.split("&")
    yield "&".join(reversed(fields)).encode()
    yield f"&&{text}&&".encode()
    yield text.replace("+", "%20").encode()
    yield text.replace("%3A", ":").encode()
    yield text.replace("%3A", "%3a").encode()
    yield "".join([c if c in "&=%+" else quote(c) for c in text]).encode()
    yield b"&".join(
        b"=".join(b"".join(b"%%%02x" % c for c in part.encode()) for part in pair)
        for pair in parse_qsl(text, keep_blank_values=True)
    )


def test_the_same_fields_in_other_words(attacked: Attacked, target: Target) -> None:
    """Lookalikes are refused; what decodes to the same is the same callback."""
    genuine = target.arrive(target.service.plivo.post(target.capture(), query="order=4+2&b=%3A"))
    body = genuine.body
    others = [
        body.replace(b"Status=", b"Status%C0%BD"),
        body.replace(b"&", b";"),
        body.replace(b"Sequence=3", "Sequence=\uff13".encode()),
        body.replace(b"Sequence=3", b"Sequence=%D9%A3"),
        body.replace(b"Status=undelivered", b"Status=undelivered%00"),
        body.replace(b"Status=undelivered", b"Status=undelivered+"),
        body.replace(b"MessageUUID=", b"MessageUUID%E2%80%8B="),
        b"\xef\xbb\xbf" + body,
        body + b"&Status=delivered",
        body + b"&Status=undelivered",
        body + b"&status=delivered",
        body + b"\r\n",
        body.replace(b"Status=", b"%53%74atus%00="),
        body.replace(b"%3A", b"%u003A"),
        body.decode().encode("utf-16"),
    ]
    with attacked("the same fields in other encodings, and ones that look alike") as attack:
        for same in encodings(body):
            for query in ("order=4+2&b=%3A", "b=:&order=4%202", "&&b=%3a&%6Frder=4+2"):
                request = genuine._replace(body=same, target=f"{WEBHOOK_PATH}?{query}")
                assert attack.status(request) == 200
        for other in others:
            assert attack.status(genuine._replace(body=other)) == 403


def test_signature_headers_in_odd_shapes(attacked: Attacked, target: Target) -> None:
    plivo = target.service.plivo
    genuine = target.arrive(plivo.post(target.capture()))
    signature, nonce = genuine.headers[V3], genuine.headers[V3_NONCE]
    unused = plivo.headers("POST", [], [], "V2")  # of a request that never arrived
    v2 = f"{V2}: {unused[V2]}\r\n{V2_NONCE}: {unused[V2_NONCE]}\r\n"
    right = f"{V3}: {signature}\r\n{V3_NONCE}: {nonce}\r\n"
    low = V3.lower()
    shapes = [
        *(f"{V3}: \r\n{v2}", f"{V3}:{v2}", f"{V3}: ,\r\n{v2}", f"{V3_NONCE}: \r\n{v2}"),
        *(f"{low}: x\r\n{v2}", f"{V3} : x\r\n{v2}", f" {V3}: x\r\n{v2}", f"{V3}\t: x\r\n{v2}"),
        *(f"{V3}: a\r\n b\r\n{v2}", f"{V3}: a\r\n\tb\r\n{v2}", f"{V3}: a\x00\r\n{v2}"),
        *(f"{V3}: a\r{v2}", f"{V3}: a\n{v2}", f"{V3};: a\r\n{v2}", f'"{V3}": a\r\n{v2}'),
        *(right, right + right, f"{right}{V3}: {'A' * 43}=\r\n", f"{V3}: {'A' * 43}=\r\n{right}"),
        *(right + v2, v2 + right, right.replace("V3", "v3"), right.replace("-", "_")),
        f"{V3}: {signature}, {signature}\r\n{V3_NONCE}: {nonce}\r\n{V3_NONCE}: {nonce}\r\n",
        f"{V3}: {signature}\r\n{V3_NONCE}: {nonce},{nonce}\r\n",
        f"{V3}: {','.join([signature] * 100)}\r\n{V3_NONCE}: {nonce}\r\n",
        f"X-Plivo-Signature-Ma-V3: {signature}\r\n{V3_NONCE}: {nonce}\r\n",
    ]
    with attacked("signature headers doubled, empty, folded, misspelt, V2 ones beside") as attack:
        for shape in shapes:
            for body in (said(), said(status="read")):
                start = (
                    f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
                )
                data = f"{start}{shape}\r\n".encode("latin-1") + body
                assert attack.status(data) in (400, 403, None)


def test_requests_inside_of_requests(attacked: Attacked, target: Target) -> None:
    plivo = target.service.plivo
    genuine = target.arrive(plivo.post(target.capture()))
    inner = wire(posted({n: genuine.headers[n] for n in (V3, V3_NONCE)}, said()))
    signed = {**FORM, **{n: genuine.headers[n] for n in (V3, V3_NONCE)}}
    body = said()
    length, te = {"Content-Length": str(len(body))}, "Transfer-Encoding"
    post = f"POST {WEBHOOK_PATH} HTTP/1.1"
    host = {"Host": "a", **signed}

    def extra(lines: str) -> bytes:
        return head(post, host)[:-2] + lines.encode() + b"\r\n"

    trailer = chunked(body)[:-2] + b"".join(
        f"{name}: {value}\r\n".encode() for name, value in signed.items()
    )
    tries = [
        extra("Content-Length: 0\r\n") + inner,
        extra(f"Content-Length: 3\r\nContent-Length: {len(body)}\r\n") + body,
        extra(f"Content-Length: {len(body)}, {len(body)}\r\n") + body,
        extra(f"Content-Length: +{len(body)}\r\n") + body,
        extra(f"Content-Length: 0x{len(body):x}\r\n") + body,
        extra(f"Content-Length: {'9' * 5000}\r\n") + body,
        extra(f"Content-Length: {len(body)}\r\n{te}: chunked\r\n") + chunked(body),
        extra(f"{te}: chunked\r\n{te}: identity\r\n") + chunked(body),
        extra(f"{te}: xchunked\r\n") + chunked(body),
        extra(f"{te} : chunked\r\n") + chunked(body),
        extra(f"{te}:\x0bchunked\r\n") + chunked(body),
        extra(f"{te}: chunked\r\n") + chunked(body) + inner,
        extra(f"{te}: chunked\r\n") + b"0\r\n\r\n" + inner,
        extra(f"{te}: chunked\r\n") + b"%x;a=\n\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        extra(f"{te}: chunked\r\n") + b"-1\r\n" + body,
        extra(f"{te}: chunked\r\n") + b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        head(post, {"Host": "a", te: "chunked", "Trailer": V3}) + trailer + b"\r\n",
        head(f"GET {WEBHOOK_PATH} HTTP/1.1", {**host, **length}) + body + inner,
        head(f"GET {WEBHOOK_PATH}?{body.decode()} HTTP/1.1", host),
        head(f"HEAD {WEBHOOK_PATH}?{body.decode()} HTTP/1.1", host),
        head(f"{post[:-1]}0", {**host, te: "chunked"}) + chunked(body),
        *(
            head(f"{method} {WEBHOOK_PATH} HTTP/1.1", {**host, **length, **more}) + body
            for method in ("POST", "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post")
            for more in (
                {},
                {"X-HTTP-Method-Override": "POST"},
                {"Expect": "100-continue"},
                {"Upgrade": "h2c"},
            )
        ),
    ]
    with attacked("requests inside of requests, two lengths, odd chunks, other methods") as attack:
        for data in tries:
            assert attack.status(data) in (None, 400, 403, 404, 405, 413, 431, 501)


def test_other_paths_and_hosts(attacked: Attacked, target: Target) -> None:
    """Whatever the address, the signature is checked against the one that Plivo was given."""
    plivo = target.service.plivo
    genuine = target.arrive(plivo.post(target.capture()))
    paths = [
        *(
            "//plivo/status",
            "/plivo/status/",
            "/plivo/./status",
            "/plivo/%2e/status",
            "/x/../plivo",
        ),
        *("/plivo%2Fstatus", "/plivo/status;a=1", "/plivo/status%3F", "/plivo/status%00", "*"),
        *(
            "/PLIVO/STATUS",
            "/plivo/status#a",
            "http://evil.example/plivo/status",
            "/plivo/statu%73",
        ),
        *(
            "http://sms.example.com/plivo/status",
            "plivo/status",
            "/\\plivo/status",
            "/plivo//status",
        ),
        f"/plivo/status?{'a' * 65_536}",
    ]
    lies = [
        {"Host": "evil.example"},
        {"Host": ""},
        {"Host": "a b"},
        {"Host": "sms.example.com:1"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Prefix": "/x"},
        {"SCRIPT_NAME": "/x"},
        {"X-Forwarded-Proto": "http"},
        {"Forwarded": "host=evil.example"},
        {"X-Original-URL": "/"},
    ]
    foreign = replace(plivo, base_url="https://evil.example").post({"MessageUUID": "forged",
                                                                    "Status": "sent"})  # fmt: skip
    with attacked("other paths, hosts and forwarded addresses") as attack:
        for path in paths:
            for request in (genuine._replace(body=said(), target=path), foreign):
                assert attack.status(request._replace(target=path)) in (400, 403, 404, 414)
            assert attack.status(genuine._replace(target=path)) in (200, 400, 404, 414)
        for lie in lies:
            for request in (genuine._replace(body=said()), foreign):
                data = head(
                    f"POST {WEBHOOK_PATH} HTTP/1.1",
                    {"Host": "a", **request.headers, **lie,
                     "Content-Length": str(len(request.body))},
                ) + request.body  # fmt: skip
                assert attack.status(data) in (400, 403)


def test_one_captured_request_again_and_again(
    attacked: Attacked, target: Target, full: bool
) -> None:
    """Nothing grows with it: no row, no file, no line of the log beyond ten a minute."""
    plivo = target.service.plivo
    usable = target.arrive(plivo.post(target.capture()))
    unusable = target.arrive(plivo.post({"Status": "sent", "From": "1", "To": "2"}))
    with_v2 = target.arrive(plivo.post(target.capture(), scheme="V2"))
    times = 1000 if full else 30
    recuts = list(cuts(unusable, [], [("From", "1"), ("Status", "sent"), ("To", "2")]))
    service = target.service
    files, lines = len(list(service.spool.rglob("*.json"))), own_lines(target)
    nonces = target.count("v2_nonces")
    with attacked(f"captured requests {times} times: good, unusable, V2 with new bodies") as attack:
        for number in range(times):
            assert attack.status(usable) == 200
            assert attack.status(unusable) == 200
            attack.status(recuts[number % len(recuts)])
            assert attack.status(with_v2._replace(body=said(f"forged-{number}"))) == 403
    assert len(list(service.spool.rglob("*.json"))) == files
    assert target.count("v2_nonces") == nonces
    assert own_lines(target) - lines <= 20 * (2 + attack.minutes)


def own_lines(target: Target) -> int:
    """Lines of our own that are more than information, without the access log."""
    text = target.service.log.read_text(errors="replace")
    return text.count(" WARNING smsstatus.") + text.count(" ERROR smsstatus.")


def test_a_signature_under_something_like_the_token(attacked: Attacked) -> None:
    body = [("MessageUUID", "forged"), ("Status", "sent")]
    token = Plivo.token
    others = [
        "",
        " ",
        token[:-1],
        token + " ",
        token + ",",
        token.upper(),
        "None",
        "\x00",
        "<token>",
    ]
    with attacked("signatures under an empty token, a part of ours, another case") as attack:
        for other in others:
            signature = sign(signed_v3("POST", URL, [], body, "1"), other)
            request = posted({V3: signature, V3_NONCE: "1"}, urlencode(body).encode())
            assert attack.status(request) == 403
