"""Addresses that lead back inside, in every disguise, and a listener that must see nobody.

An entry is whatever takes a URL from somebody who is not the operator: a coroutine function that is given one attack's
URL and does all that this way in can be made to do with it. `held` runs the whole table through one; whoever adds a
way in adds a test of two lines.
"""

import asyncio
import itertools
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from chargehand.network.addresses import Resolve
from chargehand.network.resolving import system_resolve

NAME = "attacker.test"
"""A name whose server is the attacker's: it answers with what the attack says."""


@dataclass(frozen=True, slots=True)
class Attack:
    """`url` has places for the scheme and the canary's port; `answers` is what NAME has as addresses, each time."""

    url: str
    answers: tuple[tuple[str, ...], ...] = ()

    def url_at(self, port: int, scheme: str = "https") -> str:
        return self.url.replace("{scheme}", scheme).replace("{port}", str(port))

    def resolve(self) -> Resolve:
        """As the system does, but for NAME; its last answer is given again and again."""
        left = itertools.chain(self.answers, itertools.repeat(self.answers[-1] if self.answers else ()))

        async def answer(host: str, port: int) -> Sequence[str]:
            if host.rstrip(".").endswith(NAME):
                return next(left)
            return await system_resolve(host, port)

        return answer


LOOPBACK = (
    "127.0.0.1", "127.1", "127.0.1", "127.0.0.2", "127.255.255.254", "2130706433", "017700000001", "0177.0.0.1",
    "0177.0000.0000.0001", "0x7f000001", "0x7f.1", "0x7f.0x0.0x0.0x1", "0X7F.0.0.1", "0x7F.0.0.01", "127.0x0.1",
    "127.0.0.1.", "0", "0.0.0.0", "0x0", "00000000", "localhost", "LOCALHOST", "LocalHost.", "a.localhost",  # noqa: S104 - what is refused
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:1::1]", "[::1%25lo]", "[fe80::1%25lo]", "[fe80::1]",
)  # fmt: skip
"""This machine."""
UNICODE = (
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "localho\u017ft", "[::\u2460]",
    "\u0660.\u0660.\u0660.\u0660", "127.0.0.1\u200b", "loc\u00adalhost",
)  # fmt: skip
"""What some libraries normalise to it."""
INSIDE = (
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "169.254.43518", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.88.99.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2002:a9fe:a9fe::]", "[64:ff9b::a9fe:a9fe]",
)  # fmt: skip
"""Private networks, and where clouds tell machines about themselves."""
TRICKS = (
    "{scheme}://example.com@127.0.0.1:{port}/", "{scheme}://127.0.0.1:{port}\\@example.com/",
    "{scheme}://example.com:x@127.0.0.1:{port}/", "{scheme}://127.0.0.1:{port}#@example.com/",
    "{scheme}://127.0.0.1:{port}?@example.com/", "{scheme}://127.0.0.1:{port}%2f@example.com/",
    "{scheme}://127.0.0.1%00.example.com:{port}/", "{scheme}://example.com\t@127.0.0.1:{port}/",
    "{scheme}://127.0.0.1:{port}\r\nHost: example.com/", "{scheme}:///127.0.0.1:{port}/", "{scheme}:127.0.0.1:{port}/",
    "{scheme}://127.0.0.1 .example.com:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}", "{scheme}://[::1:{port}/",
    "{scheme}://127.0.0.1:{port}:80/", "{scheme}://127.0.0.1:+{port}/", "{scheme}://%31%32%37.0.0.1:{port}/",
    "{scheme}://127.0.0.1:0/", "{scheme}://[127.0.0.1]:{port}/", "{scheme}://[v1.127.0.0.1]:{port}/",
    "ftp://127.0.0.1:{port}/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/",
    "ldap://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "unix:/run/docker.sock", "data:text/plain,x",
    "jar:{scheme}://127.0.0.1:{port}!/", "view-source:{scheme}://127.0.0.1:{port}/", "javascript:alert(1)",
)  # fmt: skip
"""What one parser reads in another way than the next, and schemes of other programs."""
NAMES = (
    ("127.0.0.1",),
    ("::1",),
    ("::ffff:127.0.0.1",),
    ("fe80::1%lo",),
    ("10.0.0.1",),
    ("169.254.169.254",),
    # One that may be dialled does not make up for one that may not; whichever comes first.
    ("93.184.216.34", "127.0.0.1"),
    ("127.0.0.1", "93.184.216.34"),
    ("2606:4700::1111", "::1"),
    ("no address",),
    (),
)
"""What the attacker's name server answers."""
ATTACKS = (
    *(Attack(f"{{scheme}}://{host}:{{port}}/") for host in (*LOOPBACK, *UNICODE, *INSIDE)),
    *map(Attack, TRICKS),
    *(Attack(f"{{scheme}}://{NAME}:{{port}}/", (answer,)) for answer in NAMES),
    # Rebinding: whoever looks twice is shown another address the second time.
    Attack(f"{{scheme}}://{NAME}:{{port}}/", (("127.0.0.1",), ("93.184.216.34",))),
    Attack(f"{{scheme}}://{NAME}.:{{port}}/", (("127.0.0.1",),)),
)


@dataclass(slots=True)
class Canary:
    """Counts who connects."""

    port: int = 0
    connections: list[str] = field(default_factory=list[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.connections.append(str(writer.get_extra_info("peername")))
        writer.close()


@asynccontextmanager
async def a_canary() -> AsyncGenerator[Canary]:
    """One on both loopbacks, at the same port."""
    canary = Canary()
    first = await asyncio.start_server(canary.serve, "127.0.0.1", 0)
    canary.port = first.sockets[0].getsockname()[1]
    servers = [first]
    # A machine without IPv6 has no second one.
    with suppress(OSError):
        servers.append(await asyncio.start_server(canary.serve, "::1", canary.port, family=socket.AF_INET6))
    try:
        yield canary
    finally:
        for server in servers:
            server.close()


Entry = Callable[[Attack, str], Awaitable[object]]
"""Given an attack and its URL. It raises, or returns what it was told; both are well, a connection is not."""


async def held(
    canary: Canary,
    entry: Entry,
    refusals: type[Exception] | tuple[type[Exception], ...],
    *,
    scheme: str = "https",
) -> None:
    """Run the table through a way in: each is refused as it should be, and nobody has connected."""
    taken: list[str] = []
    for attack in ATTACKS:
        url = attack.url_at(canary.port, scheme)
        try:
            async with asyncio.timeout(10):
                if await entry(attack, url) is not None:
                    taken.append(url)
        except refusals:
            pass
    assert (taken, canary.connections) == ([], [])
