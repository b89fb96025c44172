"""Makes smsstatus/plivo/country_table.py: which codes are whose.

    python tools/make_countries.py MCC_MNC_LIST_JSON DATE

MCC_MNC_LIST_JSON is mcc-mnc-list.json of https://github.com/pbakondy/mcc-mnc-list (MIT), DATE the
day of its commit. Calling codes and names of countries are those of the package phonenumbers, which
must be installed: Google's libphonenumber (Apache 2.0).
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "smsstatus" / "plivo" / "country_table.py"
WIDTH = 98

ALSO = {"332": "VI", "406": "IN", "430": "AE", "431": "AE", "461": "CN", "535": "GU"}
"""Assigned by ITU-T E.212, though the list has no network there."""
LARGEST = {"340": "GP", "362": "CW", "505": "AU", "647": "RE"}
"""Of countries that share an MCC. Elsewhere it is the one with most networks."""
RENAMED = {
    "CD": "Congo (Kinshasa)",
    "CG": "Congo (Brazzaville)",
    "CZ": "Czechia",
    "MK": "North Macedonia",
    "SX": "Sint Maarten",
    "SZ": "Eswatini",
    "TR": "Türkiye",
}
"""Names that the package has as they were, or that are not to be told apart."""
KAZAKH = ("76", "77")
"""Calling codes that the package has no list of, as it has of those that begin with 1."""

HEAD = '''"""Made by tools/make_countries.py; not to be edited.

Sources: mobile country codes and networks from mcc-mnc-list of {date}
(https://github.com/pbakondy/mcc-mnc-list), calling codes and names of countries from
phonenumbers {version} (Google's libphonenumber).
"""

COUNTRIES = """
{countries}
"""
"""Code and name, mobile country codes, calling codes; a long row goes on in another one."""

NETWORKS = """
{networks}
"""
"""Mobile country code, then mobile network codes with the names of networks that are at work."""
'''


def main(source: str, date: str) -> None:
    import phonenumbers

    networks = json.loads(Path(source).read_text())
    TARGET.write_text(
        HEAD.format(
            date=date,
            version=phonenumbers.__version__,
            countries="\n".join(_countries(_mccs(networks), _calling_codes(), _names(networks))),
            networks="\n".join(_network_lines(networks)),
        )
    )


def _mccs(networks: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for network in networks:
        if network["type"] == "National" and network["countryCode"]:
            counted[network["mcc"]][network["countryCode"][:2]] += 1
    for mcc, country in ALSO.items():
        counted[mcc].setdefault(country, 1)
    found: dict[str, list[str]] = defaultdict(list)
    for mcc, countries in sorted(counted.items()):
        found[LARGEST.get(mcc) or countries.most_common(1)[0][0]].append(mcc)
    return found


def _calling_codes() -> dict[str, list[str]]:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    found: dict[str, list[str]] = defaultdict(list)
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        if regions[0].isalpha():
            found[regions[0]].append(str(code))
    found["KZ"] += KAZAKH
    for area in range(200, 1000):
        country = _country_of_area(area)
        if country not in ("US", None):
            found[country].append(f"1{area}")
    return found


def _country_of_area(area: int) -> Any:
    from phonenumbers import PhoneNumber, region_code_for_number

    numbers = [int(f"{area}{rest}") for rest in (2345678, 4567890, 5551234, 7012345, 9991234)]
    of_each = [region_code_for_number(PhoneNumber(1, number)) for number in numbers]
    return next(filter(None, of_each), None)


def _names(networks: Iterable[dict[str, Any]]) -> dict[str, str]:
    from phonenumbers.geodata.locale import LOCALE_DATA

    names = {n["countryCode"]: n["countryName"] for n in networks if n["countryCode"]}
    for country, by_language in LOCALE_DATA.items():
        name = by_language["en"]
        name = by_language[name[1:]] if name.startswith("*") else name
        names[country] = name.replace(" And ", " and ")
    return names | RENAMED


def _countries(
    mccs: dict[str, list[str]], calling_codes: dict[str, list[str]], names: dict[str, str]
) -> Iterator[str]:
    for country in sorted({*mccs, *calling_codes} & names.keys()):
        head = f"{country} {names[country]}"
        own = " ".join(mccs.get(country, []))
        codes = textwrap.wrap(" ".join(calling_codes.get(country, [])), WIDTH - len(head + own) - 2)
        for part in codes or [""]:
            yield f"{head}|{own}|{part}"
            own = ""


def _network_lines(networks: Iterable[dict[str, Any]]) -> Iterator[str]:
    named: dict[str, dict[str, str]] = defaultdict(dict)
    for network in networks:
        brand = (network["brand"] or "").strip()
        if network["status"] == "Operational" and network["mnc"] and brand:
            named[network["mcc"]].setdefault(network["mnc"], brand.replace("|", "/"))
    for mcc, names in sorted(named.items()):
        line = mcc
        for mnc, name in sorted(names.items()):
            entry = f"|{mnc} {name}"
            if len(line) + len(entry) > WIDTH:
                yield line
                line = mcc
            line += entry
        yield line


if __name__ == "__main__":
    main(*sys.argv[1:])
