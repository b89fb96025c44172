"""What PostgreSQL's errors mean, in words that tell no secret: psycopg can quote a whole URL."""

from __future__ import annotations

import psycopg

ROW_FAILURES = (psycopg.DataError, psycopg.IntegrityError)
"""A job's own fault. All else is the store's: a right that is missing, a table, a pooler."""

_UNPREPARED = ("42P05", "26000")

_PASSING = (
    *_UNPREPARED,
    "57P01",  # the server was restarted, or the connection ended by somebody
    "57P05",  # nobody had spoken for the server's idle_session_timeout
    "08P01",  # a pooler has ended the connection, which nobody used, or lost the server's
    "0A000",  # a prepared statement of before a migration
    "25006",  # the server has become a standby: another one is the primary now
    "40001",
    "40P01",  # a deadlock, which ended the other's wait
)


def is_unprepared(error: psycopg.Error) -> bool:
    """Has a pooler given the next transaction to another server, which knows other prepared
    statements?

    With 08P01 the server refuses one of that name, of other parameters. What a pooler calls so ends
    the connection, and says nothing of that.
    """
    if error.sqlstate == "08P01":
        return error.diag.severity_nonlocalized == "ERROR"
    return error.sqlstate in _UNPREPARED


def is_passing(error: psycopg.Error) -> bool:
    """Can the same statement succeed at once, on a new connection?

    Without an SQLSTATE the connection broke: the server ended while nobody spoke with it.
    """
    return error.sqlstate is None or error.sqlstate in _PASSING


def describe(error: psycopg.Error) -> str:
    """What failed, in one line. What a row's fault quotes are values of a callback: left out."""
    name = type(error).__name__
    if error.sqlstate is not None:
        says = "" if isinstance(error, ROW_FAILURES) else f": {error.diag.message_primary or error}"
        return f"{name} {error.sqlstate}{says}"
    if isinstance(error, psycopg.OperationalError):
        return f"{name}: {' '.join(str(error).split())}"
    return name  # psycopg's own, of what it was given: it can quote the URL
