"""FastAPI that checks a body and stores nothing: what no service can be faster than."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
ID = "00000000-0000-7000-8000-000000000000"


class TaskIn(BaseModel):
    """The body of a submission."""

    task_data: dict[str, Any]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/agents/{agent_id}/tasks", status_code=202)
async def submit(agent_id: str, sent: TaskIn) -> dict[str, Any]:
    return {"id": ID, "agent_id": agent_id, "task_data": sent.task_data, "status": "completed"}


@app.get("/tasks/{task_id}")
async def read(task_id: str) -> dict[str, Any]:
    return {"id": task_id, "agent_id": "noop", "task_data": {"brief": "b" * 150}, "status": "completed"}


@app.get("/agents/{agent_id}/tasks")
async def list_tasks(agent_id: str, status: str, limit: int = 20) -> dict[str, Any]:
    del agent_id, status, limit
    return {"items": []}
