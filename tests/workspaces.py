"""What a task's workspace holds, seen from outside: its folder, or its newest snapshot where a fleet has those."""

import json
import zlib
from pathlib import Path

from tests.given import query


def files_of(data: Path, task_id: str) -> dict[str, str]:
    """Every file's text by its path; what no attempt has published counts for nothing."""
    database = data / "chargehand.db"
    statement = (
        "SELECT manifest FROM workspace_heads JOIN agent_tasks"
        " ON workspace_heads.workspace_id = coalesce(agent_tasks.workspace_id, agent_tasks.id)"
        " WHERE agent_tasks.id = ?"
    )
    heads = query(database, statement, task_id)
    if not heads:
        folder = data / "workspaces" / task_id
        return {
            path.relative_to(folder).as_posix(): path.read_text("utf-8")
            for path in folder.rglob("*")
            if path.is_file()
        }
    manifest = json.loads(zlib.decompress(_blob(data, heads[0][0])))
    return {"/".join(parts): _blob(data, digest).decode() for digest, _, _, *parts in manifest["files"]}


def _blob(data: Path, digest: str) -> bytes:
    return (data / "blobs" / digest[:2] / digest).read_bytes()
