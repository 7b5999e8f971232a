"""The chain of the audit: every way to change what was written is found, at the first entry that is wrong."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chargehand.domain.audit import (
    BEFORE_THE_FIRST,
    Action,
    AuditEntry,
    Chain,
    Head,
    entry_of,
)
from chargehand.errors import InvalidInput

NOW = datetime(2030, 1, 31, 12, 30, 15, 7, tzinfo=UTC)


def a_chain(count: int = 6, tenant: str = "default") -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(1, count + 1):
        entry = AuditEntry(
            tenant=tenant,
            number=number,
            at=NOW + timedelta(seconds=number),
            actor_id="k1",
            actor_kind="key",
            action=Action.TASK_CANCELED,
            object_kind="task",
            object_id=f"task-{number}",
            address="192.0.2.7",
            request_id="r1",
            result="done",
            details={"tasks": number, "names": ["ä", {"b": 1, "a": None}]},
            previous_hash=entries[-1].hash if entries else BEFORE_THE_FIRST,
            hash="",
        )
        entries.append(entry.sealed())
    return entries


def walked(entries: Sequence[AuditEntry], *heads: str) -> tuple[int | None, str, Head, list[str]]:
    """The number of the first wrong entry, what is wrong, where the walk ended, and the heads that did not come by."""
    chain = Chain()
    for head in heads:
        chain.expect(head)
    for entry in entries:
        if wrong := chain.add(entry):
            return entry.number, wrong, chain.head, chain.missing()
    return None, "", chain.head, chain.missing()


def test_a_chain_that_nobody_touched_is_whole_also_as_json_and_empty() -> None:
    entries = a_chain()

    assert walked(entries) == (None, "", Head(number=6, hash=entries[5].hash), [])
    assert [entry_of(entry.as_data()) for entry in entries] == entries
    assert walked([], BEFORE_THE_FIRST) == (None, "", Head(number=0, hash=BEFORE_THE_FIRST), [])


OTHERS: dict[str, Any] = {
    "tenant": "another",
    "number": 40,
    "at": NOW,
    "request_id": None,
    "details": {"tasks": 3, "names": ["ä", {"b": 1, "a": 0}]},
}


@pytest.mark.parametrize("name", [field.name for field in fields(AuditEntry)])
def test_a_field_that_was_changed_is_found(name: str) -> None:
    entries = a_chain()
    changed = OTHERS.get(name, "f" * 64)

    entries[2] = replace(entries[2], **{name: changed})

    assert walked(entries)[0] == entries[2].number


@pytest.mark.parametrize("name", [field.name for field in fields(AuditEntry) if field.name != "hash"])
def test_a_field_that_was_changed_with_its_hash_is_found_at_the_next_entry(name: str) -> None:
    entries = a_chain()
    changed = OTHERS.get(name, "f" * 64)

    entries[2] = replace(entries[2], **{name: changed}).sealed()

    found, _, head, _ = walked(entries)
    assert found is not None
    assert head.number <= 3


TAMPERINGS: dict[str, tuple[Callable[[list[AuditEntry]], list[AuditEntry]], int]] = {
    "the first removed": (lambda entries: entries[1:], 2),
    "one removed": (lambda entries: entries[:2] + entries[3:], 4),
    "one removed and the others numbered anew": (
        lambda entries: entries[:2] + [replace(one, number=one.number - 1).sealed() for one in entries[3:]],
        3,
    ),
    "one doubled": (lambda entries: entries[:3] + entries[2:], 3),
    "one put in between": (
        lambda entries: [*entries[:2], replace(entries[1], number=3).sealed(), *entries[2:]],
        3,
    ),
    "two exchanged": (lambda entries: [*entries[:2], entries[3], entries[2], *entries[4:]], 4),
    "another tenant's": (lambda entries: [*entries[:2], *a_chain(tenant="another")[2:]], 3),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_entries_that_were_removed_put_in_or_moved_are_found(what: str) -> None:
    tamper, first_wrong = TAMPERINGS[what]

    found, wrong, _, _ = walked(tamper(a_chain()))

    assert (found, bool(wrong)) == (first_wrong, True)


def test_entries_removed_at_the_end_are_found_by_a_head_that_was_noted() -> None:
    entries = a_chain()
    noted = entries[4].hash

    assert walked(entries[:4])[0] is None
    assert walked(entries[:4], noted)[3] == [noted]
    assert walked(entries[:5], noted)[3] == []
    assert walked(entries, noted)[3] == []


def test_a_chain_made_anew_from_some_entry_is_found_by_a_head_that_was_noted() -> None:
    entries = a_chain()
    anew = entries[:2]
    for one in entries[2:]:
        anew.append(replace(one, actor_id="somebody else", previous_hash=anew[-1].hash).sealed())

    assert walked(anew)[0] is None
    assert walked(anew, entries[5].hash)[3] == [entries[5].hash]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"number": "1"},
        {"number": True},
        {"actor": "k1"},
        {"at": "yesterday"},
        {"details": "none"},
        {"extra": 1},
        {"request_id": 5},
    ],
)
def test_what_is_no_entry_is_refused(broken: dict[str, Any]) -> None:
    data = {**a_chain(1)[0].as_data(), **broken} if broken else {}

    with pytest.raises(InvalidInput):
        entry_of(data)
