"""From a query's text to what the store is asked for. Pure.

The API, the pages and the commands read the same parameters by these rules. What is wrong with one
is a `Fault`; each caller has its own words for it.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from .model import timestamp, utc_timestamp
from .notation import is_uuid
from .store.contract import GROUPS, NO_COUNTRY, Filters, Message, Position, Store

FILTERS = (
    "status",
    "to",
    "from",
    "error_code",
    "reference",
    "country",
    "network",
    "since",
    "until",
)
"""The parameters that `Query.filters` reads."""
MAX_LIMIT = 200
DEFAULT_LIMIT = 50
MAX_WAIT = 25
"""Seconds; most proxies cut a connection that is silent for 30."""
STATS_WINDOW = timedelta(hours=24)
FEWEST_DIGITS = 4
"""An ending of a number that is shorter would let through half of them."""

STATUS_PATTERN = r"^[A-Za-z][A-Za-z0-9 _-]{0,40}$"
TEXT_PATTERN = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""What a callback's field can hold once stored: anything but blanks alone, and no NUL."""
REFERENCE_PATTERN = r"^[^\x00]*=[^\x00]*$"
COUNTRY_PATTERN = rf"^([A-Za-z]{{2}}|{NO_COUNTRY})$"
NETWORK_PATTERN = r"^[0-9]{3}(-[0-9]{1,3})?$"
GROUPS_PATTERN = rf"^({'|'.join(GROUPS)})(,({'|'.join(GROUPS)}))?$"
TIME_PATTERN = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
    r"(Z|[+-][01][0-9]:[0-5][0-9])?)?$"
)


class Fault(Enum):
    """What is wrong with a parameter."""

    UNKNOWN = auto()
    REPEATED = auto()
    NO_STATUS = auto()
    NO_TEXT = auto()
    NO_ENDING = auto()
    NO_REFERENCE = auto()
    NO_COUNTRY = auto()
    NO_NETWORK = auto()
    NO_GROUPS = auto()
    NO_TIME = auto()
    LATER_THAN_UNTIL = auto()
    NO_LIMIT = auto()
    NO_FLAG = auto()
    NO_CURSOR = auto()
    NO_WAIT = auto()


class Query:
    """Parameters, each with its values, and in `faults` what was wrong with those read so far.

    A parameter that is not given, or is faulty, is read as None or as its default.
    """

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        self.faults: dict[str, Fault] = {}
        self._given = given

    def refuse_others(self, *known: str) -> None:
        """A misspelt filter must not list everything."""
        for name, values in self._given.items():
            if name not in known:
                self._note(name[:40], Fault.UNKNOWN)
            elif len(values) > 1 and name != "status":
                self._note(name, Fault.REPEATED)

    def filters(self) -> Filters:
        """What FILTERS say. A text may start with the blank that curl makes of a number's +."""
        since, until = self.window()
        return Filters(
            statuses=self._statuses(),
            recipient=self._text("to"),
            sender=self._text("from"),
            error_code=self._text("error_code"),
            reference=self._matching("reference", REFERENCE_PATTERN, Fault.NO_REFERENCE),
            country=self._country(),
            network=self._matching("network", NETWORK_PATTERN, Fault.NO_NETWORK),
            since=since,
            until=until,
        )

    def filters_by_ending(self) -> Filters:
        """The same for a person: a recipient's number is its ending, in whatever way it is written.

        At least FEWEST_DIGITS. Anything else that a recipient can be is taken as it stands.
        """
        filters = self.filters()
        digits = re.sub(r"[\s().+-]", "", filters.recipient or "")
        if not (digits.isascii() and digits.isdecimal()):
            return filters
        if len(digits) < FEWEST_DIGITS:
            self._note("to", Fault.NO_ENDING)
        return replace(filters, recipient=None, recipient_ending=digits)

    def window(self) -> tuple[str | None, str | None]:
        """`since` and `until`; two that were exchanged would find nothing, and not say why."""
        since, until = self._time("since"), self._time("until")
        if since and until and since > until:
            self._note("since", Fault.LATER_THAN_UNTIL)
        return since, until

    def stats_window(self, now: datetime) -> tuple[str, str]:
        """The same with defaults: until now, since STATS_WINDOW before that."""
        since, until = self.window()
        until = until or timestamp(now)
        return since or _before(until, STATS_WINDOW), until

    def groups(self) -> tuple[str, ...]:
        """`group_by`: one or two of GROUPS; empty if it is not given."""
        text = self._matching("group_by", GROUPS_PATTERN, Fault.NO_GROUPS)
        groups = tuple(text.split(",")) if text else ()
        if len(set(groups)) < len(groups):
            self._note("group_by", Fault.NO_GROUPS)
        return groups

    def limit(self) -> int:
        """How many messages to list: 1 to MAX_LIMIT."""
        text = self._matching("limit", "[0-9]{1,3}", Fault.NO_LIMIT)
        limit = DEFAULT_LIMIT if text is None else int(text)
        if not 1 <= limit <= MAX_LIMIT:
            self._note("limit", Fault.NO_LIMIT)
        return limit

    def flag(self, name: str) -> bool:
        """Is it 1, and not 0?"""
        return self._matching(name, "[01]", Fault.NO_FLAG) == "1"

    def wait(self) -> int:
        """How many seconds to wait for something: 0 to MAX_WAIT."""
        text = self._matching("wait", "[0-9]{1,3}", Fault.NO_WAIT)
        seconds = 0 if text is None else int(text)
        if seconds > MAX_WAIT:
            self._note("wait", Fault.NO_WAIT)
        return seconds

    def place(self) -> str | None:
        """`after`, a cursor of the store's own, which only the store can read."""
        return self._first("after")

    def cursor(self) -> Position | None:
        """Where an earlier answer says that the next page starts."""
        text = self._first("cursor")
        try:
            return None if text is None else decode_cursor(text)
        except ValueError:
            self._note("cursor", Fault.NO_CURSOR)
            return None

    def _statuses(self) -> tuple[str, ...]:
        words = self._given.get("status", ())
        if not all(re.fullmatch(STATUS_PATTERN, word) for word in words):
            self._note("status", Fault.NO_STATUS)
        return tuple(word.lower() for word in words)

    def _text(self, name: str) -> str | None:
        """Whatever can be stored can be asked for."""
        text = self._matching(name, TEXT_PATTERN, Fault.NO_TEXT)
        return text.strip() if text else None

    def _country(self) -> str | None:
        text = self._matching("country", COUNTRY_PATTERN, Fault.NO_COUNTRY)
        return text if text is None or text == NO_COUNTRY else text.upper()

    def _time(self, name: str) -> str | None:
        text = self._matching(name, TIME_PATTERN, Fault.NO_TIME)
        time = utc_timestamp(text) if text else None
        if time == "":  # no such day
            self._note(name, Fault.NO_TIME)
        return time or None

    def _matching(self, name: str, pattern: str, fault: Fault) -> str | None:
        text = self._first(name)
        if text is None or re.fullmatch(pattern, text):
            return text
        self._note(name, fault)
        return None

    def _first(self, name: str) -> str | None:
        values = self._given.get(name)
        return values[0] if values else None

    def _note(self, name: str, fault: Fault) -> None:
        self.faults.setdefault(name, fault)


def encode_cursor(position: Position) -> str:
    """A listing's position as one opaque word."""
    text = json.dumps([position.created_at, position.id])
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Position:
    """Raises ValueError unless `encode_cursor` made it."""
    decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    made = re.fullmatch(r'\["([0-9TZ:.-]{27})", ([1-9][0-9]{0,17})\]', decoded, re.ASCII)
    position = Position(made[1], int(made[2])) if made else None
    if (
        position is None
        or encode_cursor(position) != text
        or utc_timestamp(position.created_at) != position.created_at
    ):
        raise ValueError("not a cursor")
    return position


def _before(time: str, span: timedelta) -> str:
    try:
        return timestamp(datetime.fromisoformat(time) - span)
    except OverflowError:
        return utc_timestamp("0001-01-01")


def find_message(store: Store, typed: str) -> Message | None:
    """The message with this id; somebody may have typed a UUID in capitals.

    Raises StoreUnavailable.
    """
    message = store.find(typed)
    return store.find(typed.lower()) if message is None and is_uuid(typed) else message
