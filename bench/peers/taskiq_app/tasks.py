"""The broker and the work.

taskiq worker tasks:broker --workers 2
"""

import asyncio
import os
from typing import Any

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

REDIS_URL = os.environ["REDIS_URL"]
broker = RedisStreamBroker(url=REDIS_URL).with_result_backend(RedisAsyncResultBackend(redis_url=REDIS_URL))


@broker.task
async def process_agent_task(agent_id: str, task_data: dict[str, Any]) -> dict[str, Any]:
    seconds = {"wait50": 0.05, "hold": task_data.get("seconds", 0)}.get(agent_id, 0)
    if seconds:
        await asyncio.sleep(seconds)
    return {"seen": len(task_data), "note": "n" * 80}
