"""DBOS as its documentation shows it: one process, a workflow of one step, started on a queue.

uvicorn app:app
"""

import asyncio
import os
from typing import Any

from dbos import DBOS, DBOSConfig
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "1"))
STATUS = {"ENQUEUED": "pending", "PENDING": "running", "SUCCESS": "completed", "ERROR": "failed"}
STORED = {ours: theirs for theirs, ours in STATUS.items()}

app = FastAPI()
DBOS(config=DBOSConfig(name="bench", system_database_url=os.environ["DATABASE_URL"], run_admin_server=False))


class TaskIn(BaseModel):
    """The body of a submission."""

    task_data: dict[str, Any]


@DBOS.step()
async def work(agent_id: str, task_data: dict[str, Any]) -> dict[str, Any]:
    seconds = {"wait50": 0.05, "hold": task_data.get("seconds", 0)}.get(agent_id, 0)
    if seconds:
        await asyncio.sleep(seconds)
    return {"seen": len(task_data), "note": "n" * 80}


@DBOS.workflow()
async def process_agent_task(agent_id: str, task_data: dict[str, Any]) -> dict[str, Any]:
    return await work(agent_id, task_data)


DBOS.launch()
queue = DBOS.register_queue("agents", polling_interval_sec=POLL_SECONDS)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/agents/{agent_id}/tasks", status_code=202)
async def submit(agent_id: str, sent: TaskIn) -> dict[str, Any]:
    handle = await queue.enqueue_async(process_agent_task, agent_id, sent.task_data)
    return {"id": handle.workflow_id, "agent_id": agent_id, "task_data": sent.task_data, "status": "pending"}


@app.get("/tasks/{task_id}")
async def read(task_id: str) -> dict[str, Any]:
    found = await DBOS.list_workflows_async(workflow_ids=[task_id])
    if not found:
        raise HTTPException(404)
    return shown(found[0])


@app.get("/agents/{agent_id}/tasks")
async def list_tasks(agent_id: str, status: str, limit: int = 20) -> dict[str, Any]:
    del agent_id  # there is one workflow for all
    found = await DBOS.list_workflows_async(
        status=STORED[status], limit=limit, load_input=False, load_output=False
    )
    return {"items": [{"id": one.workflow_id, "status": STATUS[one.status]} for one in found]}


def shown(found: Any) -> dict[str, Any]:
    status = STATUS.get(found.status, found.status)
    return {"id": found.workflow_id, "status": status, "result": found.output}
