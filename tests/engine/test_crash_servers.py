"""test_crash_matrix.py on the database servers: a worker killed at every point loses and repeats nothing.

On a server nobody but the lease says that a worker is dead, so each death here costs the wait for it; there are fewer.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import VARIABLE, a_database
from tests.engine.test_crash_matrix import check, fail_points, kill_all_along

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")


def kill_plan() -> Iterator[tuple[str, ...]]:
    """Each point once, and a few other moments. The sweep finds something only after a death."""
    for name in fail_points():
        yield ("steps.before_effect:2", "upkeep.swept:1") if name == "upkeep.swept" else (f"{name}:1",)
    yield from (("store.before_commit:17",), ("store.after_commit:23",), ("+0.2",), ("+0.4",))


@pytest.fixture(params=["postgresql", "mysql"], autouse=True)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, a_database(request.param))


async def test_a_worker_killed_anywhere_on_a_server_loses_no_task_and_repeats_no_finished_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = await kill_all_along(tmp_path, 1, kill_plan())

    assert set(worker.killed_at) == {*fail_points(), "any moment"}
    check(worker, capsys)
