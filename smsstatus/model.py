"""What is known of a message: status updates, what decides between two of them, times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

RANKS = {
    "queued": 1,
    "sent": 2,
    "rejected": 3,
    "failed": 3,
    "undelivered": 3,
    "delivered": 4,
    "read": 5,
}
"""How far along a status is. A word Plivo has not documented ranks 0 and is not final."""

SEND_RANK = -1
"""The rank of what we write when we send: any callback stands above it."""

PHASES = {SEND_RANK: 0, 0: 1, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4}
"""By rank: what comes first in the order key, so that an update that says less about time still
wins where its status is further along. `store.rules` makes SQL of this.
"""

FINAL_STATUSES = frozenset(word for word, rank in RANKS.items() if PHASES[rank] >= 3)
"""The statuses after which nothing more is expected."""

FAILURES = frozenset(word for word, rank in RANKS.items() if rank == 3)
"""Of these, the ones after which the message has not arrived."""

DELIVERED = tuple([word for word in RANKS if word in FINAL_STATUSES - FAILURES])
"""Of these, the others: `delivered`, and `read` after it."""

SIMULATED = "simulated=smsstatus"
"""The reference of messages that `simulate` made up: Plivo knows nothing of them."""

CALLBACKS = ("callback", "replay")
"""The sources of updates that Plivo called us with; `replay`: kept elsewhere before the store."""

EARLIEST = "2000"
"""A time before that is a filler."""

TEXT_DIGEST_SIZE = 18
"""The part of an update's digest that is of the text Plivo signed; the rest is of its reading."""


class StatusUpdate(NamedTuple):
    """What one callback, send or Plivo API answer says about one message.

    The order key is (phase, status_timestamp, sequence, rank, digest): see `order_key`.
    Times are UTC text of fixed width, `2026-11-01T00:00:03.250000Z`, or empty when unknown.
    `digest` identifies the update: Plivo's retry of a callback has the same one. `parameters`
    are as received, application/x-www-form-urlencoded. `reference` is the query of a POST, as
    received: what the sender added to the URL, not a word of Plivo's. `network` is MCC-MNC, `units`
    are the message's parts, `amount` is their charge in millionths of a US dollar.
    """

    message_uuid: str
    status: str
    status_timestamp: str
    error_code: str | None
    is_final: bool
    sequence: int
    rank: int
    digest: bytes
    sender_number: str | None
    recipient_number: str | None
    message_body: str | None
    queued_at: str | None
    received_at: str
    source: str
    parameters: str
    v2_nonce: str | None = None
    used_nonce: str | None = None
    reference: str | None = None
    network: str | None = None
    units: int | None = None
    amount: int | None = None

    @property
    def order_key(self) -> tuple[int, str, int, int, bytes]:
        """What decides which of two updates of a message stands, whatever order they came in.

        The digest comes last so that no two distinct updates are ever equal.
        """
        return (PHASES[self.rank], self.status_timestamp, self.sequence, self.rank, self.digest)


def utc_timestamp(text: str) -> str:
    """Normalise a time to UTC, fixed width, so that text compares as time; empty if unusable.

    Plivo writes `2026-11-01 00:00:03.250000` in callbacks (no offset is documented: taken as
    UTC) and appends the account's offset in its API (`+05:30`).
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds") + "Z"
    except (ValueError, OverflowError):
        return ""


def timestamp(moment: datetime) -> str:
    """A moment in the form of `utc_timestamp`; empty where that has no year."""
    return utc_timestamp(str(moment))


def utc_now() -> str:
    """Our clock in the form of `utc_timestamp`."""
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
