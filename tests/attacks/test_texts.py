"""Attacks by text: what strangers write must stay text where people and programs read it."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

from smsstatus.intake.last_resort import log_lines
from smsstatus.plivo.callback import Callback
from smsstatus.settings import WEBHOOK_PATH

from ..faults.raw import head
from ..faults.reconcile import query
from ..live import ROOT
from .conftest import Attacked
from .target import TOKEN, Target

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
MARK = "owned"
PAYLOADS = (
    f"<script>{MARK}()</script>",
    f"\"'><img src=x onerror={MARK}()>",
    f"</textarea></title><svg onload={MARK}()>",
    f"javascript:{MARK}()",
    "{{7*7}}${7*7}<%=7*7%>",
    f'=HYPERLINK("https://evil.example","{MARK}")',
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff201+1",
    " \t=1+1",
    '"=1+1"',
    "\u00a0=1+1",
    "\ufeff@SUM(1)",
    "+1+1",
    "-1+1",
    "\r\n=1+1",
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m",
    "a\u202eb\u2066c",
    "x\r\n2026-01-01T00:00:00.000Z ERROR smsstatus.webhook: injected",
)
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")
OUR_LINE = re.compile(r"20\d\d-\d\d-\d\dT\S+Z [A-Z]+ smsstatus\.[a-z_.]+: .*")
GUNICORNS_LINE = re.compile(r'\[20\d\d-[^]]+\] \[\d+\] \[[A-Z]+\] .*|127\.0\.0\.1 "[A-Z].*')


class Tags(HTMLParser):
    """The tags and handlers of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hostile: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            runs = name in ("href", "src", "action") and (value or "").startswith("javascript:")
            if name.startswith("on") or runs:
                self.hostile.append(f"{tag} {name}")
        if tag == "img" or (tag == "script" and not dict(attrs).get("src")):
            self.hostile.append(tag)


def test_hostile_text_in_every_stored_field(attacked: Attacked, target: Target) -> None:
    uuids = []
    for payload in PAYLOADS:
        hostile = dict.fromkeys(
            ("From", "To", "ErrorCode", "Units", "QueuedTime", payload), payload
        )
        fields = {**target.capture(), **hostile, "Status": payload}
        reference = urlencode({payload: payload})
        target.arrive(target.service.plivo.post(fields, query=reference))
        uuids.append(fields["MessageUUID"])
    pages = ["/", "/ui/messages", *(f"/ui/messages/{uuid}" for uuid in uuids)]
    with attacked("HTML, formulas and escapes in every field that is stored") as attack:
        for page in pages:
            reply = attack.send(head(f"GET {page} HTTP/1.1", {"Host": "a", **AUTHORIZED}))
            assert reply is not None
            assert reply.status == 200
            assert Tags(reply.body.decode()).hostile == []
        status, listed = target.service.get("/messages", {**AUTHORIZED, "Accept": "text/csv"})
        assert status == 200
    for row in csv.reader(io.StringIO(listed.decode())):
        for cell in row:
            start = cell.lstrip(' "\u00a0\ufeff')
            assert not start.startswith(FORMULA) or re.fullmatch(r"\+[0-9]+", cell)
    for command in (
        ["messages"],
        ["messages", "--json"],
        *(["messages", uuid] for uuid in uuids[-4:]),
    ):
        shown = flask(target, *command)
        assert shown.returncode == 0
        assert shown.stdout.replace("\n", "").isprintable()
    status, metrics = target.service.get("/metrics")
    assert status == 200
    for line in metrics.decode().removesuffix("\n").split("\n"):
        assert re.match(r"(# (HELP|TYPE) )?smsstatus_\w+", line)


def flask(target: Target, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *command],
        cwd=ROOT,
        env=target.service.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_lines_and_records_in_the_log(attacked: Attacked, target: Target, tmp_path: Path) -> None:
    """By every header, field and path; then the log is fed to `replay`, as its lines say."""
    plivo = target.service.plivo
    made_up = Callback("POST", "", urlencode({"MessageUUID": "forged", "Status": "read"}), "2026")
    (record,) = log_lines(made_up, "not-the-token")
    unknown = plivo.fields("read")
    (own,) = log_lines(Callback("POST", "", urlencode(unknown), "2026"), plivo.token)
    mixed = own.rstrip("\n").rpartition(".")[2]
    records = [
        record.rstrip("\n"),
        f"{record.rstrip().rpartition('.')[0]}.{mixed}",
        record.split("2.", 1)[1],
        "smsstatus-callback eyJhIjoxfQ==." + "0" * 64,
        f"smsstatus-callback 2.AAAAAAAAAAA.1.1.AAAA.{'A' * 43}",
    ]
    start = target.service.log.stat().st_size
    header = "X-Plivo-Signature-V3"
    with attacked("log lines and records of last resort by every header, field and path") as attack:
        for text in records:
            injected = f"x\r\n{text}\n"
            short = quote(text)[:3500]
            for line in (f"GET /%0A{short}", f"GET {WEBHOOK_PATH}?%0D%0A{short}=1",
                         f"GET /messages/%1B%5B2J%0A{short}"):  # fmt: skip
                attack.status(head(f"{line} HTTP/1.1", {"Host": "a", header: "x"}))
            for name in (
                header,
                "Host",
                "User-Agent",
                "Referer",
                "Authorization",
                "X-Forwarded-For",
            ):
                value = text[:4000].replace("\n", "")
                attack.status(head(f"GET {WEBHOOK_PATH} HTTP/1.1", {"Host": "a", name: value}))
                attack.status(head(f"GET {WEBHOOK_PATH} HTTP/1.1", {name: injected}))
                attack.status(head("GET / HTTP/1.1", {"Host": "a", text.split(":")[0][:60]: "1"}))
            fields = {**target.capture(), "From": injected, "Status": injected[:190]}
            target.arrive(plivo.post(fields))
            target.arrive(plivo.post({"Status": injected}))
        new = target.service.log.read_bytes()[start:].decode()
    lines = [line for line in new.split("\n") if line]
    assert [x for x in lines if not (OUR_LINE.fullmatch(x) or GUNICORNS_LINE.fullmatch(x))] == []
    assert all(line.isprintable() for line in lines)
    log = tmp_path / "log"
    log.write_text(new + "\n".join(records) + "\n")
    replayed = flask(target, "replay", str(log))
    assert replayed.returncode == 1  # it says that some records are none of ours
    uuids = {row[0] for row in query(target.service.database, "SELECT message_uuid FROM messages")}
    assert uuids.isdisjoint(("forged", unknown["MessageUUID"]))
