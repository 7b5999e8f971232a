"""Asks whether a locked package has a known vulnerability, and does not take silence for an answer.

Rule: where the advisories cannot be had the audit fails, and says so apart from a finding. pip-audit by itself reports
"no known vulnerabilities" from an index that answers without any; so a version with well-known ones is asked for first.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import environment
from scripts.environment import LOCKS, program, say
from scripts.packages import locked

CLEAN, VULNERABLE, UNREACHABLE = 0, 1, 2
CONTROL = {"jinja2": "2.4.1"}
"""Has had advisories since 2014; an answer without them comes from no advisories at all."""
WAY_OUT = """\
The advisories could not be had, so nothing is known about the locked packages. pip-audit asks the public package
index (PIP_INDEX_URL does not change that) or, with `python3 dev.py audit -s osv`, api.osv.dev; behind a proxy set
HTTPS_PROXY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What pip-audit said of some packages. `reason`: why it could not."""

    vulnerable: Mapping[str, Sequence[str]]
    """Package and version, each with the ids of its advisories."""
    reason: str = ""


def audit(arguments: Sequence[str]) -> int:
    """Ask for every pin of both lock files, whatever platform it is for; arguments go on to pip-audit."""
    environment.ensure("dev")
    control = asked(CONTROL, arguments)
    if control.reason or not control.vulnerable:
        say(f"{control.reason or 'the index knows no advisory of ' + str(CONTROL)}\n\n{WAY_OUT}")
        return UNREACHABLE
    pins = {name: one.version for lock in LOCKS.values() for name, one in locked(lock).items()}
    found = asked(pins, arguments)
    if found.reason:
        say(f"{found.reason}\n\n{WAY_OUT}")
        return UNREACHABLE
    for name, advisories in sorted(found.vulnerable.items()):
        say(f"{name}: {', '.join(advisories)}")
    say(f"{len(pins)} packages asked for, {len(found.vulnerable)} with known vulnerabilities")
    return VULNERABLE if found.vulnerable else CLEAN


def asked(pins: Mapping[str, str], arguments: Sequence[str]) -> Answer:
    """What pip-audit says of these versions; `--strict`, so that one it cannot ask for is no good answer."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()), encoding="utf-8")
        quiet = ["--format=json", "--progress-spinner=off", "--desc=off"]
        command = [str(program("pip-audit")), "--strict", "--disable-pip", "--no-deps", *quiet]
        done = subprocess.run(
            [*command, *arguments, "-r", str(listed)],
            env=environment.variables(), capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
    return read(done.stdout, done.stderr, done.returncode, asked_for=len(pins))


def read(output: str, errors: str, code: int, *, asked_for: int) -> Answer:
    """The answer in pip-audit's output; a reason where it holds none, or not one for every package."""
    try:
        told: list[dict[str, Any]] = json.loads(output)["dependencies"] or []
    except (ValueError, KeyError, TypeError):
        lines = [line for line in errors.splitlines() if not line.startswith("WARNING")]
        return Answer(vulnerable={}, reason=f"pip-audit ended with {code}:\n" + "\n".join(lines[-8:]))
    skipped = [str(one["name"]) for one in told if "skip_reason" in one]
    if skipped or len(told) < asked_for:
        return Answer(
            vulnerable={}, reason=f"{len(told)} of {asked_for} packages were answered for; not {skipped[:10]}"
        )
    return Answer(
        vulnerable={
            f"{one['name']} {one['version']}": [str(advisory["id"]) for advisory in one["vulns"]]
            for one in told
            if one["vulns"]
        }
    )
