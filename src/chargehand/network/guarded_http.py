"""Requests to addresses that somebody else named: checked before each connection, bounded in all they bring.

Rule: a name is resolved once, all of its addresses are checked, and one of those is what is connected to. The name
is still what the certificate is checked against. Proxies and credentials of the environment are not used. One host
is asked so many things at once and no more, so that one that does not answer takes little of what others need.
"""

import asyncio
import json
import re
import ssl
import zlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from chargehand.errors import AddressRefused, ToolError
from chargehand.network.addresses import HostRules, Resolve, written_address
from chargehand.network.places import Places, host_of, port_of
from chargehand.network.resolving import system_resolve

if TYPE_CHECKING:
    import httpcore2

MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_REDIRECTS = 5
MAX_URL_CHARACTERS = 2_048
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 30.0
_HOST = re.compile(r"[a-z0-9._-]+", re.ASCII)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What an address answered. `location`: where it sends to, when that was not followed."""

    url: str
    status: int
    content_type: str
    body: bytes
    is_cut: bool = False
    location: str | None = None
    retry_after: str = ""
    """What the header of this name says, as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """What is sent."""

    method: str
    headers: list[tuple[str, str]]
    body: bytes | None = None


_GET = _Message(
    method="GET",
    headers=[("accept", "text/*, application/json, */*;q=0.5"), ("accept-encoding", "gzip, identity")],
)


@dataclass(slots=True, kw_only=True)
class GuardedHttp:
    """A client for one set of rules. Its limits are per request, redirects included."""

    rules: HostRules
    resolve: Resolve = system_resolve
    total_seconds: float = TOTAL_SECONDS
    max_body_bytes: int = MAX_BODY_BYTES
    needs_https: bool = False
    """Plain http only to the hosts that the rules name as private."""
    tells_hosts: bool = True
    """Whether a refusal lists the hosts that are allowed; to tenants an operator's own are not told."""
    private_setting: str = ""
    """The setting that names private hosts, for refusals that it would lift; empty: none is named."""
    _places: Places = field(default_factory=Places)
    _tls: ssl.SSLContext | None = field(default=None)

    async def get(self, url: str, *, leaves_host: bool = True) -> Fetched:
        """Get an address, following redirects; with `leaves_host=False` only those that stay on the host.

        ToolError says what is wrong: the address, who it belongs to, the time, the connection.
        """
        return await self._in_time(url, self._followed(url, leaves_host=leaves_host))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Fetched:
        """Send a body. No redirect is followed: `location` of the answer says where one leads. ToolError as above."""
        sent = [("accept", "*/*"), ("accept-encoding", "identity"), *headers.items()]
        place = self.checked(url)
        return await self._in_time(url, self._once(place, _Message(method="POST", headers=sent, body=body)))

    async def _in_time(self, url: str, asking: Coroutine[Any, Any, Fetched]) -> Fetched:
        try:
            async with asyncio.timeout(self.total_seconds):
                return await asking
        except TimeoutError:
            raise ToolError(f"{_told(url)} did not answer within {self.total_seconds:g} s") from None

    async def _followed(self, url: str, *, leaves_host: bool) -> Fetched:
        place = self.checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(place, _GET)
            if answer.location is None:
                return answer
            if not leaves_host and urlsplit(answer.location).hostname != place.hostname:
                return answer
            place = self.checked(answer.location)
        raise ToolError(f"{_told(url)} redirects more than {MAX_REDIRECTS} times")

    def checked(self, url: str) -> SplitResult:
        """The address in parts; ToolError when it is none that may be asked."""
        if (
            len(url) > MAX_URL_CHARACTERS
            or not url.isascii()
            or not url.isprintable()
            or " " in url
            or "\\" in url
        ):
            raise ToolError(f"{_told(url)} is no plain URL: at most {MAX_URL_CHARACTERS:,} ASCII characters")
        try:
            place = urlsplit(url)
            host, port = place.hostname or "", port_of(place)
        except ValueError as error:
            raise ToolError(f"{_told(url)} is no URL: {error}") from None
        if place.scheme not in ("http", "https"):
            raise ToolError(f"{_told(url)} is refused: only http and https are fetched")
        if "@" in place.netloc:
            raise ToolError("the URL holds a user name or password; leave them out")
        if ":" not in host and not _HOST.fullmatch(host):
            raise ToolError(f"{_told(url)} is no URL: its host is none as names and addresses are written")
        if not self.rules.allows(host, port):
            may = f": {', '.join(self.rules.hosts) or 'none'}" if self.tells_hosts else ""
            told = f"{host[:100]}:{port} is not among the hosts that the operator allows{may}"
            raise ToolError(told + self._way_out(host, port))
        if self.needs_https and place.scheme != "https" and not self.rules.may_be_private(host, port):
            raise ToolError(
                f"{_told(url)} is refused: only https is sent to, but for hosts of the operator's own"
                + self._way_out(host, port)
            )
        address = written_address(host)
        # A name is judged when it is connected to; what is an address already, sooner.
        if address is not None and (refusal := self.rules.refusal(host, port, [address])) is not None:
            way_out = self._way_out(host, port)
            raise AddressRefused(f"{host[:100]}:{port} is not talked to: {refusal}{way_out}")
        return place

    def _way_out(self, host: str, port: int) -> str:
        """How the operator names this very place as his own; empty where nothing would lift the refusal."""
        named = f"{host}:{port}"
        address = written_address(host)
        is_never = address and HostRules(hosts=(named,), private=(named,)).refusal(host, port, [address])
        if not self.private_setting or is_never:
            return ""
        return (
            f"; the operator names a receiver in the own network with"
            f" {self.private_setting}='{json.dumps([named])}' and starts the service again"
        )

    async def _once(self, place: SplitResult, message: _Message) -> Fetched:
        async with self._places.one_at(host_of(place)):
            return await self._sent(place, message)

    async def _sent(self, place: SplitResult, message: _Message) -> Fetched:
        import httpcore2  # noqa: PLC0415 - a quarter of a second that a service without fetching does not pay

        from chargehand.network.guarded_connections import GuardedNetwork  # noqa: PLC0415 - it needs httpcore2

        if self._tls is None and place.scheme == "https":
            self._tls = await asyncio.to_thread(httpcore2.default_ssl_context)
        waits = dict.fromkeys(("connect", "pool"), CONNECT_SECONDS) | dict.fromkeys(
            ("read", "write"), self.total_seconds
        )
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._tls, network_backend=GuardedNetwork(self.rules, self.resolve)
        )
        url = place._replace(fragment="").geturl()
        headers = [
            ("host", place.netloc), ("user-agent", "chargehand"), *message.headers, ("connection", "close")
        ]  # fmt: skip
        sent = pool.stream(
            message.method, url, headers=headers, content=message.body, extensions={"timeout": waits}
        )
        try:
            async with pool, sent as answer:
                return await self._read(url, answer)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            what = str(error) or type(error).__name__
            done = "fetched" if message.method == "GET" else "sent to"
            raise ToolError(f"{_told(url)} could not be {done}: {what[:300]}") from None

    async def _read(self, url: str, answer: "httpcore2.Response") -> Fetched:
        headers = {name.lower(): value.decode("latin-1") for name, value in reversed(answer.headers)}
        location = _target(url, headers.get(b"location", "")) if answer.status in _REDIRECTS else None
        body, is_cut = b"", False
        if location is None:
            body, is_cut = await self._body(
                answer, headers.get(b"content-encoding", "identity").strip().lower()
            )
        return Fetched(
            url=url,
            status=answer.status,
            content_type=headers.get(b"content-type", ""),
            body=body,
            is_cut=is_cut,
            location=location,
            retry_after=headers.get(b"retry-after", "")[:64],
        )

    async def _body(self, answer: "httpcore2.Response", encoding: str) -> tuple[bytes, bool]:
        """At most `max_body_bytes`, of what is unpacked too: a small answer may unpack to a very large one."""
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise ToolError(f"the answer is encoded as {encoding[:40]!r}, which is not read here")
        unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        body = bytearray()
        async for chunk in answer.aiter_stream():
            room = self.max_body_bytes + 1 - len(body)
            try:
                body += unpack.decompress(chunk, room) if unpack is not None else chunk[:room]
            except zlib.error as error:
                raise ToolError(f"the answer says it is gzip and is not: {error}") from None
            if len(body) > self.max_body_bytes:
                return bytes(body[: self.max_body_bytes]), True
        return bytes(body), False


def _target(url: str, location: str) -> str | None:
    """Where a redirect leads, as a whole address; None without one."""
    try:
        target = urljoin(url, location) if location else None
        return target if target is None or urlsplit(target).hostname else None
    except ValueError:
        raise ToolError(f"{_told(url)} redirects to {_told(location)}, which is no URL") from None


def _told(url: str) -> str:
    """The address as messages show it."""
    return repr(url[:200])
