"""Names to addresses, by the system's resolver, in threads of their own.

Rule: so many lookups at once and no more. Names whose servers do not answer take these threads, and not those that
the rest of the service works in; who waits for a free one waits as long as for an answer, and no longer.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

MOST_LOOKUPS = 16
LOOKUP_SECONDS = 5.0


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name. OSError when it has none, or when nobody says so in time."""
    loop = asyncio.get_running_loop()
    looking_up = loop.run_in_executor(_threads(), _looked_up, host, port)
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await looking_up
    except TimeoutError:
        raise OSError(f"no name server answered within {LOOKUP_SECONDS:g} s") from None


def _looked_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@cache
def _threads() -> ThreadPoolExecutor:
    """Made with the first lookup, so that a process that forks before it has none to lose."""
    return ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="resolve")
