#!/usr/bin/env python3
"""Set up, run, test and check Chargehand with nothing but Python 3.11 or newer.

    python3 dev.py demo                 the backend crew builds the example service
    python3 dev.py demo --help          what the demo can be told
    python3 dev.py example              the same developer works from a brief in plain words, with a scripted model
    python3 dev.py run serve            any `chargehand` command, from this source tree
    python3 dev.py test                 every test
    python3 dev.py test -k lease -x     arguments go on to pytest
    python3 dev.py chaos                break a whole fleet on purpose for 10 minutes, and check every promise
    python3 dev.py chaos --help         what it can be told; shorter, another seed, one process instead of a fleet
    python3 dev.py check                ruff, basedpyright (strict), import-linter: all are run, all must pass
    python3 dev.py bench                the service beside its peers, measured: docs/performance.md; --help says more
    python3 dev.py fuzz                 hostile requests by the hundred thousand, and schemathesis over the whole API
    python3 dev.py mutants              weaken each guard in a copy, and see that the tests notice; --help says more
    python3 dev.py audit                known vulnerabilities of the locked packages; fails where it cannot ask
    python3 dev.py sbom PATH            write the bill of materials of what is shipped (CycloneDX)
    python3 dev.py setup                only make the environment, for an editor
    python3 dev.py lock                 write the lock files anew after a change of dependencies
    python3 dev.py lock --upgrade       the same, with the newest versions that are a week old

Each command makes what it needs in .venv, or in the folder that CHARGEHAND_VENV names: the packages that the
lock files pin, each checked against its hash. What is there already is used, and nothing is downloaded.
On Windows write `py dev.py` where this says `python3 dev.py`.
"""
# This file must parse on Python 3.6: an old interpreter is to print the text below, not a SyntaxError.

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - for Pythons that the project does not support
    sys.exit(
        "Chargehand needs Python 3.11 or newer; this is Python {}.{}.\nInstall one (python.org, your package "
        "manager, or `uv python install 3.13`) and start this file with it: python3.13 dev.py {}".format(
            sys.version_info[0], sys.version_info[1], " ".join(sys.argv[1:])
        )
    )

import os
import subprocess
import time
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parent)
)  # which Python leaves out where PYTHONSAFEPATH is set

from scripts import audit, environment, lock
from scripts.environment import SetupFailed, say

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "basedpyright": ["basedpyright", "--warnings"],
    "import-linter": ["lint-imports", "--no-logo"],
}


def demo(arguments: list[str]) -> int:
    return run(["demo", *arguments])


def example(arguments: list[str]) -> int:
    environment.ensure("run")
    return hand_over([str(environment.ROOT / "examples" / "brief" / "run.py"), *arguments])


def run(arguments: list[str]) -> int:
    environment.ensure("run")
    return hand_over(["-m", "chargehand", *arguments])


def test(arguments: list[str]) -> int:
    environment.ensure("dev")
    os.chdir(environment.ROOT)
    # One more than there are processors, because many tests wait for other processes; a file's tests stay together,
    # because they may share a service, and in the order of tests/conftest.py.
    workers = min(os.cpu_count() or 1, 4) + 1
    at_once = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    return hand_over(["-m", "pytest", *(arguments or at_once)])


def chaos(arguments: list[str]) -> int:
    environment.ensure("dev")
    # The package lies beside this file; where the report goes is meant from where the command was given.
    return hand_over([str(environment.ROOT / "chaos" / "start.py"), *arguments])


def check(arguments: list[str]) -> int:
    refuse_arguments("check", arguments)
    environment.ensure("dev")
    failed: list[str] = []
    for name, (first, *rest) in CHECKS.items():
        print(f"-- {name}", flush=True)
        started = time.monotonic()
        command = [environment.program(first), *rest]
        done = subprocess.run(command, cwd=environment.ROOT, env=environment.variables(), check=False)
        if done.returncode != 0:
            failed.append(name)
        print(f"   {'FAILED' if done.returncode else 'ok'}, {time.monotonic() - started:.1f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def bench(arguments: list[str]) -> int:
    environment.ensure("dev")
    os.chdir(environment.ROOT)
    return hand_over(["-m", "bench", *arguments])


def fuzz(arguments: list[str]) -> int:
    environment.ensure("dev")
    os.chdir(environment.ROOT)
    return hand_over(["-m", "review.fuzz", *arguments])


def mutants(arguments: list[str]) -> int:
    environment.ensure("dev")
    os.chdir(environment.ROOT)
    return hand_over(["-m", "review.mutants", *arguments])


def sbom(arguments: list[str]) -> int:
    environment.ensure("dev")
    if len(arguments) == 1:
        arguments = [str(Path(arguments[0]).absolute())]  # meant from where the command was given
    os.chdir(environment.ROOT)
    return hand_over(["-m", "scripts.sbom", *arguments])


def setup(arguments: list[str]) -> int:
    refuse_arguments("setup", arguments)
    environment.ensure("dev")
    say(f"the environment is {environment.folder()}")
    return 0


def hand_over(arguments: list[str]) -> int:
    """Become the environment's Python, so that signals and exit code are its own; on Windows wait for it."""
    command = [str(environment.program("python")), *arguments]
    if sys.platform != "win32":
        os.execve(command[0], command, environment.variables())  # noqa: S606 - no shell is wanted
    with subprocess.Popen(command, env=environment.variables()) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the whole console got Ctrl-C: the command ends itself
                say("stopping")


def refuse_arguments(command: str, arguments: list[str]) -> None:
    if arguments:
        raise SetupFailed(
            f"takes no arguments, but was given `{' '.join(arguments)}`: python3 dev.py {command}"
        )


COMMANDS = {
    "demo": demo,
    "example": example,
    "run": run,
    "test": test,
    "chaos": chaos,
    "check": check,
    "bench": bench,
    "fuzz": fuzz,
    "mutants": mutants,
    "audit": audit.audit,
    "sbom": sbom,
    "setup": setup,
    "lock": lock.write,
}


def main(arguments: list[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in {"", "help", "-h", "--help"}:
        print(__doc__)
        return 0 if name else 2
    if name not in COMMANDS:
        say(f"dev.py has no command {name!r}, but: {', '.join(COMMANDS)}. `python3 dev.py --help` says more.")
        return 2
    try:
        return COMMANDS[name](rest)
    except (SetupFailed, OSError) as failure:
        say(f"dev.py {name}: {failure}")
        return 1
    except KeyboardInterrupt:
        say("\nstopped; the same command goes on where this one was")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
