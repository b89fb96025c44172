"""The table of Plivo's error codes is whole, and says of each whether sending again can help."""

from __future__ import annotations

import pytest

from smsstatus.plivo.error_codes import MEANINGS, UNKNOWN, explain

DOCUMENTED = (
    *("10", "20", "30", "40", "50", "60", "70", "80", "90", "100", "110", "120", "130", "140"),
    *("200", "201", "300", "420", "450", "451", "452", "900", "910", "960", "1000"),
)


@pytest.mark.parametrize("code", DOCUMENTED)
def test_each_documented_code_is_in_it(code: str) -> None:
    assert code in MEANINGS


@pytest.mark.parametrize("code", MEANINGS)
def test_each_code_has_words_and_one_of_three_judgements(code: str) -> None:
    explanation = explain(code)
    assert explanation["code"] == code
    assert code.isdecimal()
    assert 0 < len(explanation["reason"]) <= 50
    assert explanation["meaning"].endswith(".")
    assert explanation["retry"] in ("permanent", "transient", "unknown")


@pytest.mark.parametrize(
    ("code", "retry"),
    [
        ("50", "permanent"),
        ("70", "permanent"),
        ("200", "permanent"),
        ("30", "permanent"),
        ("20", "transient"),
        ("80", "transient"),
        ("420", "transient"),
        ("1000", "unknown"),
    ],
)
def test_what_a_retry_can_do(code: str, retry: str) -> None:
    assert explain(code)["retry"] == retry


@pytest.mark.parametrize("code", ["9999", "abc", "030", " 30", "", "\u0663\u0660"])
def test_an_unknown_code_is_explained_as_unknown(code: str) -> None:
    explanation = explain(code)
    assert explanation["code"] == code
    assert explanation["reason"] == UNKNOWN.reason
    assert explanation["retry"] == "unknown"
