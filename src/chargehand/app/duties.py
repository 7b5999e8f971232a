"""What one process at a time sees to for all of them."""

from datetime import datetime

from chargehand.app.engines import EngineDoor
from chargehand.app.webhooks import WebhookParts
from chargehand.engine.duties import Duty
from chargehand.service.retention import Retention
from chargehand.service.schedule_runs import ScheduleRuns
from chargehand.service.upkeep import Upkeep


def duties_of(
    upkeep: Upkeep,
    schedule_runs: ScheduleRuns,
    retention: Retention,
    webhooks: WebhookParts,
    door: EngineDoor,
    *,
    is_shared: bool,
) -> list[Duty]:
    """What one process at a time sees to for all. Alone, a process sweeps, minds schedules and sends by itself."""

    async def sweep(now: datetime) -> datetime | None:
        del now
        carried = door.engine.carrier.attempts_carried() if door.engine is not None else {}
        return await upkeep.sweep(but_not=carried)

    async def prune(now: datetime) -> datetime | None:
        del now
        await retention.duty()

    duties: list[Duty] = []
    if is_shared:
        duties += [Duty(name="sweeper", do=sweep, every_seconds=1.0), of_schedules(schedule_runs)]
        duties.append(webhooks.duty())
    if retention.keep is not None:
        duties.append(Duty(name="retention", do=prune, every_seconds=3600.0))
    return duties


def of_schedules(schedule_runs: ScheduleRuns) -> Duty:
    """The duty of bringing scheduled tasks."""
    # Another process may have made a schedule that is due before all that this one knows of.
    return Duty(name="schedules", do=schedule_runs.run_due, every_seconds=1.0)
