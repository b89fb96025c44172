"""Files that are at the top of the repository, and in the package where it is installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent

INSTALLED = _PACKAGE.joinpath("schema.sql").is_file()
"""Is this an installed package, and not a checkout? A build puts the files into the package."""

_TOP = _PACKAGE if INSTALLED else _PACKAGE.parent

SCHEMA = _TOP / "schema.sql"
GUNICORN_CONF = _TOP / "gunicorn.conf.py"

DOTENV = (Path.cwd() if INSTALLED else _TOP) / ".env"
"""The only one that is read: one in a folder above belongs to another project."""
