"""The receivers in docs/forwarding.md verify, and harmless are to them duplicates and disorder."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from smsstatus.forwarding import payload, signing
from smsstatus.store.outbox import Change

from ..live import ROOT, free_port, wait_until
from .changes import change

KEY = bytes(range(32))
SECRET = signing.write_secret(KEY)
DOCUMENT = (ROOT / "docs/forwarding.md").read_text()
CODE = dict(re.findall(r"^```(python|javascript|php)\n(.*?)^```$", DOCUMENT, re.DOTALL | re.M))

LIFE = [
    change(status="queued", phase=1, rank=1, sequence=1, digest=b"a" * 26),
    change(status="sent", phase=2, rank=2, sequence=2, digest=b"b" * 26),
    change(status="delivered", phase=3, rank=4, sequence=3, digest=b"c" * 26),
]

Post = Callable[[bytes, dict[str, str]], int]


def signed(body: bytes, key: bytes = KEY, late: float = 0) -> dict[str, str]:
    moment = datetime.now(UTC) - timedelta(seconds=late)
    sent = signing.headers("evt_1", moment, body, [bytes(24), key])
    return {**sent, "Content-Type": "application/json"}


def judge(post: Post) -> None:
    """The right ones are taken, in whatever order and number; all others are answered 401."""

    def deliver(of: Change) -> int:
        body = payload.body(of)
        return post(body, signed(body))

    queued, sent, delivered = LIFE
    assert [deliver(one) for one in (queued, delivered, sent, delivered, queued)] == [204] * 5
    ping = b'{"type":"ping","timestamp":"2026-11-01T00:00:00.000000Z","data":{}}'
    assert post(ping, signed(ping)) == 204
    body = payload.body(sent)
    assert post(body, signed(body, bytes(range(1, 33)))) == 401
    assert post(body + b" ", signed(body)) == 401
    assert post(body, signed(body, late=400)) == 401
    assert post(body, {"Content-Type": "application/json"}) == 401


def test_there_is_one_for_each_language() -> None:
    assert set(CODE) == {"python", "javascript", "php"}


def test_the_receiver_in_flask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORWARD_SECRET", SECRET)
    Path("receiver.py").write_text(CODE["python"])
    made: dict[str, Any] = runpy.run_path("receiver.py")
    app: Flask = made["app"]

    def post(body: bytes, headers: dict[str, str]) -> int:
        return app.test_client().post("/sms-status", data=body, headers=headers).status_code

    judge(post)
    rows = made["database"].execute("SELECT message_uuid, status FROM sms").fetchall()
    made["database"].close()
    assert rows == [(LIFE[0].message_uuid, "delivered")]


STAND_IN = """
// Of Express no more than the receiver uses, on Node's own http.
const http = require("node:http");
module.exports = () => {
  const routes = {};
  const add = (method) => (path, ...steps) => { routes[method + path] = steps.at(-1); };
  return {
    get: add("GET"), post: add("POST"),
    listen: (port, host) => http.createServer((request, response) => {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        request.body = Buffer.concat(parts);
        response.sendStatus = (status) => response.writeHead(status).end();
        response.json = (value) => response.end(JSON.stringify(value));
        routes[request.method + request.url](request, response);
      });
    }).listen(port, host),
  };
};
module.exports.raw = () => null;
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_receiver_in_express(tmp_path: Path) -> None:
    """With a stand-in for Express where that is not installed, as here."""
    (tmp_path / "node_modules/express").mkdir(parents=True)
    (tmp_path / "node_modules/express/index.js").write_text(STAND_IN)
    (tmp_path / "receiver.js").write_text(CODE["javascript"])
    port = free_port()
    settings = {"PATH": os.environ["PATH"], "FORWARD_SECRET": SECRET, "PORT": str(port)}
    with subprocess.Popen(["node", "receiver.js"], cwd=tmp_path, env=settings) as process:

        def statuses() -> Any:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/sms", timeout=30) as answer:
                    return json.load(answer)
            except OSError:
                return None

        def post(body: bytes, headers: dict[str, str]) -> int:
            url = f"http://127.0.0.1:{port}/sms-status"
            try:
                request = urllib.request.Request(url, body, headers)
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        try:
            wait_until(lambda: statuses() == [], 60, "it listens")
            judge(post)
            assert statuses() == ["delivered"]
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("php") is None, reason="there is no php")
def test_the_receiver_in_laravel_is_php(tmp_path: Path) -> None:
    (tmp_path / "receiver.php").write_text(CODE["php"])
    subprocess.run(["php", "-l", tmp_path / "receiver.php"], check=True, timeout=60)
