"""Runs generations beside functions of your own, in an arq worker of your own.

Run it with: arq examples.stock_arq_worker.WorkerSettings
Enqueue with: tailrace.enqueue(request, queue="mine"), or from arq with JSON for its serializer:
redis.enqueue_job("generate", {"provider": …, "model": …, "messages": […]}, _queue_name="tailrace:queue:mine")
"""

import os
from typing import Any, ClassVar

from arq.connections import RedisSettings

from tailrace_worker import stock_arq


async def greet(_ctx: dict[str, Any], name: str) -> str:
    return f"Hello, {name}."


class WorkerSettings:
    functions: ClassVar = [greet, stock_arq.generate]
    queue_name = "tailrace:queue:mine"  # no `tailrace worker` may serve it too
    redis_settings = RedisSettings.from_dsn(os.environ.get("TAILRACE_REDIS_URL", "redis://localhost:6379/0"))
    on_startup = stock_arq.on_startup
    on_shutdown = stock_arq.on_shutdown
    job_serializer = stock_arq.job_serializer
    job_deserializer = stock_arq.job_deserializer
    keep_result = 0
