"""What `chargehand service install` does, worked out before anything is touched; pure. `--dry-run` prints it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PureWindowsPath

from chargehand.errors import InvalidInput
from chargehand.store.windows_folders import local_folder
from chargehand.windows.accounts import Account, account_of
from chargehand.windows.command_lines import command_line, is_of_one_user
from chargehand.windows.settings_file import FILE_NAME, environment_block

DEFAULT_NAME = "Chargehand"
DESCRIPTION = "Runs AI agents as dependable workers. Settings: chargehand.env in its data folder."
RESTART_DELAYS_SECONDS = (5, 30, 60)
"""How long Windows waits before it starts the service again, after the first failure, the second, each later one."""
RESET_PERIOD_SECONDS = 86_400
"""After so long without a failure the next counts as the first again."""
PRIVILEGES = ("SeChangeNotifyPrivilege",)
"""All that the service's process keeps: passing through folders, which everybody may."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,79}")


class StartType(StrEnum):
    """When Windows starts the service."""

    AUTO = "auto"
    DELAYED = "delayed"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python that runs the service. In a virtual environment `base` is the one that it was made of."""

    program: str
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPlan:
    """A service that is to be."""

    name: str
    command: str
    account: Account
    start: StartType
    data_dir: PureWindowsPath
    environment: tuple[str, ...]
    stop_seconds: float

    def lines(self) -> Iterator[str]:
        """What will be done, for a person."""
        delays = ", ".join(f"{one} s" for one in RESTART_DELAYS_SECONDS)
        yield f"the folder {self.data_dir}: the system and administrators everything, {self.account.name} read and"
        yield "  write, nobody else anything"
        yield f"the service {self.name}, started {self.start}, as {self.account.name}"
        if self.account.needs_logon_right:
            yield f"  {self.account.name} may log on as a service"
        yield f"  runs {self.command}"
        for one in self.environment:
            yield f"  with {one}"
        yield f"  settings and secrets: {self.data_dir / FILE_NAME}; log: {self.data_dir / 'logs'}"
        yield f"  after a failure started again, after {delays}; failures are forgotten after a day"
        yield f"  when Windows shuts down it has {self.stop_seconds:g} s to give back what it carries"
        yield f"the event source {self.name} in the application log"


def install_plan(
    *,
    name: str,
    account: str | None,
    start: StartType,
    data_dir: str,
    interpreter: Interpreter,
    grace_seconds: float,
) -> InstallPlan:
    """InvalidInput for whatever Windows would refuse later, or would take for something else."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"--name {name!r}: a letter, then up to 79 letters, digits, _ and -")
    folder = local_folder(data_dir, called="--data-dir")
    for program in {interpreter.program, interpreter.base}:
        if is_of_one_user(program):
            raise InvalidInput(
                f"{program} belongs to one user, and the service's account cannot read it; install Python for all"
                " users and Chargehand into a folder such as C:\\Program Files\\Chargehand"
            )
    environment = {"CHARGEHAND_DATA_DIR": str(folder), "PYTHONUTF8": "1"}
    if interpreter.base.casefold() != interpreter.program.casefold():
        # The program in a virtual environment only starts the base one and waits: Windows would watch the wrong
        # process. Started by this name, the base one finds the environment by itself, as multiprocessing has it.
        environment["__PYVENV_LAUNCHER__"] = interpreter.program
    return InstallPlan(
        name=name,
        # -P, -s: nothing is imported from the folder it starts in, nor from a user's own packages.
        command=command_line(
            interpreter.base, "-P", "-s", "-m", "chargehand", "service", "run", "--name", name
        ),
        account=account_of(account, name),
        start=start,
        data_dir=folder,
        environment=tuple(environment_block(environment)),
        stop_seconds=grace_seconds + 30,
    )
