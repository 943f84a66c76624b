"""The heartbeat of a worker, for `tailrace status` and for the other workers."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from arq.worker import Worker

from tailrace.broker.client import ms
from tailrace.errors import InfrastructureError
from tailrace.protocol.fleet import beat_commands, leave_commands, serve_commands
from tailrace_worker.generation import Generations

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatTimings:
    """How often a worker sends a heartbeat."""

    beat_seconds: float = 5.0
    retry_seconds: float = 1.0
    """The wait after a heartbeat that failed; `beat_seconds` if that is shorter."""
    leave_seconds: float = 1.0
    """How long a worker that stops may take to remove its name. If it fails, the name expires a little later."""


@asynccontextmanager
async def beating(
    generations: Generations, worker: Worker, *, timings: HeartbeatTimings | None = None
) -> AsyncGenerator[None]:
    """Send heartbeats while the block runs, and remove the worker's name at its end.

    Args:
        generations: What the jobs of the worker share: its name, its settings and its connection.
        worker: The arq worker, whose running jobs are counted.
        timings: The intervals; `None` for the defaults.
    """
    timings = timings or HeartbeatTimings()
    async with asyncio.TaskGroup() as beside:
        task = beside.create_task(_beat_until_cancelled(generations, worker, timings))
        try:
            yield
        finally:
            task.cancel()
    with suppress(InfrastructureError, TimeoutError):
        async with asyncio.timeout(timings.leave_seconds):
            await generations.broker.pipeline(*leave_commands(generations.keys, generations.worker))


async def _beat_until_cancelled(generations: Generations, worker: Worker, timings: HeartbeatTimings) -> None:
    broker, keys, settings = generations.broker, generations.keys, generations.settings
    first = serve_commands(keys, settings.queues, at=ms(time.time()))
    while True:
        beat = beat_commands(
            keys,
            generations.worker,
            queues=settings.queues,
            running=sum(not task.done() for task in worker.tasks.values()),
            max_jobs=settings.max_jobs,
            at=ms(time.time()),
            providers=generations.calls.usable,
            problems=generations.calls.problems,
            kinds={name: entry.kind for name, entry in settings.providers.items()},
        )
        try:
            await broker.pipeline(*first, *beat)
            first = ()
        except InfrastructureError as error:
            _logger.debug("the heartbeat cannot be written: %s", error)
            # After 8 s without a heartbeat, other workers leave no more jobs to this one, even if only it can run them.
            await asyncio.sleep(min(timings.retry_seconds, timings.beat_seconds))
        else:
            await asyncio.sleep(timings.beat_seconds)
