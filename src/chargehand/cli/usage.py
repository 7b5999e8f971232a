"""The work of `chargehand usage`."""

from functools import partial

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.output import write_one, write_rows
from chargehand.client import usage_report
from chargehand.wire.spending import UsageBody, UsageSums


async def show_usage(
    server: str | None,
    *,
    by: str | None,
    task_id: str | None,
    agent_id: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
) -> ExitCode:
    """What models have cost, in lines by group and a last one of all."""
    async with connect(server) as connection:
        client = connection.client
        root_id = None
        if task_id is not None:
            task = await client.task(task_id)
            if task.parent_id is None:
                root_id, task_id = task.id, None
        call = usage_report(
            group_by=by or ("day" if root_id is None else "task"),
            since=since,
            until=until,
            agent_id=agent_id,
            root_id=root_id,
            task_id=task_id,
            limit=limit,
        )
        found = await client.usage(call)
    return write_one(found, partial(_write, limit=limit), as_json=as_json)


def _write(found: UsageBody, limit: int) -> None:
    head = (
        found.group_by.upper(),
        "USD",
        "CALLS",
        "INPUT",
        "CACHED",
        "OUTPUT",
        "UNPRICED",
        "LOST USD",
        "RESERVED USD",
    )
    rows = [(one.group, *_cells(one)) for one in found.items]
    write_rows(head, [*rows, ("total", *_cells(found.total))])
    if not found.is_complete:
        say(f"there are more; --limit {limit * 2} shows twice as many")
    if found.total.unpriced_calls:
        say(
            f"the price of {found.total.unpriced_calls} call(s) is unknown and in no sum;"
            " CHARGEHAND_MODEL_PRICES gives prices"
        )


def _cells(sums: UsageSums) -> tuple[str, ...]:
    numbers = (sums.calls, sums.input_tokens, sums.cache_read_tokens, sums.output_tokens, sums.unpriced_calls)
    calls, *others = (str(number) for number in numbers)
    return (sums.usd, calls, *others, sums.lost_usd, sums.reserved_usd)
