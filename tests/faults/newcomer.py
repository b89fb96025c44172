"""One of several processes that start on one database: started by test_processes.

For each folder named on standard input: makes the application, delivers one signed callback,
stops, and says `ok`, or what went wrong, in one line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from smsstatus import create_app
from smsstatus.settings import Settings
from smsstatus.settings.database_url import sqlite_file
from smsstatus.web.current import service_of

from ..signed import Plivo


def start_and_record(folder: Path) -> str:
    """Do what a starting service does; `ok` or the trouble."""
    plivo = Plivo()
    settings = Settings(
        auth_tokens=(plivo.token,),
        base_url=plivo.base_url,
        database=sqlite_file(folder / "sms.db"),
        spool_dir=folder / "spool",
    )
    try:
        app = create_app(settings)
        request = plivo.post(plivo.fields("sent"))
        response = app.test_client().open(
            request.target, method=request.method, headers=request.headers, data=request.body
        )
        service_of(app).stop()
    except Exception as error:  # it is for the test to say what it thinks of it
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return "ok" if response.status_code == 200 else f"answer {response.status_code}"


if __name__ == "__main__":
    for line in sys.stdin:
        print(start_and_record(Path(line.strip())), flush=True)
