"""Secrets taken out of what others say: a server may repeat the key that it was sent.

Rule: taken out before a text is cut to length is not enough, since others cut too; so a beginning of a secret counts.
"""

from collections.abc import Iterable
from urllib.parse import quote

SHOWN = "[redacted]"
SHORTEST_SECRET = 6
"""What is shorter is found in too many words, and is no secret worth the name."""
_BEGINNING = 8


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, and without a beginning of one that is long enough to tell."""
    # The longest first: of `Bearer abc…` nothing is left then for `abc…` to find.
    for secret in sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True):
        text = without(text, secret, beginning=_BEGINNING)
    return text


def without(text: str, secret: str, *, beginning: int) -> str:
    """The text without the secret, and without what of it begins so: with that many of its characters."""
    start = secret[:beginning]
    place = text.find(start)
    pieces: list[str] = []
    done = 0
    while place >= 0:
        end = place + len(start)
        while end < len(text) and end - place < len(secret) and text[end] == secret[end - place]:
            end += 1
        pieces += (text[done:place], SHOWN)
        done = end
        place = text.find(start, end)
    # Joined once: a text that repeats a secret all along would be copied at each of them.
    return "".join((*pieces, text[done:]))


def _forms(secret: str) -> set[str]:
    """`Bearer abc…` is a secret, and so is `abc…`; also as a URL has it."""
    words = [word for word in {secret.strip(), *secret.split()} if len(word) >= SHORTEST_SECRET]
    return {
        form
        for word in words
        if word.casefold() not in ("bearer", "basic")
        for form in (word, quote(word, safe=""))
    }
