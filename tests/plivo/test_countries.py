"""Where a message went, by its network, else by its recipient's number."""

from __future__ import annotations

import pytest

from smsstatus.plivo.countries import country_name, country_of, network_name, network_of


@pytest.mark.parametrize("mcc", range(310, 317))
def test_the_united_states_have_seven_codes(mcc: int) -> None:
    assert country_of(f"{mcc}-1", None) == "US"


@pytest.mark.parametrize(
    ("network", "number", "country"),
    [
        ("405-803", "14155550100", "IN"),  # the network's, whatever number was ported there
        ("234", None, "GB"),
        ("901-01", "+447911123456", "GB"),  # an international network is in no country
        (None, "+14155550100", "US"),
        (None, "14165550100", "CA"),
        (None, "18765550100", "JM"),
        (None, "77015550100", "KZ"),
        (None, "79165550100", "RU"),
        (None, "390612345678", "IT"),
        (None, "12345", None),  # a short code
        (None, "PLIVO", None),
        (None, None, None),
    ],
)
def test_a_country_is_the_networks_else_the_numbers(
    network: str | None, number: str | None, country: str | None
) -> None:
    assert country_of(network, number) == country


@pytest.mark.parametrize(
    ("mcc", "mnc", "network"),
    [
        ("310", "260", "310-260"),
        (" 234 ", "010", "234-010"),
        ("234", "", "234"),
        ("234", "x", "234"),
        ("000", "000", None),
        ("", "01", None),
        ("31", "26", None),
        ("٣١٠", "260", None),
    ],
)
def test_a_network_is_made_of_codes_alone(mcc: str, mnc: str, network: str | None) -> None:
    assert network_of(mcc, mnc) == network


def test_names_are_those_of_the_table_else_the_codes() -> None:
    assert (country_name("US"), country_name("ZZ")) == ("United States", "ZZ")
    assert network_name("310-260") == "T-Mobile (310-260)"
    assert network_name("234-010") == network_name("234-10").replace("-10", "-010")
    assert network_name("310-999") == "310-999"
    assert network_name("310") == "310"
