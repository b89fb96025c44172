"""One of several processes that start on one database: started by test_processes.

For each URL on standard input: prepares the database, records one update, closes, and says `ok`,
or what went wrong, in one line.
"""

from __future__ import annotations

import sys
from contextlib import closing
from uuid import uuid4

from smsstatus.store.contract import Outcome
from smsstatus.store.postgres.store import PostgresStore

from ...store.updates import at, update_of


def start_and_record(url: str) -> str:
    try:
        with closing(PostgresStore(url)) as store:
            store.prepare()
            outcome = store.record(update_of(at("sent", MessageUUID=str(uuid4()))))
    except Exception as error:  # it is for the test to say what it thinks of it
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return "ok" if outcome is Outcome.APPLIED else str(outcome)


if __name__ == "__main__":
    for line in sys.stdin:
        print(start_and_record(line.strip()), flush=True)
