"""The OpenAPI 3.1 description of the API: openapi.json, with version and address filled in."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ..version import VERSION

DOCUMENT = Path(__file__).with_name("openapi.json")


@cache
def rendered(base_url: str) -> bytes:
    """The document for the service at `base_url`, as JSON; made once, since anybody may ask."""
    description = json.loads(DOCUMENT.read_bytes())
    description["info"]["version"] = VERSION
    description["servers"] = [{"url": base_url}]
    return json.dumps(description).encode() + b"\n"
