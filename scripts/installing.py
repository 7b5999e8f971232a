"""Runs pip: shows how far it is, and when it fails says why and what to do.

Rule: nothing is built and nothing without a locked hash is taken, the build backend of this package included.
"""

import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

NO_NETWORK_SIGNS = (
    "ConnectionError",
    "NewConnectionError",
    "NameResolutionError",
    "ProxyError",
    "SSLError",
    "ReadTimeoutError",
    "Temporary failure in name resolution",
    "getaddrinfo failed",
    "timed out",
    "unreachable",
)
NO_NETWORK = """\
The package index could not be reached. Behind a proxy set HTTPS_PROXY; with a mirror of your own set
PIP_INDEX_URL, and PIP_CERT where it has its own certificate.
Without any network: where there is one, on the same system and Python, run
    python3 -m pip download --no-deps --only-binary :all: -d wheels -r {lock}
then bring the folder `wheels` here and set PIP_NO_INDEX=1 and PIP_FIND_LINKS to its path."""
NO_WHEEL = f"""\
A locked package has no ready-made file for this machine. The lock files cover Python 3.11 to 3.14 on Linux
with glibc and macOS (x86-64 and ARM64) and on Windows (x86-64; on Windows for ARM64 take an x86-64 Python).
This is Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}."""
WRONG_HASH = """\
A downloaded file is not the one that was locked. A mirror or a proxy that alters files does this; if there is
none in the way, do not go on, and report it."""
FULL_DISK = """\
The disk is full. The environment needs up to 700 MB; CHARGEHAND_VENV can name a folder on another disk."""


class SetupFailed(Exception):
    """The environment could not be made; the message says why and what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def install_locked(python: Sequence[str], lock: Path, variables: Mapping[str, str]) -> None:
    packages = sum(line[:1].isalnum() for line in lock.read_text(encoding="utf-8").splitlines())
    say(f"installing up to {packages} packages from {lock.name}")
    arguments = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)]
    last_lines = pip_install(python, arguments, variables, packages)
    if last_lines:
        raise SetupFailed(f"pip failed:\n{last_lines}\n\n{likely_reason(last_lines, lock)}")


def install_source_tree(python: Sequence[str], root: Path, variables: Mapping[str, str]) -> None:
    # --no-index: the build backend came with the lock file, and nothing else may be fetched for this.
    arguments = ["--no-deps", "--no-index", "--no-build-isolation", "--editable", str(root)]
    last_lines = pip_install(python, arguments, variables, 1)
    if last_lines:
        raise SetupFailed(f"pip could not install this source tree:\n{last_lines}")


def pip_install(
    python: Sequence[str], arguments: Sequence[str], variables: Mapping[str, str], packages: int
) -> str:
    """Nothing when it went well, else pip's last lines."""
    command = [
        *python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]
    last_lines = deque[str](maxlen=25)
    begun = 0
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=variables,
    ) as process:
        for line in process.stdout or ():
            if not line.startswith("Ignoring "):  # a package that another platform needs
                last_lines.append(f"  {line.rstrip()}")
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                begun += 1
                package = line.split("==")[0].split(" ")[-1]
                show_progress(f"  {begun} of {packages}: {package}")
            elif line.startswith("Installing collected packages"):
                show_progress("  unpacking")
    show_progress("")
    return "\n".join(last_lines) if process.returncode else ""


def show_progress(text: str) -> None:
    """One line that is written over; nothing where no person watches."""
    if sys.stderr.isatty():
        print(f"\r{text[:78]:78}\r", end="", file=sys.stderr, flush=True)


def likely_reason(output: str, lock: Path) -> str:
    if "DO NOT MATCH THE HASHES" in output:
        return WRONG_HASH
    if "No space left on device" in output or "Errno 28" in output:
        return FULL_DISK
    if any(sign in output for sign in NO_NETWORK_SIGNS):
        return NO_NETWORK.format(lock=lock.name)
    if "No matching distribution" in output:
        return NO_WHEEL
    return "The same command, given again, goes on where this one stopped."
