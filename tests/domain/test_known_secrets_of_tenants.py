"""What one tenant calls a secret takes nothing out of what is said for another."""

from chargehand.domain.known_secrets import KnownSecrets, know, taken_out, taken_out_of, working_for

VALUE = "the-secret-of-a-tenant-7741"


def test_a_tenants_secret_is_taken_out_of_what_is_said_for_it_and_of_nothing_else() -> None:
    know([VALUE], "some-tenant")

    with working_for("some-tenant"):
        inside = taken_out(f"got {VALUE}"), taken_out_of({"said": [VALUE]})
    with working_for("another"):
        elsewhere = taken_out(VALUE), taken_out_of([VALUE])

    assert inside == ("got [redacted]", {"said": ["[redacted]"]})
    assert elsewhere == (VALUE, [VALUE])
    assert taken_out(VALUE) == VALUE


def test_a_value_that_is_too_simple_to_be_told_from_other_words_is_not_searched_for() -> None:
    known = KnownSecrets()
    known.add(["000000000000", "task_id", "completed", "ababababababab"])

    text = "01a216c9-0000-000000000000 completed task_id ababababababab"

    assert known.taken_out(text) == text
