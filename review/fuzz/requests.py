"""Requests made of an operation and of what has broken others: each part of them well-formed, or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast
from urllib.parse import quote, urlencode

from chargehand.domain.access import DEFAULT_TENANT
from chargehand.service.key_format import id_of
from review.fuzz import agents, hostile
from review.fuzz.operations import Operation
from review.fuzz.schemas import Fitting, Schema

Headers = list[tuple[bytes, bytes]]
_METHODS = (
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "FOO",
    "PROPFIND",
)
_TYPES = (
    "application/json", "text/markdown", "application/json; charset=utf-16", "application/xml", "text/json",
    "", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
    "application/json, text/plain", "\xff",
)  # fmt: skip
_MOST_KNOWN = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; `target` is path and query."""

    method: str
    target: bytes
    headers: Headers
    body: bytes

    def as_bytes(self) -> bytes:
        """The whole request of HTTP/1.1, which asks for the connection's end."""
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), self.target)]
        lines += [b"%s: %s" % header for header in self.headers]
        if self.body:
            lines.append(b"content-length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"connection: close", b"", b""]) + self.body


@dataclass(slots=True)
class Known:
    """Ids that the service has told, by the name of the path parameter that takes them."""

    by_name: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    spared: frozenset[str] = frozenset()
    """What the fuzzer stands on: limits for its own tenant, or the end of its key, would have all else refused."""

    def learn(self, name: str, value: str) -> None:
        """Keep an id; of many, the latest."""
        if value in self.spared:
            return
        values = self.by_name.setdefault(name, [])
        values.append(value)
        del values[:-_MOST_KNOWN]


def stood_on(key: str) -> frozenset[str]:
    """The ids that must stay as they are for a holder of this key: its own, and its tenant's."""
    return frozenset({DEFAULT_TENANT, id_of(key) or key})


class Requests:
    """Makes requests; `key` is an administrator's."""

    def __init__(
        self, operations: Sequence[Operation], fitting: Fitting, key: str, host: str, seed: int
    ) -> None:
        self._operations = operations
        self._fitting = fitting
        self._key = key.encode()
        self._host = host.encode()
        self._rng = Random(seed)  # noqa: S311 - chance from a seed, so that a run can be repeated
        self.known = Known(spared=stood_on(key))

    def next(self) -> tuple[Operation, Request]:
        """Another one, and the operation that it was made for."""
        rng = self._rng
        operation = rng.choice(self._operations)
        method = rng.choice(_METHODS) if rng.random() < 0.03 else operation.method
        body, media_type = self._body(operation)
        headers: Headers = [(b"host", self._host)]
        headers += self._authorization()
        if media_type is not None:
            headers.append((b"content-type", media_type.encode("latin-1")))
        headers += self._headers(operation)
        return operation, Request(method, self._path(operation) + self._query(operation), headers, body)

    def _authorization(self) -> Headers:
        rng = self._rng
        if rng.random() < 0.96:
            return [(b"authorization", b"Bearer " + self._key)]
        return rng.choice(
            (
                [],
                [(b"authorization", b"Bearer " + rng.randbytes(30))],
                [(b"authorization", b"Bearer " + self._key)] * 2,
                [(b"authorization", b"Basic YTpi")],
                [(b"authorization", b"Bearer " + self._key[:-1] + b"x")],
                [(b"authorization", hostile.text(rng).encode("utf-8", "replace"))],
                [(b"authorization", b"Bearer eyJhbGciOiJub25lIn0.e30.")],
                [(b"cookie", b"session=" + rng.randbytes(9).hex().encode())],
            )
        )

    def _path(self, operation: Operation) -> bytes:
        rng = self._rng
        path = operation.template
        for name, schema in operation.path:
            path = path.replace(f"{{{name}}}", self._path_value(name, schema))
        if rng.random() < 0.03:
            path = rng.choice(
                (
                    path + "/",
                    "/" + path,
                    path + "/..",
                    path.upper(),
                    path + "%00",
                    path + ";a=b",
                    "/./" + path,
                )
            )
        if rng.random() < 0.02:
            path = "/" + hostile.path_text(rng)
        if rng.random() < 0.05:
            return path.replace("?", "%3f").encode("utf-8", "replace")
        return quote(path, safe="/%;:@!$&'()*+,=~-._", errors="replace").encode()

    def _path_value(self, name: str, schema: Schema) -> str:
        rng = self._rng
        known = self.known.by_name.get(name)
        if known and rng.random() < 0.6:
            return quote(rng.choice(known), safe="")
        if name == "agent_id" and rng.random() < 0.7:
            return "echo"
        if rng.random() < 0.4:
            return str(self._fitting.value(rng, schema))
        text = hostile.path_text(rng)
        return text if rng.random() < 0.5 else quote(text, safe="", errors="replace")

    def _query(self, operation: Operation) -> bytes:
        rng = self._rng
        pairs = [
            (name, self._query_value(schema)) for name, schema in operation.queries if rng.random() < 0.35
        ]
        chance = rng.random()
        if chance < 0.04:
            pairs.append((hostile.key(rng), hostile.text(rng)))
        elif chance < 0.07 and pairs:
            pairs.append(pairs[0])
        elif chance < 0.1:
            return b"?" + hostile.text(rng).encode("utf-8", "replace").replace(b" ", b"+")
        return b"?" + urlencode(pairs, errors="replace").encode() if pairs else b""

    def _query_value(self, schema: Schema) -> str:
        value = (
            self._fitting.value(self._rng, schema) if self._rng.random() < 0.5 else hostile.text(self._rng)
        )
        return str(value)

    def _headers(self, operation: Operation) -> Headers:
        rng = self._rng
        found: Headers = []
        for name, schema in operation.headers:
            if rng.random() < 0.3:
                text = str(self._fitting.value(rng, schema)) if rng.random() < 0.5 else hostile.text(rng)
                text = "wait=0" if name == "Prefer" and rng.random() < 0.7 else text
                found.append((name.lower().encode(), _as_header(text)))
        if rng.random() < 0.1:
            name = rng.choice(
                (
                    "x-request-id",
                    "traceparent",
                    "origin",
                    "accept",
                    "x-forwarded-for",
                    "range",
                    "cookie",
                    "te",
                )
            )
            found.append((name.encode(), _as_header(hostile.text(rng))))
        return found

    def _body(self, operation: Operation) -> tuple[bytes, str | None]:
        rng = self._rng
        if not operation.bodies:
            return (
                (hostile.written(rng, hostile.value(rng)), "application/json")
                if rng.random() < 0.03
                else (b"", None)
            )
        media_type, schema = rng.choice(operation.bodies)
        told = media_type if rng.random() < 0.96 else rng.choice(_TYPES)
        if rng.random() < 0.02:
            return b"", told
        if media_type != "application/json":
            cut = rng.randrange(len(agents.ECHO))
            text = rng.choice(
                (agents.ECHO, hostile.text(rng), agents.ECHO[:cut] + hostile.text(rng) + agents.ECHO[cut:])
            )
            return text.encode("utf-8", "surrogatepass"), told
        sent = self._fitting.value(rng, schema) if rng.random() < 0.85 else hostile.value(rng)
        return hostile.written(rng, self._spoilt(sent)), told

    def _spoilt(self, sent: Any) -> Any:
        """One field of another value, one too many or one too few; or as it was."""
        rng = self._rng
        if not isinstance(sent, dict) or rng.random() < 0.5:
            return cast("Any", sent)
        changed = dict(cast("dict[str, Any]", sent))
        names = list(changed)
        match rng.randrange(4):
            case 0 if names:
                changed[rng.choice(names)] = hostile.value(rng)
            case 1 if names:
                del changed[rng.choice(names)]
            case 2:
                changed[hostile.key(rng)] = hostile.value(rng)
            case _:
                pass
        return changed


def _as_header(text: str) -> bytes:
    """What a parser lets through: no ends of line, no NUL."""
    return text.encode("utf-8", "replace").translate(None, b"\r\n\x00")[:4000]
