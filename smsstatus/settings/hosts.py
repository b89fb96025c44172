"""What hosts tell a program about itself, in variables of their own; pure."""

from __future__ import annotations

from collections.abc import Mapping

_ADDRESSES = {
    "RENDER_EXTERNAL_URL": "{}",  # https://render.com/docs/environment-variables
    "RAILWAY_PUBLIC_DOMAIN": "https://{}",  # https://docs.railway.com/variables/reference
    "FLY_APP_NAME": "https://{}.fly.dev",  # https://fly.io/docs/machines/runtime-environment
    # Only with runtime-dyno-metadata: https://devcenter.heroku.com/articles/dyno-metadata
    "HEROKU_APP_DEFAULT_DOMAIN_NAME": "https://{}",
}


def public_address(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The address under which the host serves this program, and the variable that tells it."""
    for name, address in _ADDRESSES.items():
        if value := environ.get(name, "").strip():
            return address.format(value), name
    return None
