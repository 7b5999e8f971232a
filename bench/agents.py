"""The agents of the benchmark, the same three pieces of work as the peers': nothing, a wait, a longer wait."""

import asyncio
from pathlib import Path
from typing import Any

NAMES = ("noop", "wait50", "hold")
FUNCTIONS = [f"{name}=bench.agents:{name}" for name in NAMES]


async def noop(task_data: dict[str, Any]) -> dict[str, Any]:
    """About a hundred bytes back."""
    return {"seen": len(task_data), "note": "n" * 80}


async def wait50(task_data: dict[str, Any]) -> dict[str, Any]:
    """What waits 50 ms, as an agent waits for a model."""
    await asyncio.sleep(0.05)
    return await noop(task_data)


async def hold(task_data: dict[str, Any]) -> dict[str, Any]:
    """What waits as long as it is told."""
    await asyncio.sleep(float(task_data["seconds"]))
    return await noop(task_data)


def write_definitions(folder: Path) -> None:
    """One file an agent, for CHARGEHAND_AGENTS_DIR."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        block = f"chargehand:\n  runtime: function\n  function: {name}\n"
        text = f"---\nname: {name}\ndescription: Work of the benchmark.\n{block}---\nIt works.\n"
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
