"""A server of the harness comes back after a kill, also when its first start fails."""

import sys
from pathlib import Path

import pytest

from chaos import servers
from chaos.ports import free_port
from chaos.servers import Server, ServerMissing

PROGRAM = """
import pathlib, socket, sys
port, starts, failures = int(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
with starts.open("a") as file:
    file.write("x")
if len(starts.read_text()) <= failures:
    sys.exit("the name is still taken")
with socket.create_server(("127.0.0.1", port)) as listener:
    while True:
        listener.accept()[0].close()
"""


def a_server(folder: Path, *, failures: int) -> Server:
    port = free_port()
    argv = [sys.executable, "-c", PROGRAM, str(port), str(folder / "starts"), str(failures)]
    return Server(name="listener", argv=argv, port=port, log=folder / "log")


async def test_a_server_whose_start_fails_at_first_is_started_until_it_answers(tmp_path: Path) -> None:
    server = a_server(tmp_path, failures=2)
    try:
        await server.again()
        assert server.is_alive
        assert (tmp_path / "starts").read_text() == "xxx"
    finally:
        await server.kill()


async def test_a_server_that_never_starts_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MOST_STARTS", 2)
    server = a_server(tmp_path, failures=9)

    with pytest.raises(ServerMissing, match="listener was started 2 times in vain"):
        await server.again()

    assert (tmp_path / "log").read_text().count("the name is still taken") == 2
