"""The API on taskiq: the message on a Redis stream is all there is, and the result, kept in Redis.

uvicorn app:app
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from tasks import broker, process_agent_task


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)
sent_ids: set[str] = set()
"""What was handed out and not yet seen completed: taskiq lists nothing, so the app counts for itself."""


class TaskIn(BaseModel):
    """The body of a submission."""

    task_data: dict[str, Any]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/agents/{agent_id}/tasks", status_code=202)
async def submit(agent_id: str, sent: TaskIn) -> dict[str, Any]:
    kicked = await process_agent_task.kiq(agent_id, sent.task_data)
    sent_ids.add(kicked.task_id)
    return {"id": kicked.task_id, "agent_id": agent_id, "task_data": sent.task_data, "status": "pending"}


@app.get("/tasks/{task_id}")
async def read(task_id: str) -> dict[str, Any]:
    if not await broker.result_backend.is_result_ready(task_id):
        return {"id": task_id, "status": "pending"}
    result = await broker.result_backend.get_result(task_id)
    return {"id": task_id, "status": "completed", "result": result.return_value}


@app.get("/agents/{agent_id}/tasks")
async def list_tasks(agent_id: str, status: str, limit: int = 20) -> dict[str, Any]:
    del agent_id
    if status != "pending":
        return {"items": []}
    found: list[dict[str, Any]] = []
    for task_id in list(sent_ids):
        if await broker.result_backend.is_result_ready(task_id):
            sent_ids.discard(task_id)
            continue
        found.append({"id": task_id, "status": "pending"})
        if len(found) == limit:
            break
    return {"items": found}
