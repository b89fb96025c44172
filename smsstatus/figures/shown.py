"""How figures look in JSON. Routes, pages and commands share these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..notation import dollars, number, percentile
from ..plivo.countries import country_name, network_name
from ..plivo.error_codes import explain
from ..store.contract import Group
from .rates import Rates
from .unusual import Share

TOP_ERRORS = 10


def stats_json(
    rates: Rates, errors: Mapping[str, int], delivered_in: Sequence[float]
) -> dict[str, Any]:
    """What was counted over a window. `errors`: messages by error code."""
    worst = sorted(errors.items(), key=lambda item: (-item[1], item[0]))[:TOP_ERRORS]
    return {
        "total": rates.messages,
        "counts": dict(sorted(rates.counts.items())),
        "final": rates.final,
        "seconds_to_deliver": _seconds_json(delivered_in),
        "top_errors": [{**explain(code), "count": count} for code, count in worst],
        **rates_json(rates),
    }


def rates_json(rates: Rates) -> dict[str, Any]:
    """Rates as the API shows them, each with the messages it rests on; None where it has none."""
    return {
        "delivered": rates.delivered,
        "failed": rates.failed,
        "no_report": rates.no_report,
        "headline": rates.headline,
        "delivery_rate": rates.delivery_rate,
        "delivery_rate_of": rates.known,
        "delivery_rate_reason": rates.reason,
        "failure_rate": rates.failure_rate,
        "failure_rate_of": rates.messages,
        "without_reports": sorted(country for country in rates.silent if country),
        "few_reports": sorted(country for country in rates.few if country),
        "units": rates.units if rates.is_cost_known else None,
        "amount": dollars(rates.amount) if rates.is_cost_known else None,
        "currency": "USD",
    }


def group_json(
    by: Sequence[str], group: Group, rates: Rates, delivered_in: Sequence[float]
) -> dict[str, Any]:
    """One group: the values it has in common, and its figures."""
    shown: dict[str, Any] = {}
    for name, value in zip(by, group, strict=True):
        shown[name] = number(value) if name == "sender" else value
        if name in _NAMES:
            shown[f"{name}_name"] = None if value is None else _NAMES[name](value)
    return {
        **shown,
        "total": rates.messages,
        "counts": dict(sorted(rates.counts.items())),
        "final": rates.final,
        **rates_json(rates),
        "seconds_to_deliver": _seconds_json(delivered_in),
    }


def share_json(share: Share) -> dict[str, Any]:
    """How many of the last hour's messages failed, beside what was usual."""
    return {
        "country": share.country,
        "country_name": country_name(share.country) if share.country else None,
        "failed": share.failed,
        "total": share.messages,
        "share": share.now,
        "usual": share.before,
        "explained": share.most,
    }


_NAMES: dict[str, Callable[[str], str]] = {"country": country_name, "network": network_name}


def _seconds_json(delivered_in: Sequence[float]) -> dict[str, Any]:
    return {
        "p50": percentile(delivered_in, 0.50),
        "p95": percentile(delivered_in, 0.95),
        "sample": len(delivered_in),
    }
