"""Which country and network a message went to, by what Plivo says of it. Pure.

A network is its MCC and MNC, `310-260`. Of countries that share a code the largest stands for all.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .country_table import COUNTRIES, NETWORKS

_ROWS = [line.split("|") for line in COUNTRIES.strip().splitlines()]
_NAMES = {head[:2]: head[3:] for head, _, _ in _ROWS}
_BY_MCC = {mcc: head[:2] for head, mccs, _ in _ROWS for mcc in mccs.split()}
_BY_CALLING_CODE = {code: head[:2] for head, _, codes in _ROWS for code in codes.split()}
_NETWORKS = {
    f"{mcc}-{mnc}": name
    for mcc, *entries in (line.split("|") for line in NETWORKS.strip().splitlines())
    for mnc, _, name in (entry.partition(" ") for entry in entries)
}

_CODE = re.compile(r"[0-9]{3}", re.ASCII)


def network_of(mcc: str, mnc: str) -> str | None:
    """`310-260`, or `310` where the MNC is not told; None if these are no codes."""
    mcc, mnc = mcc.strip(), mnc.strip()
    if not _CODE.fullmatch(mcc) or mcc == "000":
        return None
    return f"{mcc}-{mnc}" if re.fullmatch(r"[0-9]{1,3}", mnc, re.ASCII) else mcc


def country_of(network: str | None, number: str | None) -> str | None:
    """The ISO 3166 code of a network's country, else of a number's; None if neither says one."""
    if network is not None and network[:3] in _BY_MCC:
        return _BY_MCC[network[:3]]
    digits = (number or "").removeprefix("+")
    if not 8 <= len(digits) <= 15 or not (digits.isascii() and digits.isdecimal()):
        return None  # a short code, or a sender's name
    found = (_BY_CALLING_CODE.get(digits[:length]) for length in (4, 3, 2, 1))
    return next(filter(None, found), None)


def country_name(country: str) -> str:
    """In English; the code itself where it is not in the table."""
    return _NAMES.get(country, country)


@lru_cache(2048)
def network_name(network: str) -> str:
    """`T-Mobile (310-260)`, or the codes alone."""
    mcc, _, mnc = network.partition("-")
    spelt = (network, f"{mcc}-{mnc.removeprefix('0')}", f"{mcc}-0{mnc}")  # 010 is written, and 1
    name = next(filter(None, map(_NETWORKS.get, spelt)), None)
    return f"{name} ({network})" if name else network
