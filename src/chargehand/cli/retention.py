"""The work of `chargehand prune`."""

from datetime import timedelta

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.output import write, write_json
from chargehand.client import AsyncClient
from chargehand.domain.duration import duration_of
from chargehand.domain.retention import PruneOrder
from chargehand.domain.task import FINAL, Status
from chargehand.errors import Forbidden, InvalidInput
from chargehand.wire.retention import PruneAnswer, PruneRequest, SweepAnswer


async def prune(
    server: str | None,
    *,
    older_than: str,
    status: str | None,
    agent_id: str | None,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> ExitCode:
    """Turn by turn, until nothing is left that is to go; then what nothing refers to any more."""
    age, statuses = duration_of(older_than), _statuses(status)
    PruneOrder(older_than=age, statuses=frozenset(map(Status, statuses))).check()
    wanted = PruneRequest(
        older_than_seconds=int(age / timedelta(seconds=1)),
        statuses=statuses,
        agent_id=agent_id,
        most_trees=limit,
        dry_run=dry_run,
    )
    async with connect(server) as connection:
        done = await _prune(connection.client, wanted)
        swept = None if dry_run else await _sweep(connection.client)
    if as_json:
        told = done.model_dump(exclude={"after"})
        write_json({"dry_run": dry_run, **told, **(swept.model_dump() if swept else {})})
    else:
        _write(done, swept, dry_run=dry_run)
    return ExitCode.OK


def _statuses(text: str | None) -> list[str]:
    given = sorted(FINAL) if text is None else [one.strip() for one in text.split(",") if one.strip()]
    if wrong := [one for one in given if one not in list(FINAL)] or (not given and ["nothing"]):
        raise InvalidInput(
            f"--status {wrong[0]}: only ended tasks are pruned; name completed, failed or canceled"
        )
    return sorted(set(given))


async def _prune(client: AsyncClient, wanted: PruneRequest) -> PruneAnswer:
    done = PruneAnswer(trees=0, tasks=0, events=0, after=None)
    while True:
        left = None if wanted.most_trees is None else wanted.most_trees - done.trees
        answer = await client.prune(wanted.model_copy(update={"after": done.after, "most_trees": left}))
        done = PruneAnswer(
            trees=done.trees + answer.trees,
            tasks=done.tasks + answer.tasks,
            events=done.events + answer.events,
            after=answer.after,
        )
        if done.after is None or done.trees == wanted.most_trees:
            return done
        say(f"{done.trees} trees, {done.tasks} tasks so far")


async def _sweep(client: AsyncClient) -> SweepAnswer | None:
    """None with a key that concerns one tenant only: what lies unused is of all tenants, and the operator's."""
    try:
        return await client.sweep()
    except Forbidden:
        return None


def _write(done: PruneAnswer, swept: SweepAnswer | None, *, dry_run: bool) -> None:
    what = f"{done.trees} trees of {done.tasks} tasks with {done.events} events"
    if dry_run:
        write(f"would prune {what}; nothing was changed")
        return
    write(f"pruned {what}")
    if swept is None:
        write("their workspaces and stored files go when the service's operator prunes (admin:service)")
        return
    mib = swept.blob_bytes / 2**20
    write(f"removed {swept.workspaces} workspaces and {swept.blobs} stored files ({mib:.1f} MiB)")
