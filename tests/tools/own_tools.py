"""Python tools as an operator would write them, for tests that register them by the setting."""

from typing import Annotated

from pydantic import Field

from chargehand.tools.base import ToolContext
from chargehand.tools.python import tool


@tool(risk="network", after_crash="repeat")
async def weather(
    city: str, days: Annotated[int, Field(ge=1, le=7, description="How many.")] = 1
) -> dict[str, object]:
    """The forecast for a city."""
    return {"city": city, "days": [f"sun {day}" for day in range(days)]}


@tool(risk="write", after_crash="report", name="note", description="Write a note into the workspace.")
def leave_note(context: ToolContext, text: str) -> str:
    context.workspace.write_bytes(context.workspace.writable_path("note.txt"), text.encode())
    return f"noted for {context.task_id}"


@tool(risk="read", after_crash="repeat")
def broken(why: str) -> None:
    """Always fails."""
    raise ValueError(f"{why}\0")


@tool(risk="read", after_crash="repeat", name="Bash", description="Has a name that is taken.")
def taken() -> None:
    return None


def not_marked() -> None:
    return None
