"""The work of `chargehand deliverables`."""

from pathlib import Path

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode
from chargehand.cli.lines import one_line, seconds_text, size_text
from chargehand.cli.output import write, write_json
from chargehand.cli.unpacking import check_target, deliver
from chargehand.errors import DeliverableNotFound


async def list_deliverables(task_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """What a task has delivered."""
    async with connect(server) as connection:
        found = await connection.client.deliverables(task_id)
    if as_json:
        write_json(found)
        return ExitCode.OK
    for one in found:
        write(f"{one.name}: {len(one.files)} files, {size_text(one.size_bytes)}, sha256 {one.sha256}")
        for seen in one.evidence:
            verdict = "passed" if seen.passed else "FAILED"
            write(f"  {verdict}: {one_line(seen.check)} ({seconds_text(seen.duration_seconds)})")
    return ExitCode.OK


async def get_deliverables(
    task_id: str, name: str | None, server: str | None, *, out: Path, force: bool
) -> ExitCode:
    """Write the files of one deliverable, or of all, into a folder."""
    check_target(out, force=force)
    async with connect(server) as connection:
        client = connection.client
        listed = await client.deliverables(task_id)
        wanted = [one for one in listed if name is None or one.name == name]
        if not wanted:
            stored = ", ".join(one.name for one in listed) or "none yet"
            what = f"no deliverable {name!r}" if name else "no deliverables"
            raise DeliverableNotFound(f"task {task_id} has {what}; stored: {stored}")
        count = await deliver(client, task_id, wanted, out, force=force)
    write(f"{count} files written to {out}")
    return ExitCode.OK
