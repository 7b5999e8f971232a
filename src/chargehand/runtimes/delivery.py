"""What an agent promised is looked for, checked in the sandbox, and only then stored.

Each check is a journaled step, so that after a crash none is run a second time. Nothing of the workspace is
executed outside the sandbox.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from chargehand.domain.deliverable import Check, Deliverable, DeliveredFile, Evidence, Promise
from chargehand.domain.history import StepKind
from chargehand.domain.values import JsonObject, JsonValue, content_hash
from chargehand.errors import ToolError
from chargehand.runtimes.base import Hands
from chargehand.tools.sandbox.base import SandboxCommand
from chargehand.tools.shell import shell_argv
from chargehand.tools.workspace import EntryKind, Workspace

MAX_FILE_BYTES = 256 * 1024 * 1024
OUTPUT_CHARACTERS = 4000
PASSED_OVER = frozenset(
    {
        ".chargehand",
        "__pycache__",
        ".pytest_cache",
        ".ruff_cache",
        ".mypy_cache",
        ".venv",
        ".git",
        ".coverage",
    }
)
"""Names that are never part of a deliverable: caches, and what belongs to the service."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks of one round found."""

    evidence: tuple[Evidence, ...]

    @property
    def failures(self) -> tuple[Evidence, ...]:
        """The evidence that speaks against."""
        return tuple(one for one in self.evidence if not one.passed)


async def check_all(hands: Hands) -> Verdict:
    """Run every check of every promise; a deliverable that does not exist is one failed check."""
    evidence: list[Evidence] = []
    for index, promise in enumerate(hands.definition.block.deliverables):
        for number, check in enumerate((_EXISTS, *promise.checks)):
            found = await _checked(hands, f"{hands.task.round}/check.{index}.{number}", promise, check)
            evidence.append(found)
            if check is _EXISTS and not found.passed:
                break
    return Verdict(tuple(evidence))


async def failures_before(hands: Hands) -> tuple[Evidence, ...]:
    """What the round before this one failed on, read from the journal."""
    if hands.task.round == 0:
        return ()
    prefix = f"{hands.task.round - 1}/check."
    steps = [step for path, step in hands.steps.recorded.items() if path.startswith(prefix)]
    # In the order in which they were run, so that a replay is told what the agent was told.
    steps.sort(key=lambda step: [int(number) for number in step.path.removeprefix(prefix).split(".")])
    found = [Evidence.from_data(step.result) for step in steps if isinstance(step.result, dict)]
    return tuple(one for one in found if not one.passed)


async def store_all(hands: Hands, verdict: Verdict) -> None:
    """Keep the bytes of every deliverable, then their manifests and evidence."""
    delivered: list[Deliverable] = []
    for promise in hands.definition.block.deliverables:
        evidence = tuple(one for one in verdict.evidence if one.deliverable == promise.name)
        held = sum(one.size_bytes for one in delivered)
        delivered.append(await _gathered(hands, promise, evidence, held))
    await hands.deliveries.store(hands.task, delivered)


_EXISTS = Check(name="exists")


async def _checked(hands: Hands, path: str, promise: Promise, check: Check) -> Evidence:
    arguments: JsonObject = {"deliverable": promise.name, "path": promise.path, "check": check.as_data()}

    async def work() -> JsonValue:
        started = hands.clock.monotonic()
        passed, output, exit_code = await _look(hands, promise, check)
        return Evidence(
            deliverable=promise.name,
            check=check.name,
            passed=passed,
            output=output[-OUTPUT_CHARACTERS:],
            exit_code=exit_code,
            duration_seconds=round(hands.clock.monotonic() - started, 3),
        ).as_data()

    name = f"check:{promise.name}"[:128]
    runs_code = check.run is not None
    result = await hands.steps.run(path, StepKind.CHECK, name, arguments, work, changes_files=runs_code)
    return Evidence.from_data(result if isinstance(result, dict) else {})


async def _look(hands: Hands, promise: Promise, check: Check) -> tuple[bool, str, int | None]:
    """(passed, what was seen, exit code)."""
    workspace = hands.tools.workspace
    if check.run is not None:
        return await _run(hands, check)
    try:
        if check is _EXISTS:
            return await asyncio.to_thread(_exists, workspace, promise.path)
        text = await asyncio.to_thread(_text, workspace, promise.path)
    except ToolError as error:
        return False, error.message, None
    if check.json:
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            return False, f"{promise.path} is not JSON: {error}", None
        return True, f"{promise.path} parses as JSON", None
    found = (check.contains or "") in text
    return found, f"{promise.path} {'holds' if found else 'does not hold'} {check.contains!r}", None


async def _run(hands: Hands, check: Check) -> tuple[bool, str, int | None]:
    command = SandboxCommand(
        argv=shell_argv(check.run or "", is_windows=sys.platform == "win32", bash=shutil.which("bash")),
        workspace=hands.tools.workspace.folder,
        limits=replace(hands.tools.limits, wall_seconds=check.timeout_seconds),
    )
    ended = await hands.tools.sandbox.run(command)
    output = (ended.stdout + ended.stderr).decode("utf-8", "replace").replace("\x00", "")
    if not ended.succeeded and ended.exit_code is None:
        output += f"\n[ended by {ended.ended_by.value} after {ended.duration_seconds:.1f} s]"
    return ended.succeeded, output, ended.exit_code


def _exists(workspace: Workspace, path: str) -> tuple[bool, str, int | None]:
    files = _files(workspace, path)
    size = sum(len(data) for _, data in files)
    if not files:
        return False, f"{path} does not exist, or is an empty folder", None
    if size == 0:
        return False, f"{path} is empty", None
    return True, f"{path}: {len(files)} file(s), {size} bytes", None


def _text(workspace: Workspace, path: str) -> str:
    return workspace.read_bytes(workspace.path(path), max_bytes=MAX_FILE_BYTES).data.decode(
        "utf-8", "replace"
    )


def _files(workspace: Workspace, path: str) -> list[tuple[str, bytes]]:
    """(path inside the deliverable, bytes) of a file or of a folder's files, in order."""
    logical = workspace.path(path)
    if not workspace.exists(logical):
        return []
    entry = workspace.stat(logical)
    if entry.kind is EntryKind.FILE:
        return [
            (PurePosixPath(str(logical)).name, workspace.read_bytes(logical, max_bytes=MAX_FILE_BYTES).data)
        ]
    found = workspace.walk(logical, enter=lambda one: one.path.name not in PASSED_OVER)
    base = str(logical)
    files = [
        (_inside(str(one.path), base), workspace.read_bytes(one.path, max_bytes=MAX_FILE_BYTES).data)
        for one in found
        if one.kind is EntryKind.FILE and one.path.name not in PASSED_OVER
    ]
    return sorted(files)


def _inside(path: str, base: str) -> str:
    return path if base in (".", "") else PurePosixPath(path).relative_to(base).as_posix()


async def _gathered(
    hands: Hands, promise: Promise, evidence: Sequence[Evidence], others_bytes: int
) -> Deliverable:
    """`others_bytes`: what the task's deliverables before this one hold."""
    workspace = hands.tools.workspace
    logical = workspace.path(promise.path)
    is_folder = workspace.stat(logical).kind is EntryKind.FOLDER
    files = await asyncio.to_thread(_files, workspace, promise.path)
    # Before a byte is kept, for what is refused would lie there until the next sweep.
    await hands.deliveries.require_room(hands.task, others_bytes + sum(len(data) for _, data in files))
    kept = [
        DeliveredFile(path=path, sha256=await hands.deliveries.keep(data), size_bytes=len(data))
        for path, data in files
    ]
    manifest: list[JsonValue] = [[one.path, one.sha256, one.size_bytes] for one in kept]
    return Deliverable(
        task_id=hands.task.id,
        name=promise.name,
        path=promise.path,
        is_folder=is_folder,
        sha256=content_hash(manifest) if is_folder else kept[0].sha256,
        size_bytes=sum(one.size_bytes for one in kept),
        files=tuple(kept),
        evidence=tuple(evidence),
        stored_at=hands.clock.now(),
    )
