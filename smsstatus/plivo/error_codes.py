"""What a Plivo error code means, and whether sending again can help.

Reasons follow Plivo's published list (https://www.plivo.com/docs/messaging/troubleshooting/error-codes);
`retry` is this project's judgement. Plivo adds codes: an unknown one is kept and shown as it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypedDict

Retry = Literal["permanent", "transient", "unknown"]


class Meaning(NamedTuple):
    """`reason` in a few words, `meaning` in a sentence."""

    reason: str
    meaning: str
    retry: Retry


class Explanation(TypedDict):
    """What the API says about an error code."""

    code: str
    reason: str
    meaning: str
    retry: Retry


UNKNOWN = Meaning("Unknown code", "This code is not in our table: see Plivo's list.", "unknown")

MEANINGS: dict[str, Meaning] = {
    "10": Meaning(
        "Invalid message",
        "Downstream carrier refused the content as malformed or not acceptable.",
        "permanent",
    ),
    "20": Meaning(
        "Network error",
        "The carrier had a network problem at that moment; trying later can work.",
        "transient",
    ),
    "30": Meaning(
        "Spam detected",
        "A carrier filter judged the content, link, sender or volume to be spam; the same "
        "text will fail again.",
        "permanent",
    ),
    "40": Meaning(
        "Invalid source number",
        "Sender is badly formatted, not SMS-enabled or not owned by the account.",
        "permanent",
    ),
    "50": Meaning(
        "Invalid destination number",
        "Recipient is badly formatted, cannot get SMS, or is not a real mobile number.",
        "permanent",
    ),
    "60": Meaning(
        "Loop detected",
        "Plivo saw the same traffic bouncing between two numbers or an auto-reply loop and cut it.",
        "permanent",
    ),
    "70": Meaning(
        "Destination permanently unavailable",
        "Recipient line is disconnected or unreachable for good.",
        "permanent",
    ),
    "80": Meaning(
        "Destination temporarily unavailable",
        "Recipient phone was off or out of coverage, or its inbox was full, when the "
        "carrier tried.",
        "transient",
    ),
    "90": Meaning(
        "No route available",
        "Plivo had no working carrier path to that destination network.",
        "unknown",
    ),
    "100": Meaning(
        "Prohibited by carrier",
        "Carrier policy blocked this sender, content or traffic type.",
        "permanent",
    ),
    "110": Meaning(
        "Message too long",
        "Text exceeds what can be sent (1600 GSM-7 / 737 UCS-2 characters).",
        "permanent",
    ),
    "120": Meaning(
        "MMS payload too large",
        "Attachment total is above the MMS size limit (about 5 MB).",
        "permanent",
    ),
    "130": Meaning(
        "MMS media type not supported",
        "Attachment type is not accepted.",
        "permanent",
    ),
    "140": Meaning(
        "MMS media processing failed",
        "Plivo could not fetch or process the attachment.",
        "unknown",
    ),
    "200": Meaning(
        "Recipient opted out (STOP/DND)",
        "This sender is blocked for this recipient because the recipient replied with an "
        "opt-out word; lifts on opt-in.",
        "permanent",
    ),
    "201": Meaning(
        "US toll-free to Canada blocked",
        "A US toll-free sender is not allowed to text Canadian numbers (older rule).",
        "permanent",
    ),
    "300": Meaning(
        "Failed to dispatch message",
        "Plivo could not hand the message to any carrier.",
        "transient",
    ),
    "310": Meaning(
        "WhatsApp sender/account problem",
        "WhatsApp only: a problem with the sender or its account.",
        "unknown",
    ),
    "380": Meaning(
        "WhatsApp 24 h window closed",
        "WhatsApp only; free-form message outside the customer-service window.",
        "permanent",
    ),
    "420": Meaning(
        "Message expired",
        "Message sat in Plivo's queue longer than its message_expiry (default 3 h) and was "
        "dropped, not charged.",
        "transient",
    ),
    "450": Meaning(
        "Destination country barred",
        "Destination country is off in the account's SMS Geo Permissions; newer sends are "
        "refused synchronously with HTTP 403.",
        "permanent",
    ),
    "451": Meaning(
        "Messages-per-hour threshold exceeded",
        "The hourly cap set for that country in Geo Permissions was passed.",
        "transient",
    ),
    "452": Meaning(
        "Blocked as possible SMS pumping",
        "Fraud Shield suspected artificially inflated traffic.",
        "unknown",
    ),
    "900": Meaning(
        "Insufficient credit",
        "Account balance ran out; new sends are also refused for about 2 minutes; fixed by "
        "a top-up.",
        "transient",
    ),
    "910": Meaning(
        "Account disabled",
        "Account was suspended or closed.",
        "permanent",
    ),
    "960": Meaning(
        "Toll-free sending limit exceeded",
        "Toll-free number went past its daily/unverified cap.",
        "transient",
    ),
    "1000": Meaning(
        "Unknown error",
        "Carrier or Plivo gave no usable reason.",
        "unknown",
    ),
    "2403": Meaning(
        "Callback answered HTTP 403 (inbound messages)",
        "Seen on inbound messages whose callback was answered with 403.",
        "unknown",
    ),
}


def explain(code: str) -> Explanation:
    """What `code` means; an unknown one is explained as unknown."""
    meaning = MEANINGS.get(code, UNKNOWN)
    return Explanation(
        code=code, reason=meaning.reason, meaning=meaning.meaning, retry=meaning.retry
    )
