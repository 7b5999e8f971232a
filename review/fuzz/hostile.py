"""Texts, numbers, values and bytes that have broken others' services.

Everything comes from a `random.Random`, so that a seed repeats a run.
"""

import json
import sys
import unicodedata
from collections.abc import Callable
from random import Random
from typing import Any, cast

CANARY = "canary 7f3a é"
"""Sent now and then; an answer that tells of an error must not hold it. No plain name, which may be told back."""

_BY_CATEGORY: dict[str, list[str]] = {}
for _code in [*range(0x3000), *range(0x3000, sys.maxunicode, 97)]:
    _BY_CATEGORY.setdefault(unicodedata.category(chr(_code)), []).append(chr(_code))
_CATEGORIES = sorted(_BY_CATEGORY)

SQL = (
    "' OR '1'='1", "'; DROP TABLE agent_tasks; --", "1) UNION SELECT key_hash FROM api_keys --",
    "\\' OR 1=1 #", "$.a') OR json_extract(task_data,'$", 'a"; SELECT pg_sleep(9) --', "%' ESCAPE '!",
    "id ASC, (SELECT 1)", "0x27204f5220", "NULL", "*", "`id`", "${jndi:ldap://127.0.0.1/x}", "{{7*7}}",
    "<script>alert(1)</script>",
)  # fmt: skip
KEYS = (
    "__proto__", "constructor", "__class__", "__reduce__", "lc", "$ref", "$where", "@type", "py/object",
    "!!python", "", " ", ".", "a.b", "a[0]", "$", "-", "\u0000", "\ufeff", "tenant", "tenant_id", "scopes",
    "id", "created_by",
)  # fmt: skip
_OBJECTS: tuple[Any, ...] = (
    {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}},
    {"__proto__": {"is_admin": True}},
    {"$ref": "#/components/schemas/JsonValue"},
    {"py/object": "os.system"},
    {"__reduce__": ["os.system", ["true"]]},
    {"@type": "java.lang.Runtime"},
)
_PATHS = (
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/", "....//", "..;/admin", "a;b=c", "%00",
    "a%00.txt", "%c0%ae%c0%ae/", "%252e%252e%252f", "//", "/", "\\..\\", "C:\\x", "file:///etc/passwd",
    "CON", ".", "..", "%", "%zz", "%ff%fe", "~", "-", "a" * 300, "%f0%9f%92%a9", "?", "#",
    "%0d%0aset-cookie:a=b", "%2f", "[::1]",
)  # fmt: skip
_TEXTS = (
    "", " ", "\t", "null", "undefined", "true", "NaN", "-0", "1e999", "0" * 400, "9" * 400, "Infinity",
    "\u202eabc", "\u200d", "a\u200db", "\ufeffa", "\u0301", "e\u0301", "\u00e9", "\u1e9b\u0323",
    "\U0001f469\u200d\U0001f680", "\u0000", "a\u0000b", "\x1b[31m", "\r\nX: y", "\u2028", "\uffff",
    "\U0010ffff", "\u06f1\u06f2", "\u212a", "\u0130", "A" * 5000, "\U0001d54f" * 300, "{}" * 200, "%s%n%x",
    "../" * 40, CANARY, "2026-02-30T25:61:61Z", "P1Y", "@daily",
)  # fmt: skip
_NUMBERS: tuple[float | int, ...] = (
    0, -0.0, -1, 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), 2**63, 2**64, 10**30, -(10**300),
    0.1, 1e-320, 1.7976931348623157e308, -1e308, 1.5, 101, 1e15, 1e16,
)  # fmt: skip


def text(rng: Random) -> str:
    """A text, seldom an innocent one."""
    kind = rng.randrange(7)
    if kind == 0:
        return rng.choice(SQL)
    if kind == 1:
        return rng.choice(_PATHS)
    if kind == 2:
        return "".join(rng.choice(_BY_CATEGORY[rng.choice(_CATEGORIES)]) for _ in range(rng.randrange(1, 24)))
    if kind == 3:
        return "".join(chr(rng.randrange(32, 127)) for _ in range(rng.choice((1, 3, 64, 65, 128, 257, 600))))
    return rng.choice(_TEXTS)


def path_text(rng: Random) -> str:
    """A part of a path, as it stands on the wire or not yet escaped."""
    return rng.choice(_PATHS) if rng.random() < 0.6 else text(rng)


def value(rng: Random, depth: int = 0) -> Any:
    """A JSON value, or what Python can write as one (NaN, lone surrogates)."""
    kind = rng.randrange(9 if depth < 4 else 5)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice((*_NUMBERS, float("nan"), float("inf")))
    if kind == 2:
        return rng.choice(("\ud800", "a\udfff", "\udc00\ud800"))
    if kind in (3, 4):
        return text(rng)
    if kind == 5:
        return rng.choice(_OBJECTS)
    if kind == 6:
        return _nest(rng.choice((3, 63, 64, 65, 120)), rng)
    count = rng.choice((0, 1, 2, 5, 40))
    if kind == 7:
        return [value(rng, depth + 2) for _ in range(count)]
    return {key(rng): value(rng, depth + 2) for _ in range(count)}


def _nest(depth: int, rng: Random) -> Any:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def key(rng: Random) -> str:
    """A name in an object."""
    return rng.choice(KEYS) if rng.random() < 0.7 else text(rng)


def written(rng: Random, sent: Any) -> bytes:
    """A value as bytes of JSON: most of the time as it should be, else broken in one way."""
    body = json.dumps(sent, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.7:
        return body
    return rng.choice(_BREAKERS)(rng, body)


def _cut(rng: Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _flip(rng: Random, body: bytes) -> bytes:
    changed = bytearray(body or b" ")
    for _ in range(rng.choice((1, 1, 3, 20))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _insert(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    what = rng.choice(
        (
            b"\x00",
            b"\xff\xfe",
            b"\xc0\xae",
            b"\xed\xa0\x80",
            b'"',
            b"{",
            b"]",
            b",,",
            b"\\u12",
            b"NaN",
            b"//x\n",
        )
    )
    return body[:at] + what + body[at:]


def _twice(rng: Random, body: bytes) -> bytes:
    """The same key a second time, spelt the same or escaped."""
    name = rng.choice((b"task_data", b"\\u0061", b"a", b"name"))
    return b'{"%s": 1, "%s": 2, %s' % (name, name, body.lstrip(b"{ ")) if body[:1] == b"{" else body + body


def _encoded(rng: Random, body: bytes) -> bytes:
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037"))
    return body.decode("utf-8", "replace").encode(encoding, "replace")


def _deep(rng: Random, body: bytes) -> bytes:
    count = rng.choice((64, 1_000, 1_025, 20_000, 200_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opening * count + body + closing * count


def _wide(rng: Random, body: bytes) -> bytes:
    count = rng.choice((9_999, 10_001, 60_000))
    return rng.choice(
        (
            b"[%s]" % b",".join([b"0"] * count),
            b"{%s}" % b",".join(b'"%d":0' % one for one in range(count)),
            body,
        )
    )


def _large(rng: Random, body: bytes) -> bytes:
    return b'{"task_data": {"a": "%s"}}' % (b"x" * rng.choice((100_000, 2**20, 2**20 + 1, 3 * 2**20))) or body


def _digits(rng: Random, body: bytes) -> bytes:
    return (
        b'{"task_data": {"n": %s%s}}'
        % (rng.choice((b"", b"-", b"0.")), b"9" * rng.choice((17, 400, 5_000, 100_000)))
        or body
    )


def _noise(rng: Random, body: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 16, 1_000))) or body


_BREAKERS = cast(
    "tuple[Callable[[Random, bytes], bytes], ...]",
    (*(_cut, _flip, _insert, _twice, _encoded) * 4, _deep, _wide, _large, _digits, _noise),
)
"""The large ones seldom: they cost a hundred times as much."""
