"""What one tenant calls a secret takes nothing out of what is said for another."""

import pytest

from chargehand.domain.known_secrets import (
    KNOWN,
    KnownSecrets,
    know,
    taken_out,
    taken_out_of,
    unfinished,
    values_taken_out_of,
    working_for,
)

VALUE = "the-secret-of-a-tenant-7741"


def test_a_tenants_secret_is_taken_out_of_what_is_said_for_it_and_of_nothing_else() -> None:
    know([VALUE], "some-tenant")

    with working_for("some-tenant"):
        inside = taken_out(f"got {VALUE}"), taken_out_of({"said": [VALUE]}, "some-tenant")
    with working_for("another"):
        elsewhere = taken_out(VALUE), taken_out_of([VALUE], "another")

    assert inside == ("got [redacted]", {"said": ["[redacted]"]})
    assert elsewhere == (VALUE, [VALUE])
    assert taken_out(VALUE) == VALUE


def test_a_value_that_is_too_simple_to_be_told_from_other_words_is_not_searched_for() -> None:
    known = KnownSecrets()
    known.add(["000000000000", "task_id", "completed", "ababababababab"])

    text = "01a216c9-0000-000000000000 completed task_id ababababababab"

    assert known.taken_out(text) == text


def test_of_what_an_agent_works_with_known_values_go_and_what_only_looks_like_a_secret_stays() -> None:
    know([VALUE], "some-tenant")
    KNOWN.add(["the-operators-own-0815"])
    work = {"code": "Authorization: Bearer abcdefghij", "said": [f"{VALUE} the-operators-own-0815"]}
    harmless = {"code": "chg_live_0123456789abcdefghij"}

    assert values_taken_out_of(work, "some-tenant") == {
        "code": "Authorization: Bearer abcdefghij",
        "said": ["[redacted] [redacted]"],
    }
    assert values_taken_out_of(work, "another")["said"] == [f"{VALUE} [redacted]"]
    assert values_taken_out_of(harmless, "some-tenant") is harmless


def test_a_text_that_goes_on_is_told_up_to_where_a_value_may_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    # What other tests of this process have called secret may begin as these texts end.
    monkeypatch.setattr("chargehand.domain.known_secrets.KNOWN", KnownSecrets())
    know([VALUE], "some-tenant")

    for end in range(1, len(VALUE)):
        assert unfinished(f"so {VALUE[:end]}", "some-tenant") == 3
    assert unfinished(f"so {VALUE[:9]}", "another") == 12
    assert unfinished(f"so {VALUE}", "some-tenant") == 3 + len(VALUE)
    assert unfinished(f"so {VALUE[:9]}.", "some-tenant") == 13
    assert unfinished("", "some-tenant") == 0
