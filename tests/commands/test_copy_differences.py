"""`copy`: what the two databases do not have alike is said, and what is no difference is not."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.store.contract import Outcome

from ..store.conftest import write
from ..store.sqlite.test_filling_in import make_former
from ..store.updates import THEIRS, at, second, update_of
from .copying import change, copy, opened


def fill(url: str, messages: int) -> None:
    with closing(opened(url)) as store:
        store.prepare()
        write(
            store,
            [
                update_of(at(word, MessageUUID=f"m-{number:02}", To="14155550123"), second(number))
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


@pytest.mark.parametrize("urls", [("sqlite", "postgres")], indirect=True, ids="-".join)
def test_what_the_target_cannot_hold_is_left_out_and_named_and_the_others_are_copied(
    urls: tuple[str, str],
) -> None:
    """Version 1.0 kept numbers of any length."""
    fill(urls[0], 15)
    number = "hex(randomblob(3000))"  # which cannot be packed into what an index takes
    change(
        urls[0],
        f"UPDATE messages SET sender_number = {number} WHERE message_uuid IN ('m-03', 'm-11')",
    )
    for _ in range(2):
        done = copy(*urls)
        assert done.exit_code == 1
        assert "13 messages, 26 events: the same in both, digest " in done.output
        says = "Left out, as the target refuses them (ProgramLimitExceeded 54000: index row size "
        assert says in done.output
        assert "): m-03, m-11. " in done.output
    facts = json.loads(copy(*urls, "--json").output)
    assert (facts["same"], facts["different"], facts["left_out"]) == (False, 0, 2)
    assert (facts["source_messages"], facts["target_messages"]) == (15, 13)


def test_what_the_target_cannot_read_is_named_and_not_to_be_copied_again(
    urls: tuple[str, str],
) -> None:
    fill(urls[0], 15)
    assert copy(*urls).exit_code == 0
    but_three = "(SELECT id FROM messages WHERE message_uuid NOT IN ('m-02', 'm-05', 'm-14'))"
    change(urls[1], f"UPDATE status_events SET parameters = x'ff' WHERE message_id IN {but_three}")
    done = copy(*urls)
    assert done.exit_code == 1
    assert "3 messages, 6 events: the same in both, digest " in done.output
    assert "run it again" not in done.output
    named = ", ".join([f"m-{number:02}" for number in (0, 1, 3, 4, 6, 7, 8, 9, 10, 11)])
    assert f" Damaged in the target, where only you can fix them: {named} and 2" in done.output
    facts = json.loads(copy(*urls, "--json").output)
    assert (facts["same"], facts["different"], facts["damaged_in_target"]) == (False, 0, 12)


def test_what_the_target_learned_since_is_no_difference(urls: tuple[str, str]) -> None:
    """Plivo's retry of a callback goes to the service's new address, and so does `reconcile`."""
    fill(urls[0], 4)
    assert copy(*urls).exit_code == 0
    with closing(opened(urls[1])) as target:
        again = update_of(at("sent", MessageUUID="m-01", To="14155550123"), second(60))
        assert target.record(again) is Outcome.DUPLICATE
        target.note_check("m-02", second(90))
        earlier = update_of(at("sent", MessageUUID="m-03", To="14155550123"), second(2))._replace(
            source="replay"
        )
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
        target.record(update_of(at(came, MessageUUID="m-01", To="14155550123"), second(60)))
    change(urls[1], statement)
    done = copy(*urls)
    assert done.exit_code == 1
    assert " differ. Do callbacks come?" in done.output


@pytest.mark.parametrize("name", ["sender_number", "recipient_number", "message_body", "reference"])
def test_what_a_message_has_lost_in_the_target_is_written_again(
    urls: tuple[str, str], name: str
) -> None:
    said = {"From": "14155550101", "To": "14155550123", "Body": "the text", "?": "order=42"}
    with closing(opened(urls[0])) as source:
        source.prepare()
        write(source, [update_of(at(word, MessageUUID="m", **said)) for word in ("queued", "sent")])
    assert copy(*urls).exit_code == 0
    if name == "reference" and "postgres" not in urls[1]:
        change(urls[1], "DELETE FROM message_references")
    else:
        change(urls[1], f"UPDATE messages SET {name} = NULL")
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    with closing(opened(urls[0])) as source, closing(opened(urls[1])) as target:
        assert target.find("m") == source.find("m")


def test_what_the_senders_own_query_says_is_no_word_of_plivos(urls: tuple[str, str]) -> None:
    """Also where the message is found by another one, which its query begins with."""
    went = {"To": "14155550123", "Units": "1", "TotalAmount": "0.005"}
    told = [
        update_of(at("queued", MessageUUID="m", **went, **{"?": THEIRS}), second(1)),
        update_of(at("sent", MessageUUID="m", **went, **{"?": "order=2"}), second(2)),
    ]
    with closing(opened(urls[0])) as source:
        source.prepare()
        write(source, told)
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    for url in urls:
        with closing(opened(url)) as store:
            found = store.find("m")
            assert found is not None
            assert (found.network, found.country, found.units) == (None, "US", 1)
            assert (found.amount, found.reference) == (5000, "order=2")


def test_where_a_message_went_and_its_cost_are_compared(urls: tuple[str, str]) -> None:
    fill(urls[0], 5)
    assert copy(*urls).exit_code == 0
    table, key = ("messages", "id") if "postgres" in urls[1] else ("message_facts", "message_id")
    facts = ("network = '262-01'", "country = 'DE'", "units = 9", "amount = 9")
    for number, fact in enumerate(facts):
        whose = f"(SELECT id FROM messages WHERE message_uuid = 'm-{number:02}')"
        change(urls[1], f"UPDATE {table} SET {fact} WHERE {key} = {whose}")
    done = copy(*urls)
    assert done.exit_code == 1
    assert "5 messages, 10 events: 4 differ." in done.output


def test_where_messages_went_is_read_first_in_a_file_of_an_earlier_version(
    urls: tuple[str, str],
) -> None:
    fill(urls[0], 3)
    assert copy(*urls).exit_code == 0
    for url in urls:
        if url.startswith("sqlite"):
            make_former(Path(url.removeprefix("sqlite:///")))
    done = copy(*urls)
    assert done.exit_code == 0, done.output
    assert "3 messages, 6 events: the same in both" in done.output
