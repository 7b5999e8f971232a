"""What a key looks like: `chg_live_` + 8 characters of id + 32 of secret + 6 of checksum, base62.

The checksum lets a typing error be told, and scanners for leaked secrets be exact, without a query.
"""

import re
import zlib

from chargehand.clock import Clock

PREFIX = "chg_live_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(rf"{PREFIX}([0-9A-Za-z]{{8}})([0-9A-Za-z]{{32}})([0-9A-Za-z]{{6}})")


def new_key(clock: Clock) -> tuple[str, str]:
    """A key that nobody can guess, and its id: 190 random bits beside it."""
    key_id = _base62(int.from_bytes(clock.token_bytes(16)), 8)
    return with_checksum(PREFIX + key_id + _base62(int.from_bytes(clock.token_bytes(40)), 32)), key_id


def with_checksum(body: str) -> str:
    """A key of what stands before its checksum."""
    return body + _checksum(body)


def id_of(token: str) -> str | None:
    """The id that a key names; None for what is no key, or one that was mistyped."""
    parts = _KEY.fullmatch(token)
    if parts is None or _checksum(token[:-6]) != parts[3]:
        return None
    return parts[1]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, length: int) -> str:
    """The last `length` digits; with 64 spare bits the bias of a modulus cannot be measured."""
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
