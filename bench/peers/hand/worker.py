"""The Celery worker: carries out a task and writes what came of it.

celery -A worker worker --concurrency 2
"""

import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from models import AgentTask
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

app = Celery("hand", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True  # the row holds the result
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
new_session = sessionmaker(engine)


@app.task
def process_agent_task(task_id: str) -> None:
    with new_session() as db:
        task = db.get_one(AgentTask, uuid.UUID(task_id))
        task.status = "running"
        db.commit()
        task.result = work(task.agent_id, task.task_data)
        task.status = "completed"
        task.finished_at = datetime.now(UTC)
        db.commit()


def work(agent_id: str, task_data: dict[str, Any]) -> dict[str, Any]:
    seconds = {"wait50": 0.05, "hold": task_data.get("seconds", 0)}.get(agent_id, 0)
    if seconds:
        time.sleep(seconds)
    return {"seen": len(task_data), "note": "n" * 80}
