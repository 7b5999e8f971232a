"""What a large store costs: reading one task of many, and claiming among many that are pending."""

import json
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bench import filling
from bench.agents import noop
from bench.contestant import NOOP_DATA, Contestant
from bench.figures import Results
from bench.ground import Ground, Missing, OwnDatabase
from bench.load import Connection, percentile, press
from bench.ours import Fleet, OnSqlite
from bench.plan import Plan
from bench.theirs import ByHand
from chargehand.app.core import Core, Registered, open_core
from chargehand.domain.access import LOCAL_OPERATOR as ME
from chargehand.domain.task import TaskOrder
from chargehand.settings import Settings

READ_CLIENTS, READ_IDS = 32, 1_000
CLAIM_LIMIT, CLAIMS = 8, 12
Fill = Callable[[str, int, int], Awaitable[None]]
"""(id of the task to copy, first, last)."""


async def reads(contestant: Contestant, plan: Plan, results: Results) -> None:
    """GET with so many tasks in the store; where nothing is stored, the same request."""
    try:
        await contestant.start()
        await contestant.ready()
        fill = _fill_of(contestant)
        template = await _completed(contestant) if fill else "none"
        filled = 0
        for size in plan.sizes:
            if fill:
                await fill(template, filled + 1, size)
            filled = size
            ids = [filling.copied_id(random.randint(1, size)) for _ in range(READ_IDS)]  # noqa: S311 - which rows are read
            raws = [contestant.read(task_id) for task_id in ids]
            await press(
                contestant.port, raws, clients=READ_CLIENTS, seconds=plan.read_seconds / 4, expected=200
            )
            for _ in range(plan.rounds):
                load = await press(
                    contestant.port, raws, clients=READ_CLIENTS, seconds=plan.read_seconds, expected=200
                )
                if load.failures:
                    raise Missing(f"{load.failures} of its GETs failed")
                results.add(f"get-{size}", contestant.name, load.per_second)
                results.add(f"get-{size}-p99", contestant.name, load.percentile(99))
    finally:
        await contestant.stop()


def _fill_of(contestant: Contestant) -> Fill | None:
    if isinstance(contestant, OnSqlite):
        return partial(filling.fill_sqlite, contestant.folder / "chargehand.db")
    if isinstance(contestant, Fleet) and contestant.database:
        return partial(filling.fill_postgresql, contestant.database.url)
    if isinstance(contestant, ByHand) and contestant.database:
        return partial(filling.fill_by_hand, contestant.database.url)
    if contestant.stores:
        raise Missing(f"nobody knows how to fill the store of {contestant.name}")
    return None


async def _completed(contestant: Contestant) -> str:
    """The id of a task that went its whole way."""
    connection = await Connection.open(contestant.port)
    try:
        _, body = await connection.ask(contestant.submit())
        task_id = str(json.loads(body)["id"])
        await contestant.wait(connection, task_id)
        return task_id
    finally:
        connection.close()


async def claims(ground: Ground, plan: Plan, results: Results) -> None:
    """`Attempts.claim` on each database in turn, first with few tasks pending, then with many."""
    async with AsyncExitStack() as stack:
        stores: dict[str, tuple[Core, Fill]] = {"sqlite": await stack.enter_async_context(_on_sqlite(ground))}
        try:
            stores["postgresql"] = await stack.enter_async_context(_on_postgresql(ground))
        except Missing as missing:
            results.left_out["postgresql, claims"] = str(missing)
        templates = {name: await _pending(core) for name, (core, _) in stores.items()}
        before = 0
        for count in plan.pending:
            for name, (_, fill) in stores.items():
                await fill(templates[name], before + 1, count)
            before = count
            for _ in range(plan.rounds):
                for name, (core, _) in stores.items():
                    results.add(f"claim-{count}", name, await _claim_ms(core))


async def _claim_ms(core: Core) -> float:
    taken: list[float] = []
    for _ in range(CLAIMS):
        begun = time.perf_counter()
        found = await core.attempts.claim("bench", limit=CLAIM_LIMIT)
        taken.append((time.perf_counter() - begun) * 1000)
        if len(found) != CLAIM_LIMIT:
            raise Missing(f"a claim found {len(found)} tasks instead of {CLAIM_LIMIT}")
    return percentile(taken, 50)


async def _pending(core: Core) -> str:
    block = "chargehand:\n  runtime: function\n  function: noop\n"
    await core.agents.publish(ME, f"---\nname: noop\ndescription: Nothing.\n{block}---\nIt works.\n")
    accepted = await core.tasks.submit(ME, TaskOrder(agent_id="noop", task_data=dict(NOOP_DATA)))
    return accepted.task.id


@asynccontextmanager
async def _on_sqlite(ground: Ground) -> AsyncGenerator[tuple[Core, Fill], None]:
    folder = ground.own_folder("claims")
    async with _core({"data_dir": folder}) as core:
        yield core, partial(filling.fill_sqlite, core.settings.database_path)


@asynccontextmanager
async def _on_postgresql(ground: Ground) -> AsyncGenerator[tuple[Core, Fill], None]:
    folder, database = ground.own_folder("claims"), await OwnDatabase.make(ground)
    try:
        async with _core({"data_dir": folder, "database_url": database.url}) as core:
            yield core, partial(filling.fill_postgresql, database.url)
    finally:
        await database.drop()


@asynccontextmanager
async def _core(options: Mapping[str, object]) -> AsyncGenerator[Core, None]:
    settings = Settings.model_validate({**options, "sandbox": "none"})
    async with open_core(
        settings, registered=Registered(functions={"noop": noop}), with_engine=False
    ) as core:
        yield core
