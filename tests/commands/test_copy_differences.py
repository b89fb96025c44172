"""`copy`: what the two databases do not have alike is said, and what is no difference is not."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from smsstatus.store.contract import Outcome

from ..store.conftest import write
from ..store.updates import at, second, update_of
from .copying import change, copy, opened


def fill(url: str, messages: int) -> None:
    with closing(opened(url)) as store:
        store.prepare()
        write(
            store,
            [
                update_of(at(word, MessageUUID=f"m-{number:02}"), second(number))
                for number in range(messages)
                for word in ("queued", "sent")
            ],
        )


@pytest.mark.parametrize(
    "damage",
    ["UPDATE status_events SET parameters = x'ff'", "DELETE FROM status_events"],
    ids=["unreadable", "without-events"],
)
def test_messages_that_cannot_be_copied_are_passed_over_and_named(
    urls: tuple[str, str], damage: str
) -> None:
    fill(urls[0], 15)
    of_twelve = "(SELECT id FROM messages WHERE message_uuid NOT IN ('m-02', 'm-05', 'm-14'))"
    change(urls[0], f"{damage} WHERE message_id IN {of_twelve}")
    done = copy(*urls)
    assert done.exit_code == 1
    assert "3 messages, 6 events: the same in both, digest " in done.output
    named = ", ".join([f"m-{number:02}" for number in (0, 1, 3, 4, 6, 7, 8, 9, 10, 11)])
    assert f" Left out, as their events are missing or damaged: {named} and 2 more." in done.output
    facts = json.loads(copy(*urls, "--json").output)
    assert (facts["same"], facts["different"], facts["left_out"]) == (False, 0, 12)
    with closing(opened(urls[1])) as target:
        assert all(target.find(name) is not None for name in ("m-02", "m-05", "m-14"))


def test_what_the_target_cannot_read_differs(urls: tuple[str, str]) -> None:
    fill(urls[0], 4)
    assert copy(*urls).exit_code == 0
    whose = "(SELECT id FROM messages WHERE message_uuid = 'm-03')"
    change(urls[1], f"UPDATE status_events SET parameters = x'ff' WHERE message_id = {whose}")
    done = copy(*urls)
    assert done.exit_code == 1
    assert "4 messages, 8 events: 1 differ." in done.output


def test_what_the_target_learned_since_is_no_difference(urls: tuple[str, str]) -> None:
    """Plivo's retry of a callback goes to the service's new address, and so does `reconcile`."""
    fill(urls[0], 4)
    assert copy(*urls).exit_code == 0
    with closing(opened(urls[1])) as target:
        again = update_of(at("sent", MessageUUID="m-01"), second(60))
        assert target.record(again) is Outcome.DUPLICATE
        target.note_check("m-02", second(90))
        earlier = update_of(at("sent", MessageUUID="m-03"), second(2))._replace(source="replay")
        assert target.record(earlier) is Outcome.DUPLICATE
    for _ in range(2):
        done = copy(*urls)
        assert done.exit_code == 0, done.output
        assert "of 3 messages the target knows more by now: the same in both" in done.output


OF_IT = "message_id = (SELECT id FROM messages WHERE message_uuid = 'm-01')"


@pytest.mark.parametrize(
    ("came", "statement"),
    [
        ("sent", "UPDATE messages SET current_status = 'lost' WHERE message_uuid = 'm-01'"),
        ("sent", f"UPDATE status_events SET sequence = 7 WHERE {OF_IT}"),
        ("read", f"UPDATE status_events SET sequence = 7 WHERE {OF_IT}"),
    ],
)
def test_what_was_changed_there_differs_although_the_target_knows_more(
    urls: tuple[str, str], came: str, statement: str
) -> None:
    fill(urls[0], 2)
    assert copy(*urls).exit_code == 0
    with closing(opened(urls[1])) as target:
        target.record(update_of(at(came, MessageUUID="m-01"), second(60)))
    change(urls[1], statement)
    done = copy(*urls)
    assert done.exit_code == 1
    assert " differ. Do callbacks come?" in done.output
