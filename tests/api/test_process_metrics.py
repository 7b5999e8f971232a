"""What a worker and `chargehand upkeep` tell of themselves: at the port that the settings name, on this machine."""

from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from chaos.ports import free_port
from chargehand.app.readings import telling_numbers
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.settings import Settings
from tests import given


async def idle(ctx: PlaybookContext) -> None:
    del ctx


async def test_a_processs_own_numbers_are_read_at_its_port_and_gone_with_it(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    port = int(url.rpartition(":")[2])
    async with (
        given.a_core(tmp_path, playbooks={"idle": idle}, metrics_port=port) as core,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        await given.ended(core, await given.a_task(core, "idle"))
        async with telling_numbers(core):
            told = await client.get("/metrics")
            refused = [
                (await client.get("/")).status_code,
                (await client.post("/metrics")).status_code,
                (await client.get("/metrics", headers={"host": "attacker.example"})).status_code,
            ]
        with pytest.raises(httpx2.ConnectError):
            await client.get("/metrics")

    assert told.headers["content-type"].startswith("text/plain; version=1.0.0")
    assert 'chargehand_attempts_ended_total{outcome="completed"} 1.0' in told.text
    assert "chargehand_slots 4.0" in told.text
    # What is read from the rows is the services' to tell.
    assert "chargehand_tasks{" not in told.text
    assert refused == [404, 405, 400]


async def test_a_port_that_is_taken_keeps_no_process_from_its_work(tmp_path: Path) -> None:
    port = free_port()
    async with given.a_core(tmp_path, metrics_port=port) as core, telling_numbers(core):
        with capture_logs() as said:
            async with telling_numbers(core):
                pass

    assert [one["log_level"] for one in said] == ["warning"]
    assert "CHARGEHAND_METRICS_PORT" in said[0]["event"]
    assert f"port {port}" in said[0]["error"]


def nobody_asked(*_: object) -> None:
    pytest.fail("nobody asked for it")


async def test_nothing_listens_unless_a_port_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.listen", nobody_asked)
    async with given.a_core(tmp_path) as core, telling_numbers(core):
        pass


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="metrics_port"):
        Settings(metrics_port=port)
