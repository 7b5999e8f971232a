"""What the accept benchmark compares with: a FastAPI endpoint that checks a body and stores nothing."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    """The body of a submission."""

    task_data: dict[str, Any]


@app.post("/agents/{agent_id}/tasks", status_code=202)
async def submit(agent_id: str, order: Order) -> dict[str, Any]:
    """Answer as if the task had been accepted."""
    return {"id": "00000000-0000-7000-8000-000000000000", "agent_id": agent_id, "task_data": order.task_data}
