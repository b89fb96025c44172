"""What the tests of PostgreSQL stand on: a real server and a database for each."""

from __future__ import annotations

from ..postgres import ask


def test_each_test_has_an_empty_database_of_its_own(postgres: str) -> None:
    ask(postgres, "CREATE TABLE messages (a int)")
    assert ask(postgres, "SELECT count(*) FROM messages") == [(0,)]


def test_another_does_not_see_what_that_one_wrote(postgres: str) -> None:
    assert ask(postgres, "SELECT to_regclass('messages')") == [(None,)]
