"""What this process knows as a secret, and what looks like one, is taken out of texts; the rest stays as it is."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from chargehand.domain.known_secrets import KnownSecrets

VALUE = 'p4ss/w+rd "of" canary=7f3a'


@pytest.fixture
def known() -> KnownSecrets:
    secrets = KnownSecrets()
    secrets.add([VALUE])
    return secrets


FORMS = {
    "as it is": VALUE,
    "in JSON": json.dumps({"x": VALUE}),
    "in a URL": f"https://example.com/?key={quote(VALUE, safe='')}&x=1",
    "in base64": base64.b64encode(VALUE.encode()).decode(),
    "in base64 behind a name": base64.b64encode(f"user:{VALUE}".encode()).decode(),
    "in base64 behind another name": base64.b64encode(f"ab:{VALUE}:more".encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(f"x{VALUE}".encode()).decode(),
    "cut": f"the key is {VALUE[:20]}",
    "twice": f"{VALUE}{VALUE}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_value_is_taken_out_in_every_form(known: KnownSecrets, form: str) -> None:
    clean = known.taken_out(FORMS[form])

    assert "[redacted]" in clean
    for part in (VALUE, VALUE[:20], "canary", quote("canary=7f3a", safe="")):
        assert part not in clean


LOOKS = [
    ("key chg_live_0123456789abcdefghijklmnopqrstuvwxyz", "key chg_live_[redacted]"),
    ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ok", "whsec_[redacted] ok"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl!", "token [redacted]!"),
    ("?t=a-eyJ-b-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0&x", "?t=a-[redacted]&x"),
    ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [redacted]"),
    ('{"authorization": "Basic dXNlcjpwYXNz", "a": 1}', '{"authorization": "Basic [redacted]", "a": 1}'),
    ("{'Authorization': 'abcdefgh12345678'}", "{'Authorization': '[redacted]'}"),
    ('"{\\"Authorization\\": \\"Token abcdefgh1234\\"}"', '"{\\"Authorization\\": \\"Token [redacted]\\"}"'),
    (
        "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
        "a [redacted] b",
    ),
    ("cut -----BEGIN PRIVATE KEY-----\\nMIIE\\nAB", "cut [redacted]"),
]


@pytest.mark.parametrize(("text", "clean"), LOOKS)
def test_what_looks_like_a_secret_is_taken_out(text: str, clean: str) -> None:
    assert KnownSecrets().taken_out(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "the authorization of the caller was checked",
        "chg_live_ is how keys begin",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "eyJ is base64 of an object",
        "aeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0",
        "-eyJ-eyJ-eyJhbGci.short",
        "p4ss/w+rd",
        "",
    ],
)
def test_other_texts_stay_as_they_are(known: KnownSecrets, text: str) -> None:
    assert known.taken_out(text) == text


def test_json_is_cleared_at_every_depth_and_left_alone_where_nothing_is_found(known: KnownSecrets) -> None:
    data: dict[str, Any] = {"a": [1, None, {VALUE: True, "b": f"x {VALUE}"}], "c": 2.5}
    harmless: dict[str, Any] = {"a": [1, {"b": "text"}]}

    assert known.taken_out_of(data) == {"a": [1, None, {"[redacted]": True, "b": "x [redacted]"}], "c": 2.5}
    assert known.taken_out_of(harmless) is harmless


def test_a_header_is_known_with_and_without_its_scheme() -> None:
    known = KnownSecrets()
    known.add(["Bearer 0123456789abcdef"])

    assert known.taken_out("sent Bearer 0123456789abcdef, got 0123456789abcdef back") == (
        "sent [redacted], got [redacted] back"
    )


def test_of_many_values_the_longest_is_taken_out_first_and_all_are_found() -> None:
    known = KnownSecrets()
    values = [f"value-of-{number:04}-{'x' * (number % 7)}" for number in range(300)]
    known.add([*values, "short", ""])

    text = " ".join(values)

    assert set(known.taken_out(text).split()) == {"[redacted]"}
    assert known.taken_out("short") == "short"


def test_the_cost_of_a_text_does_not_grow_with_the_number_of_values() -> None:
    """A bound far above what it takes, so that only a fault of another order fails."""
    known = KnownSecrets()
    known.add([f"{number:032x}" for number in range(2_000)])
    text = "a line of the log without a secret " * 30

    started = time.perf_counter()
    for _ in range(100):
        known.taken_out(text)

    assert (time.perf_counter() - started) / 100 < 0.02


MUCH = 256 * 1024
BEGIN = "-----BEGIN PRIVATE KEY-----"
SLOW = {
    "tokens that begin at each hyphen": "-eyJ",
    "tokens in one run": "eyJ",
    "tokens without a second part": "-eyJ-eyJ-eyJ.",
    "tokens of ours": "chg_live_0123456",
    "webhooks' secrets": "whsec_ whsec_",
    "headers": "authorization",
    "headers without an end": "authorization: ",
    "headers of one short word": "authorization: b ",
    "headers in quotes": 'Authorization\\"\': "b(',
    "keys that begin and do not end": BEGIN,
    "keys that nearly begin": "-----BEGIN PRIVATE KEY",
    "keys that nearly end": f"{BEGIN}-----END PRIVATE KEY",
}
SLOW_AFTER = {
    "blanks after a header": ("authorization:", " "),
    "blanks after a scheme": ("authorization: bbbbbbb", " "),
    "quotes after a header": ("authorization", "\"'"),
    "quotes and letters after a header": ("authorization:", '"b(b'),
    "one long token": ("eyJ", "a-"),
    "words of a key's beginning": ("PRIVATE KEY----- -----BEGIN ", "PRIVATE KEY "),
    "words of a key's end": (f"{BEGIN}-----END ", "PRIVATE KEY "),
}


@pytest.mark.parametrize(
    ("first", "again"),
    [*(("", one) for one in SLOW.values()), *SLOW_AFTER.values()],
    ids=[*SLOW, *SLOW_AFTER],
)
def test_a_text_that_was_made_to_be_slow_is_searched_in_one_pass(first: str, again: str) -> None:
    """At most a tenth of a second; what looks again from each place takes ten seconds and more."""
    text = (first + again * (MUCH // len(again)))[:MUCH]

    started = time.thread_time()
    KnownSecrets().taken_out(text)

    assert time.thread_time() - started < 2


def test_only_the_values_that_were_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargehand.domain.known_secrets.MOST_VALUES", 2)
    known = KnownSecrets()
    known.add(["first-value-1", "second-value-2"])
    known.add(["first-value-1"])
    known.add(["third-value-3"])

    assert (
        known.taken_out("first-value-1 second-value-2 third-value-3")
        == "[redacted] second-value-2 [redacted]"
    )
