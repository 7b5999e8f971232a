"""Where a connection is made it is checked once more: whatever the caller has looked at before."""

from collections.abc import Sequence

import httpcore2
import pytest

from chargehand.errors import ToolError
from chargehand.network.addresses import HostRules
from chargehand.network.guarded_connections import GuardedNetwork


async def nowhere(host: str, port: int) -> Sequence[str]:
    raise OSError(f"{host}:{port} is unknown")


async def inside(host: str, port: int) -> Sequence[str]:
    del host, port
    return ["127.0.0.1"]


async def nothing(host: str, port: int) -> Sequence[str]:
    del host, port
    return []


RULES = HostRules(hosts=("site.test:80",))


@pytest.mark.parametrize(("host", "port"), [("other.test", 80), ("site.test", 81), ("127.0.0.1", 80)])
async def test_a_host_that_is_not_allowed_is_not_even_resolved(host: str, port: int) -> None:
    with pytest.raises(ToolError, match="not among the hosts"):
        await GuardedNetwork(RULES, nowhere).connect_tcp(host, port)


async def test_a_name_that_is_unknown_is_a_failed_connection() -> None:
    with pytest.raises(httpcore2.ConnectError, match="cannot be resolved"):
        await GuardedNetwork(RULES, nowhere).connect_tcp("site.test", 80)


async def test_an_address_inside_is_refused_when_it_is_dialled() -> None:
    with pytest.raises(ToolError, match=r"127\.0\.0\.1 is not a public address"):
        await GuardedNetwork(RULES, inside).connect_tcp("Site.Test", 80)
    with pytest.raises(ToolError, match="no address"):
        await GuardedNetwork(RULES, nothing).connect_tcp("site.test", 80)


async def test_no_socket_of_this_machine_is_connected_to() -> None:
    with pytest.raises(ToolError, match="sockets of this machine"):
        await GuardedNetwork(RULES, inside).connect_unix_socket("/run/any.sock")
