"""What others repeat of a secret is taken out, whole and cut."""

import time

import pytest

from chargehand.domain.redaction import redacted, without

KEY = "sk-test/0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"wrong key {KEY}!", "wrong key [redacted]!"),
        (f"{KEY}{KEY} and {KEY}", "[redacted][redacted] and [redacted]"),
        (f"cut: {KEY[:12]}", "cut: [redacted]"),
        (f"starred: {KEY[:9]}***", "starred: [redacted]***"),
        ("?key=sk-test%2F0123456789abcdef&x", "?key=[redacted]&x"),
        ("sk-tes and nothing more", "sk-tes and nothing more"),
        ("", ""),
    ],
)
def test_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert redacted(text, [KEY]) == shown


def test_a_header_is_a_secret_with_and_without_its_scheme() -> None:
    assert redacted("a Bearer 0123456789, b 0123456789, c Bearer", ["Bearer 0123456789"]) == (
        "a [redacted], b [redacted], c Bearer"
    )


def test_what_is_too_short_is_left() -> None:
    assert redacted("none of it", ["none", "", "it"]) == "none of it"


def test_a_text_that_says_a_secret_all_along_is_gone_through_once() -> None:
    """A tenth of a second; copied at each of them, the text takes ten and more."""
    secret, times = "abcdefghijklmnop", 65_536

    started = time.thread_time()
    clean = without(secret * times, secret, beginning=8)

    assert time.thread_time() - started < 2
    assert clean == "[redacted]" * times
