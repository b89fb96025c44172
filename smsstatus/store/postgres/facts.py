"""Where a message went and what it cost, as SQL; the same in any order of arrival.

Each update says a network and a country together, and of those that differ the least stands: so a
network beats none. Units and amount are those of the update with the greatest rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...plivo.countries import country_of
from ..rules import UNKNOWN, place_key, price_key

COLUMNS = ("network", "country", "told_rank", "units", "amount")

GIVEN = 'place text COLLATE "C", price integer[]'
"""The columns of json_to_recordset for what `told` gives."""

FOLDED = "min(place) OVER of_message AS least_place, max(price) OVER of_message AS greatest_price"


def values(place: str, price: str) -> str:
    """COLUMNS, of a place and a price."""
    return f"""NULLIF(split_part({place}, ' ', 1), '{UNKNOWN}'),
        NULLIF(split_part({place}, ' ', 2), '{UNKNOWN}'),
        {price}[1], NULLIF({price}[3], -1), NULLIF({price}[2], -1)"""


def told(
    network: str | None, number: str | None, units: int | None, amount: int | None, rank: int
) -> dict[str, Any]:
    """What one update says, for JSON: see GIVEN."""
    country = country_of(network, number)
    price = [rank, -1 if amount is None else amount, -1 if units is None else units]
    return {
        "place": f"{network or UNKNOWN} {country or UNKNOWN}" if network or country else None,
        "price": None if units is None and amount is None else price,
    }


def least(said: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What stands of several that were `told`."""
    places, prices = zip(*[each.values() for each in said], strict=True)
    return {
        "place": min(filter(None, places), default=None),
        "price": max(filter(None, prices), default=None),
    }


def kept(new: str) -> str:
    """The assignments of an UPDATE of messages `m`: what stands of its row and a `new` one."""
    is_less = f"{place_key(new)} < {place_key('m')}"
    is_greater = f"{price_key(new)} > {price_key('m')}"
    conditions = dict.fromkeys(COLUMNS[:2], is_less) | dict.fromkeys(COLUMNS[2:], is_greater)
    return ", ".join(
        [
            f"{column} = CASE WHEN {condition} THEN {new}.{column} ELSE m.{column} END"
            for column, condition in conditions.items()
        ]
    )
