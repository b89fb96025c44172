"""Every callback is answered within 5 s, whatever hangs: how long each place may take for that.

Plivo waits 8 s for an answer. A callback waits for the store at most once, then for the spool, then
for the log.
"""

from __future__ import annotations

PROMISED_SECONDS = 5.0

STORE_SECONDS = 3.0
STATEMENT_SECONDS = STORE_SECONDS - 0.5
"""For a database server's answer: half a second less than whoever waits for the commit has."""
SPOOL_SECONDS = 1.0
LOG_SECONDS = 0.5

SPARE_SECONDS = PROMISED_SECONDS - STORE_SECONDS - SPOOL_SECONDS - LOG_SECONDS
"""What is left for all else."""
