"""The API: stores a task, hands its id to Celery, and reads tasks back.

uvicorn app:app
"""

import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from models import AgentTask, Base, TaskIn, TaskOut, TaskPage
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from worker import process_agent_task

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async def session() -> AsyncGenerator[AsyncSession, None]:
    async with new_session() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]
app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/agents/{agent_id}/tasks", status_code=202)
async def submit(agent_id: str, sent: TaskIn, db: Session) -> TaskOut:
    task = AgentTask(agent_id=agent_id, task_data=sent.task_data)
    db.add(task)
    await db.commit()
    process_agent_task.delay(str(task.id))
    return TaskOut.model_validate(task)


@app.get("/tasks/{task_id}")
async def read(task_id: uuid.UUID, db: Session) -> TaskOut:
    task = await db.get(AgentTask, task_id)
    if task is None:
        raise HTTPException(404)
    return TaskOut.model_validate(task)


@app.get("/agents/{agent_id}/tasks")
async def list_tasks(agent_id: str, db: Session, status: str, limit: int = 20) -> TaskPage:
    statement = (
        select(AgentTask)
        .where(AgentTask.agent_id == agent_id, AgentTask.status == status)
        .order_by(AgentTask.created_at)
        .limit(limit)
    )
    return TaskPage(items=[TaskOut.model_validate(task) for task in await db.scalars(statement)])
