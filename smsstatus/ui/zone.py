"""The zone of a page's times: the browser's, which live.js names in a cookie; else UTC."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from flask import request

COOKIE = "zone"
RENAMED = {
    "Africa/Asmera": "Africa/Asmara",
    "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
    "America/Catamarca": "America/Argentina/Catamarca",
    "America/Coral_Harbour": "America/Atikokan",
    "America/Cordoba": "America/Argentina/Cordoba",
    "America/Godthab": "America/Nuuk",
    "America/Indianapolis": "America/Indiana/Indianapolis",
    "America/Jujuy": "America/Argentina/Jujuy",
    "America/Louisville": "America/Kentucky/Louisville",
    "America/Mendoza": "America/Argentina/Mendoza",
    "Asia/Calcutta": "Asia/Kolkata",
    "Asia/Katmandu": "Asia/Kathmandu",
    "Asia/Rangoon": "Asia/Yangon",
    "Asia/Saigon": "Asia/Ho_Chi_Minh",
    "Atlantic/Faeroe": "Atlantic/Faroe",
    "Europe/Kiev": "Europe/Kyiv",
    "Pacific/Enderbury": "Pacific/Kanton",
    "Pacific/Ponape": "Pacific/Pohnpei",
    "Pacific/Truk": "Pacific/Chuuk",
}
"""What Chromium's Intl.supportedValuesOf("timeZone") has that IANA's zone.tab has not, and which of
zone.tab each is by IANA's `backward` links. CLDR keeps such names, and so browsers do; Debian and
Ubuntu have them in tzdata-legacy, which is not there unless somebody asked for it.
"""
_NAME = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,3}")


def current() -> tzinfo:
    """That of whoever asked for this page."""
    return zone_of(request.cookies.get(COOKIE, ""))


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name, such as Europe/Berlin; UTC where it is not known here."""
    if name == "UTC" or not _NAME.fullmatch(name):
        return UTC
    for known in filter(None, (name, RENAMED.get(name))):
        with suppress(KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
            return ZoneInfo(known)
    return UTC


def absolute(text: str, zone: tzinfo, *, is_end: bool = False) -> str:
    """A time that names no zone is one of this zone; anything else is left as it stands.

    Where clocks are turned one can mean two moments: the earlier one, or as an end the later one,
    so that nothing is left out.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo:
        return text
    meant = [moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    earlier_first = sorted(meant, key=lambda one: -(one.utcoffset() or timedelta()))
    try:
        return earlier_first[is_end].astimezone(UTC).isoformat()
    except OverflowError:  # where time ends
        return text


def local(timestamp: str, zone: tzinfo) -> str:
    """A timestamp as an input of type datetime-local wants it, in this zone.

    In UTC where it would be before the year 1 there, or after 9999.
    """
    moment = datetime.fromisoformat(timestamp)
    with suppress(OverflowError):
        moment = moment.astimezone(zone)
    moment = moment.replace(tzinfo=None)
    whole = moment.second == 0 and moment.microsecond == 0
    return moment.isoformat(timespec="minutes" if whole else "seconds")
