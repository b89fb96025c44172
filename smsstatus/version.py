"""This program's version. The package, `--version` and `/openapi.json` have it from here."""

VERSION = "2.0.0"
