"""The command line as a process, and a service for it to talk to as another one."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from typer.testing import CliRunner

from chargehand.cli.main import app

HERE = Path(__file__).parent
LIMIT_SECONDS = 60.0
"""How long a command may take; a good run takes about one second."""

DEFINITIONS = {
    "greeter": "  playbook: greet\n  deliverables:\n    - name: greeting\n      path: greetings\n      checks:\n"
    "        - name: it greets\n          run: grep -rq Hello greetings\n",
    "leader": "  playbook: lead\n  delegates: [greeter]\n  deliverables:\n    - name: book\n      path: book\n"
    "      checks:\n        - name: it has an end\n          run: test -s book/deeper/last.txt\n",
    "asker": "  playbook: ask\n",
    "waiter": "  playbook: wait\n",
    "failer": "  playbook: fail\n  repair_rounds: 0\n  deliverables:\n    - name: answer\n      path: answer.txt\n"
    "      checks:\n        - name: the answer is right\n          run: echo it is 41 >&2; grep -q 42 answer.txt\n",
}


def definition(name: str, block: str) -> str:
    """An agent's file."""
    return (
        f"---\nname: {name}\ndescription: The {name}.\nchargehand:\n  runtime: playbook\n{block}---\nDo it.\n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cli:
    """`chargehand` with an environment of its own."""

    environment: Mapping[str, str]
    folder: Path
    """Where it is started."""
    data_dir: Path

    def with_environment(self, **more: str) -> "Cli":
        return replace(self, environment={**self.environment, **more})

    def run(
        self, *arguments: str, stdin: str = "", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.argv(*arguments),
            env=dict(self.environment),
            cwd=folder or self.folder,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def call(
        self, *arguments: str, stdin: str = "", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As `run`, in this process: for what ends by itself and begins no service of its own.

        An interpreter and its imports cost a second each time, and such a command needs neither.
        """
        there = dict.fromkeys(os.environ) | dict(self.environment)
        with chdir(folder or self.folder):
            done = CliRunner().invoke(app, arguments, input=stdin, env=there, prog_name="chargehand")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command whose output is read line by line."""
        return subprocess.Popen(
            self.argv(*arguments),
            env=dict(self.environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    @staticmethod
    def argv(*arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "chargehand", *arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that runs."""

    url: str
    process: subprocess.Popen[str]
    greeting: Sequence[str] = field(default_factory=list[str])


def cli_in(folder: Path) -> Cli:
    """A command line whose data folder, agents and working folder lie below `folder`."""
    agents, work = folder / "agents", folder / "work"
    for one in (agents, work):
        one.mkdir(parents=True, exist_ok=True)
    for name, block in DEFINITIONS.items():
        (agents / f"{name}.md").write_text(definition(name, block), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARGEHAND_")}
    playbooks = ",".join(f'"{name}=cli_crew:{name}"' for name in ("greet", "lead", "ask", "wait", "fail"))
    environment = {
        **kept,
        "CHARGEHAND_DATA_DIR": str(folder / "data"),
        "CHARGEHAND_AGENTS_DIR": str(agents),
        "CHARGEHAND_PLAYBOOKS": f"[{playbooks}]",
        "CHARGEHAND_LOG_LEVEL": "error",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), kept.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "COLUMNS": "200",
    }
    return Cli(environment=environment, folder=work, data_dir=folder / "data")


@contextmanager
def running_service(cli: Cli, *arguments: str) -> Generator[Running]:
    """`chargehand serve` on a free port, stopped at the end as an operator stops it."""
    process = cli.start("serve", "--port", "0", *arguments)
    try:
        greeting = list(_greeting(process))
        url = next(line for line in greeting if " answers at " in line).split(" answers at ")[1].split(";")[0]
        yield Running(url=url, process=process, greeting=greeting)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_SECONDS)


def _greeting(process: subprocess.Popen[str]) -> Iterator[str]:
    """What the service says up to the line with the example call."""
    assert process.stderr is not None
    for line in process.stderr:
        yield line.rstrip("\n")
        if "curl" in line:
            return
    raise AssertionError(f"the service ended with {process.wait()} before it answered")
