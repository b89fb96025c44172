"""How what Plivo and senders wrote is shown."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsstatus.notation import form_json, form_pairs

forms = st.text(alphabet="ab=&+%32A:F é;", max_size=60)


@given(forms)
def test_a_form_is_read_as_the_standard_library_reads_it(form: str) -> None:
    assert form_pairs(form) == parse_qsl(form, keep_blank_values=True)


@pytest.mark.parametrize(
    "form",
    [
        "MessageTime=2026-11-01+12%3A00%3A00&Status=delivered",
        "To=%2B14155550100&MessageTime=2026-11-01+12%3A00%3A00",
        "%3A=%253A&%3=%3a&a=b=c&=&&a",
    ],
)
def test_colons_and_what_else_is_escaped_are_decoded(form: str) -> None:
    assert form_pairs(form) == parse_qsl(form, keep_blank_values=True)


def test_a_name_that_comes_several_times_has_a_list() -> None:
    assert form_json("order=42&tag=a&tag=b&note=") == {
        "order": "42",
        "tag": ["a", "b"],
        "note": "",
    }


@pytest.mark.parametrize("nothing", [None, "", "&"])
def test_a_form_without_fields_is_nothing(nothing: str | None) -> None:
    assert form_json(nothing) is None
