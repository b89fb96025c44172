"""This program's version. `pyproject.toml` and `/openapi.json` have it from here."""

VERSION = "1.0.0"
