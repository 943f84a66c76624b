"""A stock arq worker that does as little as a job can: it says `started`, then sleeps. For `arq` to run.

BENCHMARK_REDIS_URL=redis://localhost:6379/0 BENCHMARK_MAX_JOBS=1000 arq benchmarks.stock_arq.WorkerSettings
"""

import asyncio
import os
from typing import Any, ClassVar

from arq.connections import RedisSettings

_HOUR_SECONDS = 3_600


async def generate(ctx: dict[str, Any], sleep_seconds: float) -> None:
    """Appends `started` to the stream that has the job's name, and holds its place for a while."""
    await ctx["redis"].xadd(ctx["job_id"], {"type": "started", "worker": os.getpid()})
    await asyncio.sleep(sleep_seconds)


class WorkerSettings:
    """arq's defaults, but for room and time enough."""

    functions: ClassVar = [generate]
    redis_settings = RedisSettings.from_dsn(os.environ["BENCHMARK_REDIS_URL"])
    max_jobs = int(os.environ["BENCHMARK_MAX_JOBS"])
    job_timeout = _HOUR_SECONDS
