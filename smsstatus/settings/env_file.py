"""The `.env` file: read into the environment, before the settings are read from that."""

from __future__ import annotations

import os
from pathlib import Path

import dotenv

from ..paths import DOTENV
from .variables import SettingsError


def read_dotenv() -> None:
    """Read `.env` into the environment, except for variables that are already there.

    Raises SettingsError.
    """
    _forget_other_folders()
    try:
        dotenv.load_dotenv(DOTENV)
    except ValueError:  # not UTF-8, or with zero bytes, as UTF-16 without a mark looks
        raise SettingsError(
            f"{DOTENV} is not UTF-8, but UTF-16 or Latin-1 perhaps: save it as UTF-8"
        ) from None
    except OSError as error:
        raise SettingsError(f"{DOTENV} cannot be read: {error.strerror}") from None


def _forget_other_folders() -> None:
    """The flask command has by now read the nearest `.env` upwards: undo that.

    Linux's /proc shows what the process was started with; where that cannot be read, what flask has
    read stays.
    """
    skipped = os.environ.get("FLASK_SKIP_DOTENV", "").lower() not in ("", "0", "false", "no")
    if "FLASK_RUN_FROM_CLI" not in os.environ or skipped:
        return
    try:
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return
    names = {line.partition(b"=")[0] for line in given}
    for name in (".flaskenv", ".env"):
        found = dotenv.find_dotenv(name, usecwd=True)
        if not found or Path(found).parent.samefile(DOTENV.parent):
            continue
        for key, value in dotenv.dotenv_values(found, encoding="utf-8").items():
            if os.fsencode(key) not in names and os.environ.get(key) == value:
                del os.environ[key]
