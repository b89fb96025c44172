"""What the browser shows is waited for, by Playwright's own assertions."""

from __future__ import annotations

from typing import Any

PATIENCE = 60_000  # ms; a bound for a machine that is slow and busy


def expect(shown: Any) -> Any:
    """Playwright's, imported when one is made: each of pytest's processes would take a second."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect(shown)
