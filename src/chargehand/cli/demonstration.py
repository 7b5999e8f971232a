"""`chargehand demo`: the backend crew builds the example service, in a data folder that belongs to the demo.

Rule: a demo that was stopped or killed at any moment goes on with --resume; only a folder that a demo made is
ever removed.
"""

import json
import os
import shutil
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import chargehand
from chargehand.cli import demo_fleet
from chargehand.cli.configured import load_settings
from chargehand.cli.connection import Connection, connect
from chargehand.cli.demo_fleet import DemoFleet, FleetOptions
from chargehand.cli.endings import Advice
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.running import Order, see_through, submit, until_stopped
from chargehand.cli.unpacking import check_target
from chargehand.domain.task import FINAL, Status
from chargehand.errors import InvalidInput
from chargehand.settings import Settings
from chargehand.wire.rest import TaskBody

AGENT = "backend-developer"
EXAMPLE = "bookstore.yaml"
LABELS = {"demo": "bookstore"}
FOLDER = Path("chargehand-data")
_MARK = "demo.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demo:
    """What a demo must know of itself after a kill: which task is its own, and where it delivers."""

    key: str
    """The Idempotency-Key of its task."""
    out: str
    made_folder: bool

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = folder / f"{_MARK}.new"
        told = {"key": self.key, "out": self.out, "made_folder": self.made_folder}
        temporary.write_text(json.dumps(told), encoding="utf-8")
        temporary.replace(folder / _MARK)


async def demo(
    out: Path, *, resume: bool, keep: bool, force: bool, as_json: bool, fleet: FleetOptions | None = None
) -> ExitCode:
    """`chargehand demo`; with `fleet` on processes of their own."""
    settings = _settings() if fleet is None else demo_fleet.fleet_settings(fleet)
    before = _read(settings.data_dir)
    state = before if resume and before is not None else _begin(settings, out, before, fleet)
    goes_on = resume and before is not None
    # What a killed demo had written already is its own.
    target, force = Path(state.out), force or goes_on
    check_target(target, force=force)
    if not goes_on and fleet is None:
        _remove_own(settings.data_dir, before)
        state.write(settings.data_dir)
    order = Order(
        agent_id=AGENT,
        task_data={"specification": example_text()},
        labels=LABELS,
        idempotency_key=state.key,
    )
    advice = _advice(settings, fleet)

    async def work() -> ExitCode:
        async with _place(settings, fleet) as (connection, running):
            if running is not None and not goes_on:
                # Not before: the folder of a fleet that was refused is left as it was.
                state.write(settings.data_dir)
                await demo_fleet.cancel_earlier(connection.client, LABELS)
            task = await _reopened(connection, await submit(connection, order))
            if not as_json:
                say(f"The backend crew builds {EXAMPLE} (task {task.id})")
            beside = running.news if running is not None else None
            seeing = see_through(
                connection, task, out=target, force=force, as_json=as_json, advice=advice, beside=beside
            )
            code = await (running.during(seeing) if running is not None else seeing)
            for name in running.deaths.left() if running is not None else ():
                say(f"{name} was not killed: it was not at work when its turn came")
            return code

    # From before the first process to after the last one: a signal at any moment leaves none behind.
    code = await until_stopped(work(), f"stopped; go on with: {advice.go_on}{advice.where}")
    if code is ExitCode.OK:
        _finish(settings.data_dir, state, keep=keep)
        if not as_json:
            say(f"Its README says how to start it: {target / 'README.md'}")
    return code


@asynccontextmanager
async def _place(
    settings: Settings, fleet: FleetOptions | None
) -> AsyncGenerator[tuple[Connection, DemoFleet | None]]:
    """Where the demo's task is carried out: in this process, or by a fleet that ends with it."""
    if fleet is None:
        async with connect(None, engine=True, settings=settings) as connection:
            yield connection, None
        return
    async with (
        demo_fleet.open_fleet(settings, fleet) as running,
        connect(running.processes.url, settings=settings) as connection,
    ):
        yield replace(connection, is_own=True), running


def _advice(settings: Settings, fleet: FleetOptions | None) -> Advice:
    where = "" if os.environ.get("CHARGEHAND_DATA_DIR") else f" (CHARGEHAND_DATA_DIR={settings.data_dir})"
    return Advice(go_on=f"chargehand demo{' --fleet' if fleet else ''} --resume", where=where)


def example_text() -> str:
    """The example specification: inside the package when installed, beside the sources in a clone."""
    packaged = resources.files("chargehand.crew") / "examples" / EXAMPLE
    beside = Path(chargehand.__file__).parents[2] / "examples" / EXAMPLE
    for place in (packaged, beside):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise InvalidInput(f"the example {EXAMPLE} is missing from this installation; install Chargehand again")


def _settings() -> Settings:
    if os.environ.get("CHARGEHAND_DATA_DIR"):
        return load_settings()
    return load_settings(data_dir=FOLDER.absolute())


def _begin(settings: Settings, out: Path, before: _Demo | None, fleet: FleetOptions | None) -> _Demo:
    is_ours = before.made_folder if before else not settings.data_dir.exists()
    # A fleet's folder holds what the rows of its database name, and the key to them: it is never removed.
    own = is_ours and fleet is None and not os.environ.get("CHARGEHAND_DATA_DIR")
    return _Demo(key=f"demo-{uuid.uuid4()}", out=str(out.absolute()), made_folder=own)


def _read(folder: Path) -> _Demo | None:
    try:
        told = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        return _Demo(key=str(told["key"]), out=str(told["out"]), made_folder=told["made_folder"] is True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_own(folder: Path, before: _Demo | None) -> None:
    """A demo that is not to go on leaves nothing behind that would start to work again."""
    if before is not None and before.made_folder:
        _remove(folder)


async def _reopened(connection: Connection, task: TaskBody) -> TaskBody:
    """A demo that is resumed gets another try when it had failed or was canceled."""
    if task.status in FINAL and task.status is not Status.COMPLETED:
        return await connection.client.retry(task.id)
    return task


def _finish(folder: Path, state: _Demo, *, keep: bool) -> None:
    if keep or not state.made_folder:
        say(f"Look into it: CHARGEHAND_DATA_DIR={folder} chargehand tasks list")
    else:
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        say(f"{folder} could not be removed wholly; delete it by hand")
