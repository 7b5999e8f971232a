"""What a task with a workspace of its own has changed, applied to the shared one: manifests only, no folder.

Rule: as tools/own_workspace.py has it. What both sides have changed is left as the shared workspace has it and told;
the other version is put below `.chargehand/conflicts`. A second time finds what the first has done.
"""

from collections.abc import Container

from chargehand.domain.snapshot import FileEntry, Manifest, Parts, path_problem
from chargehand.errors import ToolError
from chargehand.tools.own_workspace import Changes
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath, check_writable, listed, parse_path


def brought_back(
    own: Manifest, base: Manifest, shared: Manifest, *, task_id: str, passed_over: Container[str]
) -> tuple[Manifest, Changes]:
    """The shared workspace with what `own` has changed since `base`, and what came of each change."""
    files = dict(shared.files)
    told = Changes()
    folders = {parts[:depth] for parts in (*files, *shared.folders) for depth in range(1, len(parts))}
    for parts in sorted(base.files.keys() | own.files.keys()):
        was, mine, theirs = base.files.get(parts), own.files.get(parts), files.get(parts)
        if was == mine or any(part in passed_over for part in parts):
            continue
        path = LogicalPath(parts)
        try:
            parse_path(str(path))
            check_writable(path)
            _require_place(parts, files, folders | shared.folders)
        except ToolError as error:
            told.conflicts.append((listed(path), error.message))
            continue
        if theirs not in (was, mine):
            told.conflicts.append((listed(path), _put_aside(files, folders, parts, mine, task_id)))
            continue
        told.applied.append(listed(path))
        if mine is None:
            files.pop(parts, None)
        else:
            files[parts] = mine
            folders |= {parts[:depth] for depth in range(1, len(parts))}
    needless = {parts[:depth] for parts in files for depth in range(1, len(parts))}
    return Manifest(files, shared.folders - needless, shared.base), told


def _require_place(
    parts: Parts, files: dict[Parts, FileEntry], folders: set[Parts] | frozenset[Parts]
) -> None:
    if parts in folders:
        raise ToolError("it is a folder in the shared workspace, and was left")
    if any(parts[:depth] in files for depth in range(1, len(parts))):
        raise ToolError("a part of the path is a file in the shared workspace, and was left")


def _put_aside(
    files: dict[Parts, FileEntry], folders: set[Parts], parts: Parts, mine: FileEntry | None, task_id: str
) -> str:
    if mine is None:
        return "deleted here, changed meanwhile in the shared workspace; it was left"
    aside = (SERVICE_FOLDER, "conflicts", task_id, *parts)
    in_the_way = aside in folders or any(aside[:depth] in files for depth in range(1, len(aside)))
    if in_the_way or path_problem(aside):
        return "changed on both sides; the shared version was left"
    files[aside] = mine
    return f"changed on both sides; the shared version was left, this one is in {listed(LogicalPath(aside))}"
